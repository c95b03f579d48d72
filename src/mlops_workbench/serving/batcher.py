"""What is waiting is predicted in one call and logged in one commit.

No timer: the worker takes what is there as soon as it is free, so a lone request is never delayed, and under
load batches grow by themselves while the model is busy.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError

from mlops_workbench.serving.dataplane import DataPlane, Prediction, StillLoading
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.logs import report
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.serving.predlog import LogEntry, PredictionLog

logger = logging.getLogger("mlops_workbench.serving")


_SLICE_ROWS = 1024
"""of one model call while small requests may be waiting"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once. All are there to bound memory and waiting."""

    request_rows: int = 10_000
    body_bytes: int = 32 << 20
    batch_rows: int = 4_096
    """rows of one model call, unless a single request holds more"""
    waiting_rows: int = 20_000
    """beyond it requests are answered 503"""
    held_bytes: int = 256 << 20
    """of bodies that are being read or answered; beyond it 503, too"""
    request_seconds: float = 30.0
    """from a request's first byte to its answer; then 408 while it is still being sent, else 503"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its answer."""

    request_id: str
    rows: list[dict[str, Any]]
    received: float
    """time.perf_counter() when it was given to this version"""
    role: str
    variant: str | None = None
    future: Future[LogEntry] = field(default_factory=Future)


