from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, Model, OutputFile, Positive

if TYPE_CHECKING:
    from mlops_workbench.rollout.requests import Predictions
    from mlops_workbench.session import Session


@verb(stage="serve", effect="kernel", example="predict flights february")
def predict(
    session: Session,
    name: Model,
    data: Annotated[Data, Opt("DataFrame variable, or a file (.parquet, .csv, .csv.gz, .tsv, .jsonl)")],
    *,
    batch: Annotated[Positive, Opt("rows a request")] = 500,
    out: Annotated[OutputFile | None, Opt("also write the answers to this .parquet or .csv file")] = None,
) -> Predictions:
    """Send rows to the served model over HTTP; each answer is logged before it comes back."""
    from mlops_workbench.data import output
    from mlops_workbench.registry.versions import recorded
    from mlops_workbench.rollout import following, records, requests
    from mlops_workbench.rollout.runtime.environment import api_key

    path = None if out is None else output.writable(session.path(out))
    following.sync_followers(session, name)
    deployment = records.require(session.store, name)
    stored = session.tracking.version(name, int(deployment.version))
    manifest = recorded(session.tracking, stored)[1]
    frame, label = session.frame(data, manifest.kinds)
    key = api_key(session.project.policy.serving, session.project.root)
    found = requests.send(deployment, manifest, frame, label, batch=batch, key=key, progress=session.progress)
    if path is not None:
        output.write(found.frame, path)
    return found
