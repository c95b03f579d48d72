"""Results of `validate`, kept: with the contract's digest, the data's fingerprint and the run they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_workbench.data.verdict import ContractReport
from mlops_workbench.store.engine import Store, StoreRow


@dataclass(frozen=True)
class Validation:
    """One line of what was validated."""

    at: str
    contract: str
    digest: str
    data: str
    verdict: str
    passed: bool
    run: str | None
    data_sha256: str | None


def keep(store: Store, report: ContractReport) -> None:
    from mlops_workbench.data.tables import validations

    with store.write() as connection:
        connection.execute(
            validations.insert().values(
                at=report.at,
                contract=report.contract,
                contract_digest=report.digest,
                data=report.data[:200],
                passed=int(report.passed),
                report=report.to_dict(),
                run=report.run,
                data_sha256=report.data_sha256 or None,
            )
        )


def of_contract(store: Store, contract: str, limit: int = 10) -> tuple[Validation, ...]:
    """The newest first."""
    sql = "SELECT * FROM workbench_validations WHERE contract = :contract ORDER BY id DESC LIMIT :limit"
    return tuple(map(_validation, store.read(sql, {"contract": contract, "limit": limit}, ["report"])))


def of_data(store: Store, sha256: str) -> tuple[Validation, ...]:
    """Of the rows with this fingerprint, oldest first."""
    sql = "SELECT * FROM workbench_validations WHERE data_sha256 = :sha256 ORDER BY id"
    return tuple(map(_validation, store.read(sql, {"sha256": sha256}, ["report"])))


def _validation(row: StoreRow) -> Validation:
    return Validation(
        row["at"],
        row["contract"],
        row["contract_digest"],
        row["data"],
        row["report"].get("verdict") or ("kept" if row["passed"] else "broken"),
        bool(row["passed"]),
        row["run"],
        row["data_sha256"],
    )
