from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data

if TYPE_CHECKING:
    from mlops_workbench.data.snapshots import Snapshot, SnapshotList
    from mlops_workbench.session import Session


@verb(stage="data", effect="kernel", example="snapshot train --name flights-train")
def snapshot(
    session: Session,
    data: Annotated[
        Data,
        Opt(
            "DataFrame variable, file, or a snapshot (NAME@2, NAME@latest, hash); none: list all",
            metavar="DATA",
        ),
    ] = None,
    *,
    name: Annotated[
        str | None, Opt("name to keep it under (default: the variable's or file's)", flags=("-n",))
    ] = None,
) -> Snapshot | SnapshotList:
    """Keep rows as Parquet by content hash, under a name; give them back (NAME@2); or list them."""
    from mlops_workbench.data import snapshots

    if data is None:
        return snapshots.listed(session.project, session.store, name)
    if isinstance(data, str) and name is None and data not in session.namespace:
        found = snapshots.refer(session.project, session.store, data)
        if found is not None:
            return found
    return snapshots.name_it(
        session.project, session.store, data, session.namespace, name or snapshots.name_of(data)
    )
