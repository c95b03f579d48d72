"""Results of `validate`, kept: with the contract's digest, the data's fingerprint and the run they belong to."""

from __future__ import annotations

from collections.abc import Mapping
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


def tags(contract: str, data: str, verdict: str, digest: str) -> dict[str, str]:
    """What a run is tagged with about a validation of its data."""
    found = {"data": data, "verdict": verdict, "digest": digest}
    return {f"contract.{contract}.{key}": value for key, value in found.items()}


def of_run(store: Store, known: Mapping[str, str]) -> dict[str, str]:
    """Tags about the newest validation, by contract, of the very rows that a run's own tags name by their
    fingerprints: a verdict belongs to rows. What the run has validated itself stays as it is."""
    found: dict[str, str] = {}
    rows = {value for key, value in known.items() if key.endswith(".sha256")}
    for one in sorted((v for sha256 in rows for v in of_data(store, sha256)), key=lambda v: v.at):
        found |= tags(one.contract, one.data, one.verdict, one.digest)
    return {key: value for key, value in found.items() if key not in known}


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
