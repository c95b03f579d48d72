"""What Prometheus reads. Each application has its own registry: two in one process do not clash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000)


class _Series:
    """The metrics of all versions that one process served."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        labels = ["model", "version"]
        self.requests = Counter(
            "mlops_requests", "Requests answered.", [*labels, "path", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "mlops_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            [*labels, "path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "mlops_batch_rows", "Rows of one model call.", labels, buckets=_ROWS, registry=self.registry
        )
        self.predictions = Counter("mlops_predictions", "Rows answered.", labels, registry=self.registry)
        self.unlogged = Counter(
            "mlops_unlogged_predictions",
            "Rows answered though the log did not take them.",
            labels,
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "mlops_log_commit_seconds",
            "Seconds that a batch's commit to the inference log took.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue = Gauge(
            "mlops_queue_rows", "Rows that wait for the model.", labels, registry=self.registry
        )
        self.lag = Gauge(
            "mlops_log_lag_seconds",
            "Age of the oldest request whose rows are not committed yet.",
            labels,
            registry=self.registry,
        )
        self.follow_failed = Gauge(
            "mlops_follow_failed",
            "1 while the version that is wanted could not be loaded, and this one goes on.",
            labels,
            registry=self.registry,
        )


class Metrics:
    """The metrics of one served version; every sample carries its name and version."""

    def __init__(self, *, model: str, version: str, series: _Series | None = None) -> None:
        self._series = series or _Series()
        self._names = {"model": model, "version": version}
        self.batch_rows = self._series.batch_rows.labels(**self._names)
        self.predictions = self._series.predictions.labels(**self._names)
        self.unlogged = self._series.unlogged.labels(**self._names)
        self.commit_seconds = self._series.commit_seconds.labels(**self._names)
        self.failed: Callable[[int], None] = lambda _code: None
        """told of each request for predictions that the service answered by an error of its own"""
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}

    def successor(self, version: str) -> Metrics:
        """Those of another version of the model, shown beside what is counted here."""
        return Metrics(model=self._names["model"], version=version, series=self._series)

    def watch(self, *, waiting_rows: Callable[[], float], lag: Callable[[], float]) -> None:
        """Export the gauges, until `leave`."""
        self._series.queue.labels(**self._names).set_function(waiting_rows)
        self._series.lag.labels(**self._names).set_function(lag)
        self.failing(False)

    def failing(self, failing: bool) -> None:
        self._series.follow_failed.labels(**self._names).set(failing)

    def leave(self) -> None:
        """Gauges are exported for the current version only."""
        for gauge in (self._series.queue, self._series.lag, self._series.follow_failed):
            gauge.remove(*self._names.values())

    def answered(self, path: str, code: int, seconds: float) -> None:
        known = self._known.get((path, code))
        if known is None:  # finding a counter by its labels takes longer than counting
            known = self._known[path, code] = (
                self._series.requests.labels(**self._names, path=path, code=str(code)),
                self._series.seconds.labels(**self._names, path=path),
            )
        known[0].inc()
        known[1].observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self._series.registry)
