"""One version that answers: its model, the check of its rows, its batches, its log and its metrics.

They belong together, since another version may have other columns. A request stays with the one chosen for it.
"""

from __future__ import annotations

import asyncio

from mlops_workbench.serving.batcher import Batcher, Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ServingError, shown
from mlops_workbench.serving.form import RequestForm
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.serving.predlog import PredictionLog

_DRAINING_SECONDS = 0.005


class ServingVersion:
    """Owns `log` from here on. `start` it, and `close` it when nobody uses it any more."""

    def __init__(
        self,
        dataplane: DataPlane,
        log: PredictionLog | None,
        *,
        limits: Limits,
        metrics: Metrics,
        answer_unlogged: bool,
    ) -> None:
        self.dataplane = dataplane
        self.log = log
        self.metrics = metrics
        self.form = RequestForm(
            dataplane.manifest.inputs,
            dataplane.gives_probabilities,
            limits.request_rows,
            max(limits.body_bytes, 1 << 20),
        )
        self.batcher = Batcher(
            dataplane, log, limits=limits, metrics=metrics, answer_unlogged=answer_unlogged
        )
        self.users = 0
        """requests that were given to it and are not answered yet; counted on the event loop alone"""

    @property
    def version(self) -> str:
        return self.dataplane.version

    @property
    def title(self) -> str:
        return f"{self.dataplane.name} {self.version}"

    def same_form(self, other: ServingVersion) -> bool:
        """Whether a request that was parsed for the other version is one for this version as it is."""
        return self is other or self.form == other.form

    def not_here(self, *asked: object) -> ServingError:
        """The error for a request that names another model, or another version."""
        return ServingError(
            "NotFound",
            f"There is no model {' version '.join(map(shown, asked))} here.",
            f"This is '{self.dataplane.name}' version '{self.version}'.",
        )

    def start(self) -> None:
        """Its metrics are exported from now on."""
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
