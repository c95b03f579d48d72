"""Results of `validate`, kept: with the contract's digest, the data's fingerprint and the run they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from mlops_workbench.data.tables import validations
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
    passed: bool
    run: str | None
    data_sha256: str | None


def keep(store: Store, report: ContractReport) -> None:
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
    statement = select(validations).where(validations.c.contract == contract)
    return tuple(map(_validation, store.rows(statement.order_by(validations.c.id.desc()).limit(limit))))


def of_data(store: Store, sha256: str) -> tuple[Validation, ...]:
    """Of the rows with this fingerprint, oldest first."""
    statement = select(validations).where(validations.c.data_sha256 == sha256)
    return tuple(map(_validation, store.rows(statement.order_by(validations.c.id))))


def _validation(row: Row) -> Validation:
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
