"""`validate` beside pandera alone, on the same 1,000,000 × 30 frame and the same rules.

    python benchmarks/contracts.py [rows] [rounds]

Each reading is a process of its own, the sides in turns. Time is of one validation, imports and the frame made
before it. Memory is the peak above what the process held then, so that it is what the check itself needed.
Pandera's side is what its documentation shows: `schema.validate(frame, lazy=True)`, a `DataFrameSchema` with the
contract's own types, gaps, ranges, categories and keys as its built-in checks. Ours is the whole verb's path: the
contract is read from its file, checked, the data's fingerprint taken, and the report and its page made. `failing`:
a million rows break three columns.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")

ROWS = 1_000_000
SIDES = ("ours", "pandera")
CASES = ("kept", "failing")


def table(rows: int) -> pd.DataFrame:
    """18 floats (four with gaps), four integers (one a key), six texts (one a key), a boolean and a time."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"normal_{i}": rng.normal(i, 1, rows) for i in range(14)}
    columns |= {
        f"gaps_{i}": np.where(rng.random(rows) < 0.03, np.nan, rng.exponential(1, rows)) for i in range(4)
    }
    columns |= {f"integer_{n}": rng.integers(0, n, rows) for n in (24, 3000, 10**9)}
    columns["id"] = np.arange(rows)
    for n in (3, 16, 100, 150, 180):
        texts = np.array([f"category {j}" for j in range(n)], dtype=object)
        columns[f"text_{n}"] = texts[rng.integers(0, n, rows)]
    columns["code"] = np.array([f"x{j}" for j in rng.permutation(rows)], dtype=object)
    columns["flag"] = rng.random(rows) < 0.5
    columns["when"] = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 10**6, rows), unit="s")
    return pd.DataFrame(columns)


def broken(frame: pd.DataFrame) -> pd.DataFrame:
    """Three columns in which every row fails."""
    return frame.assign(normal_0=1e6, text_3="other", integer_24=-1)


def ours(frame: pd.DataFrame, folder: Path) -> Callable[[pd.DataFrame], Any]:
    from mlops_workbench.config import project
    from mlops_workbench.data import validating

    home = project.init(folder, "benchmark")
    validating.validate(home, frame, "frame", "c", infer=True)
    validating.validate(home, frame.head(2000), "frame", "c", infer=False)  # lazy imports

    def run(data: pd.DataFrame) -> None:
        report = validating.validate(home, data, "frame", "c", infer=False)
        report.to_dict()
        report.page()

    return run


def alone(frame: pd.DataFrame, folder: Path) -> Callable[[pd.DataFrame], Any]:
    import pandera.pandas as pandera

    from mlops_workbench.data.inferring import infer_contract

    columns = {}
    for name, rule in infer_contract(frame, "c").columns.items():
        checks = [] if rule.type != "number" else [pandera.Check(lambda s: ~np.isinf(s))]
        if rule.minimum is not None:
            checks.append(pandera.Check.ge(rule.minimum))
        if rule.maximum is not None:
            checks.append(pandera.Check.le(rule.maximum))
        if rule.values is not None:
            checks.append(pandera.Check.isin(rule.values))
        kind = frame[name].dtype
        columns[name] = pandera.Column(kind, checks, nullable=rule.nullable, unique=rule.unique)
    schema = pandera.DataFrameSchema(columns, strict=True)

    def run(data: pd.DataFrame) -> None:
        try:
            schema.validate(data, lazy=True)
        except pandera.errors.SchemaErrors as found:
            _ = found.failure_cases

    run(frame.head(2000))
    return run


def measure(side: str, case: str, rows: int) -> None:
    """Prints seconds and megabytes."""
    frame = table(rows)
    with tempfile.TemporaryDirectory() as folder:
        run = (ours if side == "ours" else alone)(frame, Path(folder))
        data = broken(frame) if case == "failing" else frame
        before = _resident()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the kernel's peak starts again from what is held now
        started = time.perf_counter()
        run(data)
        print(time.perf_counter() - started, _peak() - before)


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _peak() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6


def main(rows: int = ROWS, rounds: int = 5) -> None:
    print(f"{rows:,} rows × {table(10).shape[1]} columns, {rounds} rounds, {os.cpu_count()} cores")
    print(f"{'':20}{'median s':>10}{'min s':>10}{'peak MB':>10}")
    for case in CASES:
        found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                command = [sys.executable, __file__, "--measure", side, case, str(rows)]
                done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seconds, megabytes = map(float, done.split())
                found[side].append((seconds, megabytes))
        times = {side: [t for t, _ in taken] for side, taken in found.items()}
        memory = {side: statistics.median(m for _, m in taken) for side, taken in found.items()}
        for side in SIDES:
            print(
                f"{case:9}{side:11}{statistics.median(times[side]):10.2f}{min(times[side]):10.2f}{memory[side]:10.0f}"
            )
        slower = statistics.median(times["ours"]) / statistics.median(times["pandera"])
        print(f"{case:9}ratio: time {slower:.2f}, memory {memory['ours'] / memory['pandera']:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(*(int(word) for word in sys.argv[1:]))
