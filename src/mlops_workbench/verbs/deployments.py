from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb

if TYPE_CHECKING:
    from mlops_workbench.rollout.records import DeploymentList
    from mlops_workbench.session import Session


@verb(stage="serve", effect="reads")
def deployments(session: Session) -> DeploymentList:
    """What serves now, and where."""
    from mlops_workbench.rollout import following, records

    following.sync_followers(session)
    return records.DeploymentList(records.current(session.store))
