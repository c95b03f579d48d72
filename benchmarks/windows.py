"""`drift` of a month of 100 million predictions from its windows, and of a million logged rows of 16 columns.

The windows of the month are made by a simulation: each of its minutes gets one of a hundred windows that were counted
from rows; what `drift` reads and adds up is what a runtime would have written. The million rows are brought in by
`ingest`. Medians of some rounds, in one process.

    windows.py [ROUNDS]
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from register import fit

from mlops_workbench.base.clock import VirtualClock
from mlops_workbench.monitor import watching
from mlops_workbench.serving.windows import WindowKey, record
from mlops_workbench.summary.window import Window, counted
from mlops_workbench.workbench import Workbench

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, PREDICTIONS = 30, 100_000_000
ROWS, COLUMNS = 1_000_000, 16


def rows(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"number {i}": rng.normal(size=count) for i in range(COLUMNS - 3)})
    for i in range(3):
        frame[f"word {i}"] = rng.choice(list("abcdefgh"), count)
    frame["late"] = (frame["number 0"] + rng.logistic(size=count) > 0).astype(int)
    return frame


def month(workbench: Workbench) -> int:
    """Windows of 30 days; how many rows they hold."""
    log = watching.window_log(workbench, "late")
    reference = log.references("1")
    assert reference is not None
    each = PREDICTIONS // (DAYS * 1440)
    made: list[Window] = []
    for seed in range(100):
        frame = rows(each, 100 + seed)
        answers: dict[str, Any] = {
            "prediction": frame["late"].tolist(),
            "score": np.random.default_rng(seed).random(each),
            "latency": [5.0] * each,
        }
        columns: dict[str, Any] = {name: frame[name].tolist() for name in frame}
        made.append(counted(reference, columns, answers, requests=each))
    tables = log.tables
    with log.writing() as engine:
        for day in range(DAYS):
            begin = int(START.timestamp()) + 86_400 * day
            keys = [WindowKey("1", "champion", begin + 60 * minute) for minute in range(1440)]
            with engine.begin() as connection:
                connection.execute(
                    tables.windows.insert(),
                    [record(k, "made", reference.layout, made[k.start // 60 % 100]) for k in keys],
                )
        with engine.begin() as connection:
            marks = tables.marks
            connection.execute(marks.update().values(sealed_until=int(START.timestamp()) + 86_400 * DAYS))
    return each * DAYS * 1440


def median(rounds: int, work: Callable[[], Any]) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def project(folder: Path) -> Workbench:
    workbench = Workbench(folder)
    workbench.init("benchmark")
    workbench.clock = VirtualClock(START + timedelta(days=DAYS, hours=1))
    frame = rows(20_000, 0)
    workbench.register(fit(frame), name="late", data=frame)
    return workbench


def brought(workbench: Workbench, count: int) -> None:
    frame = rows(count, 1)
    frame["at"] = pd.Timestamp(START) + pd.to_timedelta(np.linspace(0, 86_400 * DAYS - 1, count), unit="s")
    frame["p"] = np.random.default_rng(0).random(count)
    workbench.ingest("late", frame, at="at", prediction="late", score="p", version=1)


def main(rounds: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    period = {"start": "2026-01-01", "end": "2026-01-31", "version": 1}
    with tempfile.TemporaryDirectory() as scratch:
        workbench = project(Path(scratch) / "month")
        brought(workbench, 1_000)
        workbench.monitor()
        total = month(workbench)
        print(f"drift of {total:,} predictions, {DAYS * 1440:,} minutes: ", end="")
        print(f"{median(rounds, lambda: workbench.drift('late', **period)):.2f} s")
        workbench.monitor()
        print(
            f"  after `monitor` made hours: {median(rounds, lambda: workbench.drift('late', **period)):.2f} s"
        )
        workbench.close()
        workbench = project(Path(scratch) / "rows")
        begun = time.perf_counter()
        brought(workbench, ROWS)
        print(f"ingest of {ROWS:,} rows × {COLUMNS}: {time.perf_counter() - begun:.1f} s")
        print(
            f"drift of them from windows, sealed: {median(1, lambda: workbench.drift('late', **period)):.2f} s, ",
            end="",
        )
        print(f"again {median(rounds, lambda: workbench.drift('late', **period)):.2f} s")
        by_rows = median(rounds, lambda: workbench.drift("late", last=ROWS, version=1))
        print(f"drift of them row by row, with the read from SQLite: {by_rows:.2f} s")
        workbench.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
