"""Results of `validate`, kept: with the contract's digest, the data's fingerprint and the run they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_workbench.data.verdict import ContractReport
from mlops_workbench.store.engine import Row, Store


@dataclass(frozen=True)
class Validation:
    """One line of what was validated."""

    at: str
    contract: str
    digest: str
    data: str
    verdict: str
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
    rows = store.read(sql, {"contract": contract, "limit": limit}, ["report"])
    return tuple(
        Validation(
            row["at"],
            row["contract"],
            row["contract_digest"],
            row["data"],
            row["report"].get("verdict") or ("kept" if row["passed"] else "broken"),
            row["run"],
            row["data_sha256"],
        )
        for row in rows
    )


def of_data(store: Store, sha256: str) -> Sequence[Row]:
    """What was validated of rows of this content, oldest first: contract, contract_digest, passed, at."""
    sql = """
        SELECT contract, contract_digest, passed, at FROM workbench_validations
        WHERE data_sha256 = :sha256 ORDER BY id
    """
    return store.read(sql, {"sha256": sha256})
