"""Drift of two frames: ours and Evidently's DataDriftPreset, on the same data in one run.

    python benchmarks/drift.py [rows] [rounds]

Times are taken in turns in one process. Memory is the peak of a process of its own, less what it held after
the imports and with the frames made, so that it is what the comparison itself needed on top of its input.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

os.environ["DO_NOT_TRACK"] = "1"
warnings.simplefilter("ignore")

ROWS = 560_000


def frames(rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Eight floats, three integers, five texts: 16 columns, as a year of flights has them."""

    def draw(seed: int, shift: float) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        columns: dict[str, Any] = {f"normal_{i}": rng.normal(shift * i, 1 + i, rows) for i in range(5)}
        columns["lognormal"] = rng.lognormal(0, 2, rows)
        columns["rounded"] = np.round(rng.gamma(2, 20, rows), 2)
        columns["missing"] = np.where(rng.random(rows) < 0.03, np.nan, rng.exponential(1 + shift, rows))
        columns |= {f"integer_{n}": rng.integers(0, n, rows) for n in (24, 3000, 10**9)}
        for n in (3, 16, 100, 300, 4000):
            names = np.array([f"category {j}" for j in range(n)], dtype=object)
            place = (rng.random(rows) ** (1.2 + shift) * n).astype(int)
            columns[f"text_{n}"] = names[np.minimum(place, n - 1)]
        return pd.DataFrame(columns)

    return draw(0, 0.0), draw(1, 0.1)


def ours() -> Callable[[pd.DataFrame, pd.DataFrame], Any]:
    import scipy.stats  # noqa: F401  # once a process, like Evidently's own imports

    from mlops_workbench.monitor.drift import compare

    return lambda reference, current: compare(reference, current).to_dict()


def evidently() -> Callable[[pd.DataFrame, pd.DataFrame], Any]:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    return lambda reference, current: Report([DataDriftPreset()]).run(current, reference).dict()


MAKERS = {"ours": ours, "evidently": evidently}


def seconds(rows: int, rounds: int) -> dict[str, list[float]]:
    reference, current = frames(rows)
    found: dict[str, list[float]] = {name: [] for name in MAKERS}
    runs = {name: make() for name, make in MAKERS.items()}
    small = reference.head(2000), current.head(2000)
    for run in runs.values():
        run(*small)
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run(reference, current)
            found[name].append(time.perf_counter() - started)
    return found


def peak(name: str, rows: int) -> None:
    """Prints megabytes. The small run first makes lazy imports and thread pools part of the baseline."""
    run = MAKERS[name]()
    reference, current = frames(rows)
    run(reference.head(2000), current.head(2000))
    before = _resident()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the kernel's peak starts again from what is held now
    run(reference, current)
    print(_peak() - before)


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _peak() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6


def main(rows: int = ROWS, rounds: int = 5) -> None:
    times = seconds(rows, rounds)
    memory = {}
    for name in MAKERS:
        command = [sys.executable, __file__, "--peak", name, str(rows)]
        memory[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{rows:,} rows × 16 columns each, {rounds} rounds, {os.cpu_count()} cores")
    print(f"{'':12}{'median s':>10}{'min s':>10}{'peak MB':>10}")
    for name, taken in times.items():
        print(f"{name:12}{statistics.median(taken):10.3f}{min(taken):10.3f}{memory[name]:10.0f}")
    faster = statistics.median(times["evidently"]) / statistics.median(times["ours"])
    print(f"ours is {faster:.1f}× faster and needs {memory['ours'] / memory['evidently']:.2f} of the memory")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(sys.argv[2], int(sys.argv[3]))
    else:
        main(*(int(word) for word in sys.argv[1:]))
