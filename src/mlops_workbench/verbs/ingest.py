from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, ModelVersion, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.monitor.ingesting import Ingested
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="kernel", example="ingest flights answered --at answered_at --prediction late")
def ingest(
    session: Session,
    name: ModelVersion,
    data: Annotated[Data, Opt("DataFrame, file, or folder of Parquet files; with --sql a query")],
    *,
    at: Annotated[
        str, Opt("column: when each row was answered (UTC where it has no zone)", metavar="COLUMN")
    ],
    prediction: Annotated[str | None, Opt("column of what was answered", metavar="COLUMN")] = None,
    score: Annotated[str | None, Opt("column of the answer's probability", metavar="COLUMN")] = None,
    id: Annotated[
        str | None, Opt("column that names each row (default: made from its values)", metavar="COLUMN")
    ] = None,
    version: VersionNumber = None,
    role: Annotated[str, Opt("role that the rows were answered in")] = "champion",
    sql: Annotated[
        str | None,
        Opt("database that DATA is a query of, as secret://env/NAME of its URL, or a URL", metavar="URL"),
    ] = None,
) -> Ingested:
    """Bring rows into the log that something else has answered, or that were answered earlier.

    Rows that are there already are left alone, so it may be done again. Raises `InvalidData`, and then writes nothing
    of the rows from the wrong one's thousands on.
    """
    from mlops_workbench.monitor import ingesting, watching
    from mlops_workbench.registry.versions import recorded
    from mlops_workbench.serving.privacy import Privacy

    stored = session.version(name, version)
    manifest = recorded(session.tracking, stored)[1]
    policy, key = session.project.policy.serving, os.environ.get("MLOPS_LOG_HASH_KEY", "")
    chunks, total = ingesting.chunks(session, data, manifest.kinds, sql)
    return ingesting.ingest(
        ingesting.IngestTarget(
            watching.window_log(session, stored.name),
            manifest,
            stored.version,
            Privacy(frozenset(policy.log_exclude), frozenset(policy.log_hash), key.encode()),
        ),
        chunks,
        ingesting.IngestForm(at, prediction, score, id, role),
        total,
        session.progress,
    )
