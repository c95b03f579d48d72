"""Everything that is recorded about a version; what lineage, card, archive and OpenLineage events are made from."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_workbench.base.values import Value
from mlops_workbench.data import snapshots, validations
from mlops_workbench.data.snapshots import SnapshotName
from mlops_workbench.data.validations import Validation
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.approvals import Approval
from mlops_workbench.registry.gates import KeptReport
from mlops_workbench.registry.ledger import LedgerEntry
from mlops_workbench.store.engine import Store
from mlops_workbench.track.records import RegisteredVersion, RowsMark, Run


@dataclass(frozen=True)
class RowsOrigin:
    """Rows that a version was fitted on or judged by. `known_as`: names a person gave them; `contracts`: checks."""

    what: str
    name: str
    sha256: str
    rows: int
    columns: int
    known_as: tuple[SnapshotName, ...]
    contracts: tuple[Validation, ...]


@dataclass(frozen=True)
class DeploymentPeriod:
    """When and where a version was served; `ended` None: it still is."""

    id: str
    kind: str
    url: str
    at: str
    ended: str | None


@dataclass(frozen=True)
class Origin:
    """Everything that is recorded about a version; what lineage, card and archive are made from."""

    project: str
    stored: RegisteredVersion
    manifest: Manifest
    run: Run | None
    files: tuple[str, ...]
    data: tuple[RowsOrigin, ...]
    gate: KeptReport | None
    """that it became champion by, else the newest"""
    later_gate: KeptReport | None
    """newer than the one that decided"""
    approvals: tuple[Approval, ...]
    entries: tuple[LedgerEntry, ...]
    image: Value | None
    deployments: tuple[DeploymentPeriod, ...]
    state: str


def rows_of(store: Store, stored: RegisteredVersion) -> tuple[RowsOrigin, ...]:
    """The rows that a version's tags name, with what else is known of the same content."""
    marks = {"fitted on": stored.facts.data, "held out": stored.facts.evaluate}
    return tuple(_rows(store, what, mark) for what, mark in marks.items() if mark)


def _rows(store: Store, what: str, mark: RowsMark) -> RowsOrigin:
    return RowsOrigin(
        what,
        mark.name,
        mark.sha256,
        mark.rows,
        mark.columns,
        snapshots.names_of(store, mark.sha256),
        validations.of_data(store, mark.sha256),
    )
