"""Everything that is recorded about a version; what lineage, card, archive and OpenLineage events are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.data import snapshots, validations
from mlops_workbench.data.snapshots import SnapshotName
from mlops_workbench.data.validations import Validation
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.approvals import Approval
from mlops_workbench.registry.ledger import Entry
from mlops_workbench.store.engine import Store
from mlops_workbench.track.tracking import Run, Stored


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
class Origin:
    """Everything that is recorded about a version; what lineage, card and archive are made from."""

    project: str
    stored: Stored
    manifest: Manifest
    run: Run | None
    files: tuple[str, ...]
    data: tuple[RowsOrigin, ...]
    gate: Mapping[str, Any] | None
    approvals: tuple[Approval, ...]
    entries: tuple[Entry, ...]
    image: Mapping[str, Any] | None
    deployments: tuple[Mapping[str, Any], ...]
    state: str


ROLES = {"data": "fitted on", "evaluate": "held out"}


def rows_of(store: Store, stored: Stored) -> tuple[RowsOrigin, ...]:
    """The rows that a version's tags name, with what else is known of the same content."""
    return tuple(
        _rows(store, role, {key: stored.tags.get(f"{tag}.{key}", "") for key in _MARKS})
        for tag, role in ROLES.items()
        if f"{tag}.sha256" in stored.tags
    )


_MARKS = ("name", "sha256", "rows", "columns")


def _rows(store: Store, what: str, mark: Mapping[str, str]) -> RowsOrigin:
    sha256 = mark["sha256"]
    return RowsOrigin(
        what,
        mark["name"],
        sha256,
        int(mark["rows"] or 0),
        int(mark["columns"] or 0),
        snapshots.names_of(store, sha256),
        validations.of_data(store, sha256),
    )
