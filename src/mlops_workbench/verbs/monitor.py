from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Model

if TYPE_CHECKING:
    from mlops_workbench.monitor.rounds import Round
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="writes", example="monitor")
def monitor(
    session: Session,
    name: Annotated[Model | None, Opt("only this model (default: all)")] = None,
) -> Round:
    """Do what is due: count what was answered into windows, and delete what is older than `[monitor]` keeps.

    May be run as often as you like, by cron or by hand, while services go on answering.
    """
    from mlops_workbench.monitor import rounds

    if name is not None:
        session.tracking.require_model(name)
    return rounds.round_of(session, [name] if name else None, session.clock.now())
