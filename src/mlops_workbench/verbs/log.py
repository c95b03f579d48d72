from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, NewVariable, OutputFile, Positive, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.monitor.logged import LoggedFrame
    from mlops_workbench.session import Session
    from mlops_workbench.track.records import RegisteredVersion


@verb(stage="monitor", effect="kernel", example="log flights --labelled --as answered")
def log(
    session: Session,
    name: ModelVersion,
    *,
    version: Annotated[VersionNumber, Opt("only this version's (default: all versions')")] = None,
    labelled: Annotated[bool, Opt("only rows whose label has come")] = False,
    last: Annotated[Positive | None, Opt("only the newest N logged rows")] = None,
    variable: Annotated[NewVariable, Opt("variable of the notebook that the rows become")] = None,
    out: Annotated[OutputFile | None, Opt("write them to this .parquet or .csv file")] = None,
) -> LoggedFrame:
    """Give the logged requests back as a frame: features, answers, and labels where they have come.

    In Python it is the result's `frame`. Raises `NotFound` when nothing was logged.
    """
    from mlops_workbench.config.names import reference
    from mlops_workbench.data import output
    from mlops_workbench.monitor import inference, keyed, logged, watching
    from mlops_workbench.registry.versions import recorded

    session.check_variable(variable)
    path = None if out is None else output.writable(session.path(out))
    asked = reference(name, version)
    chosen = session.version(name, version) if asked.version or asked.alias else None
    session.tracking.require_model(asked.model)
    url = session.project.inference_url
    # columns of the newest version that has answered: a later one may read others
    newest = chosen or _newest_answered(session, asked.model, inference.versions(url, asked.model))
    if newest is None:
        raise logged.nothing(asked.model, None)
    manifest = watching.readable(recorded(session.tracking, newest)[1], session.project.policy.serving)
    if chosen and str(chosen.version) not in inference.versions(url, asked.model):
        raise logged.nothing(asked.model, str(chosen.version))
    keyed.settle(url, asked.model)
    session.progress("reading the logged requests")
    found = logged.frame(
        url,
        manifest,
        str(chosen.version) if chosen else None,
        last=last,
        labelled=labelled,
    )
    session.bind(variable, found.frame)
    if path is not None:
        output.write(found.frame, path)
    return found


def _newest_answered(session: Session, model: str, answered: set[str]) -> RegisteredVersion | None:
    known = (v for v in session.tracking.versions(model) if str(v.version) in answered)
    return max(known, key=lambda v: v.version, default=None)
