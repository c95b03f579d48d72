"""Counts what is answered into windows, while it is answered, and writes each minute down when it is over.

What it loses when the process is killed, or drops while the database does not answer, is counted again from the log.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from mlops_workbench.serving.logs import report
from mlops_workbench.serving.windows import Columns, WindowKey, create, window_tables, write
from mlops_workbench.summary.reference import DataReference
from mlops_workbench.summary.window import MINUTE, Window

logger = logging.getLogger("mlops_workbench.serving")

_WAITING_CELLS = 8_192
"""values that wait to be counted: NumPy counts many at once; more of them would only wait in memory"""
_WAITING_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_CLOSING_SECONDS = 2.0
_MOST_MINUTES = 10
"""that are kept while the database does not take them"""


class Recorder:
    """Of one version in one process. `add` is called from one thread, the rest from any."""

    def __init__(
        self,
        reference: DataReference,
        log: Table,
        engine: Engine,
        name: tuple[str, str],
        hidden: Collection[str] = (),
    ) -> None:
        """`log`: the table whose rows are counted. `name`: of the model, and its version. `hidden`: columns that the
        table does not hold as they were sent."""
        self._reference = reference
        self._engine = engine
        model, self._version = name
        self._tables = window_tables(model)
        self._columns = Columns(reference, log, hidden)
        self._writer = uuid.uuid4().hex[:12]
        self._written = 0
        self._waiting: list[tuple[Any, ...]] = []
        self._since = 0.0
        self._windows: dict[WindowKey, Window] = {}
        self._errors: dict[WindowKey, Counter[str]] = {}
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlops-windows", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, records: Sequence[tuple[Any, ...]]) -> None:
        """Rows that the log has taken."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += records
            if len(self._waiting) * len(self._reference.parts) >= _WAITING_CELLS:
                self._count()

    def failed(self, role: str, code: int) -> None:
        """A request that was answered by an error."""
        key = WindowKey(self._version, role, int(time.time()) // MINUTE * MINUTE)
        with self._lock:
            self._errors.setdefault(key, Counter())[str(code)] += 1

    def close(self) -> None:
        """Write down what there is."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSING_SECONDS)
        self._flush(math.inf)

    def _run(self) -> None:
        while not self._ends.wait(_LOOK_SECONDS):
            with self._lock:
                if self._waiting and time.monotonic() - self._since > _WAITING_SECONDS:
                    self._count()
            self._flush(time.time())

    def _count(self) -> None:
        """The lock is held. Whatever goes wrong here costs no answer: the log has the rows."""
        waiting, self._waiting = self._waiting, []
        try:
            found = self._columns.windows(waiting)
        except Exception as error:
            report(logger, "rows not counted", error)
            return
        for key, window in found.items():
            if key in self._windows:
                self._windows[key].add(window)
            else:
                self._windows[key] = window

    def _flush(self, now: float) -> None:
        """Write down the minutes that are over."""
        with self._lock:
            if now == math.inf and self._waiting:
                self._count()
            over = {k for k in (*self._windows, *self._errors) if k.start + MINUTE + _WAITING_SECONDS < now}
            if not over:
                return
            done = {key: (self._windows.pop(key, None), self._errors.pop(key, Counter())) for key in over}
            self._written += 1
        writer = f"{self._writer}-{self._written}"
        try:
            with self._engine.begin() as connection:
                create(connection, self._tables)
                write(connection, self._tables, writer, self._reference.layout, done)
        except SQLAlchemyError as error:
            report(logger, "windows not written", error)
            self._keep(done)

    def _keep(self, done: Mapping[WindowKey, tuple[Window | None, Counter[str]]]) -> None:
        """For the next time, unless there are too many: the log has them."""
        with self._lock:
            for key, (window, errors) in done.items():
                if window is not None and key in self._windows:
                    window.add(self._windows[key])
                if window is not None:
                    self._windows[key] = window
                if errors:
                    self._errors[key] = errors + self._errors.get(key, Counter())
            for kept in (self._windows, self._errors):
                for key in sorted(kept, key=lambda k: k.start)[:-_MOST_MINUTES]:
                    del kept[key]
