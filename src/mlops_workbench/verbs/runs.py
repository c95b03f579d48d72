from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Positive, RunName

if TYPE_CHECKING:
    from mlops_workbench.session import Session
    from mlops_workbench.track.runlist import RunList


@verb(
    stage="track",
    effect="reads",
    example='runs --sort roc_auc --where "status = finished" --plot roc_auc',
)
def runs(
    session: Session,
    *,
    limit: Annotated[Positive, Opt("how many")] = 20,
    sort: Annotated[
        str, Opt("metric, parameter, started, seconds, name or status; largest first")
    ] = "started",
    ascending: Annotated[bool, Opt("smallest first")] = False,
    where: Annotated[str | None, Opt("only runs like: auc > 0.7 and estimator = 'Pipeline'")] = None,
    name: Annotated[RunName | None, Opt("only runs of this name", flags=("-n",))] = None,
    plot: Annotated[
        Sequence[str],
        Opt("draw what differs towards this metric; twice: a scatter; more: lines through all of them"),
    ] = (),
) -> RunList:
    """List tracked runs: sorted, filtered, drawn.

    Raises `UsageError`, `NotFound` for a name that no run has.
    """
    from mlops_workbench.track.runlist import RunList

    found = session.tracking.runs(limit, sort=sort, ascending=ascending, where=where or "", name=name)
    for wanted in plot:
        session.tracking.require_metric(wanted)
    return RunList(found, sort, tuple(plot))
