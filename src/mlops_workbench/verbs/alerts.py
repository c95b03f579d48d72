from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Positive

if TYPE_CHECKING:
    from mlops_workbench.alerts.records import AlertList
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="reads", example="alerts ack 3")
def alerts(
    session: Session,
    action: Annotated[
        Literal["list", "ack"] | None, Opt("list (the default) or ack", writes=("ack",))
    ] = None,
    id: Annotated[Positive | None, Opt("number of an alert")] = None,
    *,
    everything: Annotated[bool, Opt("acknowledged ones, too", flags=("--all",))] = False,
) -> AlertList:
    """What a person should look at; ack ID: it was looked at.

    Raises `NotFound`, `Conflict`, `UsageError`.
    """
    from mlops_workbench.alerts import records
    from mlops_workbench.rollout import following

    if action == "ack":
        if id is None:
            raise UsageError("Which alert has been looked at?", "Say its number.")
        return records.AlertList((records.acknowledge(session.store, id),))
    if id is not None:
        return records.AlertList((records.get(session.store, id),))
    following.sync_followers(session)
    return records.AlertList(records.find(session.store, everything=everything))
