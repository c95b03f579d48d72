"""`[jobs] engine = "local"`: a process of this machine for each job."""

from __future__ import annotations

from mlops_workbench.jobs import queue
from mlops_workbench.store.context import Context


class Local:
    def start(self, context: Context, job: int) -> None:
        queue.spawn(context.project, context.store, job)
