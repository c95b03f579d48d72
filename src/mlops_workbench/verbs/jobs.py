from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import JobNumber, Positive

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import JobList
    from mlops_workbench.session import Session


@verb(stage="retrain", effect="reads")
def jobs(
    session: Session,
    *,
    id: Annotated[JobNumber | None, Opt("only this job")] = None,
    cancel: Annotated[JobNumber | None, Opt("cancel this job", writes=True)] = None,
    limit: Annotated[Positive, Opt("how many")] = 20,
) -> JobList:
    """List jobs, show one, or cancel one."""
    from mlops_workbench.jobs import queue

    if cancel is not None:
        return queue.JobList((queue.cancel(session.store, cancel),))
    found = (queue.get(session.store, id),) if id is not None else queue.find(session.store, limit)
    return queue.JobList(found)
