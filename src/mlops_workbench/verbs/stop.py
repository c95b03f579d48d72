from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb
from mlops_workbench.interface.types import Model

if TYPE_CHECKING:
    from mlops_workbench.rollout.records import Live
    from mlops_workbench.session import Session


@verb(stage="serve", effect="writes")
def stop(session: Session, name: Model) -> Live:
    """Stop serving a model.

    Raises `NotFound` when nothing serves it.
    """
    from mlops_workbench.rollout import following, launching, pointers, records

    followed = {str(d.follows) for d in records.following(session.store, name)}
    stopped = launching.stop(session.store, name)
    for alias in followed:
        pointers.forget(following.followed(session, name, alias))
    return stopped