class Batcher:
    """One worker thread between the requests and the model. `start`, `submit` from any thread, `close`."""

    def __init__(
        self,
        dataplane: DataPlane,
        log: PredictionLog | None,
        *,
        limits: Limits,
        metrics: Metrics,
        answer_unlogged: bool = False,
    ) -> None:
        """`answer_unlogged`: what the log does not take is answered and counted, instead of refused."""
        self._dataplane = dataplane
        self._log = log
        self._limits = limits
        self._metrics = metrics
        self._answer_unlogged = answer_unlogged
        self._working: float | None = None
        self._pending: deque[Pending] = deque()
        self._aside: deque[Pending] = deque()
        """requests that wait for the original model to be loaded"""
        self._loaded = False
        dataplane.when_loaded = self._take_up
        self._waiting_rows = 0
        self._changed = threading.Condition()
        self._closing = False
        self._worker = threading.Thread(target=self._work, name="mlops-batcher", daemon=True)

    def start(self) -> None:
        self._worker.start()

    @property
    def running(self) -> bool:
        return self._worker.is_alive() and not self._closing

    @property
    def waiting_rows(self) -> int:
        return self._waiting_rows

    def lag(self) -> float:
        """Seconds that the oldest request not yet committed has been here; 0 when there is none."""
        with self._changed:
            waiting = [queue[0].received for queue in (self._aside, self._pending) if queue]
            oldest = min(waiting, default=None) if self._working is None else self._working
        return 0.0 if oldest is None else max(0.0, time.perf_counter() - oldest)

    def submit(self, pending: Pending) -> Future[LogEntry]:
        """Queue a request. Raises ServingError Overloaded when too many rows wait already."""
        with self._changed:
            if self._closing:
                raise ServingError("NotReady", "The service is shutting down.", "Send the request again.")
            full = self._waiting_rows + len(pending.rows) > self._limits.waiting_rows
            if full and self._pending:
                raise ServingError(
                    "Overloaded",
                    f"{self._waiting_rows} rows are waiting already.",
                    "Send the request again in a second, or start more replicas.",
                    headers={"Retry-After": "1"},
                )
            self._pending.append(pending)
            self._waiting_rows += len(pending.rows)
            self._changed.notify()
        return pending.future

    def close(self, seconds: float | None = None) -> bool:
        """Answer what waits, then end the worker; whether it ended within `seconds`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._take_up()  # the worker itself waits for what they need
        if self._worker.is_alive():
            self._worker.join(seconds)
        return not self._worker.is_alive()

    def _work(self) -> None:
        while batch := self._take():
            self._working = batch[0].received
            try:
                self._answer(batch)
            except Exception as error:  # the worker must outlive whatever a model or a driver raises
                report(logger, "batch failed", error)
                _fail(
                    batch, ServingError("ServingFailed", "The prediction failed.", "See the service's log.")
                )
            finally:
                self._working = None

    def _take(self) -> list[Pending]:
        """Everything that waits, up to `batch_rows`; empty when closing and nothing is left."""
        with self._changed:
            while not self._pending:
                if self._closing:
                    return []
                self._changed.wait()
            batch, rows = [self._pending.popleft()], 0
            rows = len(batch[0].rows)
            while self._pending and rows + len(self._pending[0].rows) <= self._limits.batch_rows:
                batch.append(self._pending.popleft())
                rows += len(batch[-1].rows)
            self._waiting_rows -= rows
        # A caller that went away needs no answer; from here on it cannot go away unseen.
        live = [p for p in batch if p.future.running() or p.future.set_running_or_notify_cancel()]
        return live or self._take()

    def _put_aside(self, pending: Pending) -> None:
        with self._changed:
            self._waiting_rows += len(pending.rows)
            (self._pending if self._loaded else self._aside).append(pending)

    def _take_up(self) -> None:
        """What was put aside can be answered, or refused, now."""
        with self._changed:
            self._loaded = True
            self._pending.extendleft(reversed(self._aside))
            self._aside.clear()
            self._changed.notify()

    def _answer(self, batch: Sequence[Pending]) -> None:
        """Predict, log, then resolve. One bad request never fails its neighbours."""
        entries = self._predict(batch)
        if entries is None:
            if len(batch) > 1:
                for pending in batch:
                    self._answer([pending])
            return
        try:
            if self._log is not None:
                with self._metrics.commit_seconds.time():
                    self._log.write(entries)
        except IntegrityError:
            # Some request id is known already, or twice in this batch: only one by one can tell which.
            for pending, entry in zip(batch, entries, strict=True):
                self._replay(pending, entry)
            return
        except ServingError as error:
            report(logger, "log failed", error.__cause__ or error)
            if not self._answer_unlogged:
                _fail(batch, error)
                return
            self._metrics.unlogged.inc(sum(len(entry.rows) for entry in entries))
        for pending, entry in zip(batch, entries, strict=True):
            self._resolve(pending, entry)

    def _predict(self, batch: Sequence[Pending]) -> list[LogEntry] | None:
        """An entry a request; None when the call failed (a single request is failed with the reason), or has to wait
        (a single request is put aside)."""
        rows = [row for pending in batch for row in pending.rows]
        try:
            answer = self._asked(rows)
        except StillLoading:
            if len(batch) == 1:
                self._put_aside(batch[0])
            return None
        except Exception as error:  # a model may raise anything
            if len(batch) == 1:
                _fail(batch, _model_error(error))
            return None
        self._metrics.batch_rows.observe(len(rows))
        return self._entries(batch, answer)

    def _asked(self, rows: Sequence[dict[str, Any]]) -> Prediction:
        """The model's answers. Of many rows a slice at a time: small requests that came meanwhile are answered in
        between, so that they never wait for more than a slice."""
        if len(rows) <= _SLICE_ROWS:
            return self._dataplane.predict(rows, wait=self._closing)
        values: list[Any] = []
        probabilities: list[list[float]] | None = []
        for start in range(0, len(rows), _SLICE_ROWS):
            if start:
                self._answer_small()
            part = self._dataplane.predict(rows[start : start + _SLICE_ROWS], wait=self._closing)
            values += part.values
            if probabilities is not None and part.probabilities is not None:
                probabilities += part.probabilities
            else:
                probabilities = None
        return Prediction(values, probabilities)

    def _answer_small(self) -> None:
        """What waits and is together no more than a slice, in its order; large requests keep their places."""
        with self._changed:
            small: list[Pending] = []
            rows = 0
            large: deque[Pending] = deque()
            for pending in self._pending:
                if rows + len(pending.rows) <= _SLICE_ROWS:
                    small.append(pending)
                    rows += len(pending.rows)
                else:
                    large.append(pending)
            self._pending = large
            self._waiting_rows -= rows
        live = [p for p in small if p.future.running() or p.future.set_running_or_notify_cancel()]
        if live:
            self._answer(live)

    def _entries(self, batch: Sequence[Pending], answer: Prediction) -> list[LogEntry]:
        now, clock = time.time(), time.perf_counter()
        entries, start = [], 0
        for pending in batch:
            stop = start + len(pending.rows)
            entries.append(
                LogEntry(
                    pending.request_id,
                    pending.rows,
                    answer.part(start, stop),
                    version=self._dataplane.version,
                    role=pending.role,
                    variant=pending.variant,
                    at=now,
                    latency_ms=(clock - pending.received) * 1000,
                )
            )
            start = stop
        return entries

    def _replay(self, pending: Pending, entry: LogEntry) -> None:
        assert self._log is not None
        try:
            self._resolve(pending, self._log.write_or_replay(entry))
        except ServingError as error:
            if error.kind == "LogUnavailable" and self._answer_unlogged:
                self._metrics.unlogged.inc(len(entry.rows))
                self._resolve(pending, entry)
            else:
                _fail([pending], error)

    def _resolve(self, pending: Pending, entry: LogEntry) -> None:
        self._metrics.predictions.inc(len(entry.rows))
        pending.future.set_result(entry)


def _fail(batch: Sequence[Pending], error: ServingError) -> None:
    for pending in batch:
        if not pending.future.done():
            pending.future.set_exception(error)


def _model_error(error: Exception) -> ServingError:
    """ValueError, TypeError and KeyError are how models say that rows do not fit; the rest is our fault."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, ValueError | TypeError | KeyError):
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return ServingError(
            "InvalidData",
            f"The model does not accept these rows: {lines[0][:300]}",
            "Compare the rows with the model's sample at GET /.",
        )
    report(logger, "model failed", error)
    return ServingError("ServingFailed", "The model failed on these rows.", "See the service's log.")
