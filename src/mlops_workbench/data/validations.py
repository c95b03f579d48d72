"""Results of `validate`, kept."""

from __future__ import annotations

from mlops_workbench.data.contracts import ContractReport
from mlops_workbench.store.database import Store
from mlops_workbench.store.tables import now, validations


def keep(store: Store, report: ContractReport) -> None:
    with store.write() as connection:
        connection.execute(
            validations.insert().values(
                at=now(),
                contract=report.contract,
                contract_digest=report.digest,
                data=report.data,
                passed=int(report.passed),
                report=report.to_dict(),
            )
        )
