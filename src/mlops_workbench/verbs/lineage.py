from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base import files
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, OutputFile, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.registry.lineage import Lineage
    from mlops_workbench.registry.origin import Origin
    from mlops_workbench.session import Session
    from mlops_workbench.track.records import RegisteredVersion


@verb(stage="registry", effect="reads", example="lineage flights@champion")
def lineage(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    out: Annotated[
        OutputFile | None, Opt("also write it to this file as JSON, with an OpenLineage event")
    ] = None,
) -> Lineage:
    """The data, code, environment and decisions behind a version."""
    from mlops_workbench.registry import lineage as tracing
    from mlops_workbench.registry import retiring

    found = tracing.trace(origin(session, session.version(name, version)))
    if out is not None:
        files.write_text(session.path(out), retiring.as_json(found.to_dict()))
    return found


def origin(session: Session, stored: RegisteredVersion) -> Origin:
    """Everything that is recorded about a version."""
    from mlops_workbench.package import records as images
    from mlops_workbench.registry import approvals, gates, ledger
    from mlops_workbench.registry import origin as origins
    from mlops_workbench.registry.versions import recorded
    from mlops_workbench.rollout import records
    from mlops_workbench.verbs.models import described

    name, version = stored.name, stored.version
    policy = session.project.policy
    entries = ledger.entries(session.store, name)
    seen = gates.latest(session.store, name, version)
    decided = gates.decided(session.store, entries, version)
    tracking = session.tracking
    return origins.Origin(
        project=policy.name,
        stored=stored,
        manifest=recorded(tracking, stored)[1],
        run=tracking.run(stored.run_id) if stored.run_id else None,
        files=tracking.files(stored.run_id) if stored.run_id else (),
        data=origins.rows_of(session.store, stored),
        gate=decided or seen,
        later_gate=seen if seen and decided and seen.id > decided.id else None,
        approvals=approvals.standing(
            entries, stored, seen, policy.approval, policy.governance, session.clock.now()
        ),
        entries=tuple(e for e in entries if version in (e.old_version, e.new_version)),
        image=images.get(session.store, name, version),
        deployments=records.of_version(session.store, name, version),
        state=described(session, (stored,))[0].state,
    )
