from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import RunName

if TYPE_CHECKING:
    from mlops_workbench.session import Session
    from mlops_workbench.track.compare import Comparison


@verb(stage="track", effect="reads", example="compare january retrain")
def compare(
    session: Session,
    first: Annotated[RunName, Opt("run by name or id")],
    second: Annotated[RunName, Opt("another run")],
) -> Comparison:
    """Show in what two runs differ: metrics, parameters, data, seeds, code, notebook and environment."""
    from mlops_workbench.track import compare as comparing

    return comparing.compare(session.tracking, session.tracking.run(first), session.tracking.run(second))
