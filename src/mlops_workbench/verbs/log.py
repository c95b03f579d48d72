from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, NewVariable, OutputFile, Positive, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.monitor.logged import LoggedFrame
    from mlops_workbench.session import Session


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
    policy = session.project.policy.serving
    if chosen is not None:
        manifest = watching.readable(recorded(session.tracking, chosen)[1], policy)
    answered = inference.versions(url, asked.model)
    if chosen is None:  # a column that any of them reads
        known = [v for v in session.tracking.versions(asked.model) if str(v.version) in answered]
        manifests = [watching.readable(recorded(session.tracking, v)[1], policy) for v in known]
        if not manifests:
            raise logged.nothing(asked.model, None)
        manifest = logged.together(manifests)
    elif str(chosen.version) not in answered:
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
