"""One version that answers: its model, the check of its rows, its batches, its log and its figures.

They belong together, since another version may have other columns. A request stays with the one that it began with.
"""

from __future__ import annotations

import asyncio

from mlops_workbench.serving.batcher import Batcher, Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.schema import PredictSchema

_DRAINING_SECONDS = 0.005


class Served:
    """Owns `log` from here on. `start` it, and `close` it when nobody uses it any more."""

    def __init__(
        self,
        dataplane: DataPlane,
        log: PredictionLog | None,
        *,
        role: str,
        limits: Limits,
        metrics: Metrics,
        answer_unlogged: bool,
    ) -> None:
        self.dataplane = dataplane
        self.log = log
        self.metrics = metrics
        self.schema = PredictSchema(dataplane.manifest, max_rows=limits.request_rows)
        self.batcher = Batcher(
            dataplane, log, role=role, limits=limits, metrics=metrics, answer_unlogged=answer_unlogged
        )
        self.users = 0
        """requests that began with it and are not answered yet; counted on the event loop alone"""

    @property
    def version(self) -> str:
        return self.dataplane.version

    @property
    def title(self) -> str:
        return f"{self.dataplane.name} {self.version}"

    def start(self) -> None:
        """Its figures are shown from now on."""
        self.batcher.start()
        self.metrics.watch(waiting_rows=lambda: self.batcher.waiting_rows, lag=self.batcher.lag)

    async def drained(self) -> None:
        """Returns when nobody uses it. A request's time is limited, and so is this."""
        while self.users:
            await asyncio.sleep(_DRAINING_SECONDS)

    def close(self, seconds: float | None = None) -> None:
        """What waits is answered first, for up to `seconds`."""
        self.batcher.close(seconds)
        if self.log is not None:
            self.log.close()
