from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, ModelVersion, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.registry.explanation import Explanation
    from mlops_workbench.registry.gate_report import GateReport
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example="gate flights --version 2")
def gate(
    session: Session,
    name: ModelVersion,
    *,
    version: Annotated[VersionNumber, Opt("version (default: the newest)")] = None,
    data: Annotated[Data, Opt("labelled rows (default: the version's held-out rows)", flags=("-d",))] = None,
    first: Annotated[
        bool,
        Opt("it is the first version: none is champion yet to compare with; recorded as your choice"),
    ] = False,
    explain: Annotated[bool, Opt("say what the gate asks, and judge nothing")] = False,
) -> GateReport | Explanation:
    """Decide whether a version may become champion, and keep the evidence.

    Raises `GateFailed` with the report when it is not a pass.
    """
    from mlops_workbench.config.names import reference
    from mlops_workbench.registry import explanation, gates

    asked = reference(name, version)
    if explain:
        return explanation.explain(asked.model, session.project.policy.gate)
    if asked.version or asked.alias:
        number = session.version(name, version).version
    else:
        number = session.tracking.versions(asked.model)[0].version
    report = judged(session, asked.model, number, data, first=first)
    gates.require_passed(report)
    return report


def judged(
    session: Session, name: str, version: int, data: Data = None, *, first: bool = False
) -> GateReport:
    """Judge a version against the present champion and keep the report."""
    from mlops_workbench.package import records as images
    from mlops_workbench.rollout import judging
    from mlops_workbench.session import CHAMPION

    number = session.tracking.alias(name, CHAMPION)
    return judging.judge(
        session,
        session.tracking.version(name, version),
        session.tracking.version(name, number) if number else None,
        images.get(session.store, name, version),
        data=data,
        first=first,
    )
