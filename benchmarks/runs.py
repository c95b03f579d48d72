"""A page of `runs` among 10,000: newest, sorted by a metric, by a parameter, filtered; beside `mlflow.search_runs`.

    python benchmarks/runs.py [runs] [rounds]

The runs are written with batch calls into MLflow's own store (10 parameters and 10 metrics each). Each reading is a
whole call; the two sides are taken in turns, medians are shown. SQLite has counted its tables before, as it does
after a tracked run; how long that takes is shown apart.
"""

from __future__ import annotations

import logging
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_workbench.track.writing import update_statistics
from mlops_workbench.workbench import Workbench

PAGE = 50


def write(workbench: Workbench, runs: int) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client, experiment = workbench.tracking.client, workbench.tracking.experiment_id
    draw = random.Random(0)
    for number in range(runs):
        started = 1_760_000_000_000 + number * 60_000
        run = client.create_run(experiment, start_time=started, run_name=f"run {number}")
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(f"metric_{i}", draw.random(), started, 0) for i in range(10)],
            params=[Param(f"param_{i}", str(draw.randint(1, 200))) for i in range(10)],
            tags=[RunTag("mlops.target", "late")],
        )
        client.set_terminated(run.info.run_id, end_time=started + draw.randint(1000, 60_000))


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(runs: int = 10_000, rounds: int = 7) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        workbench = Workbench(Path(folder) / "project")
        workbench.init("benchmark")
        write(workbench, runs)
        measure(workbench, rounds)
        workbench.close()


def measure(workbench: Workbench, rounds: int) -> None:
    import mlflow

    experiment = workbench.tracking.experiment_id
    mlflow.set_tracking_uri(workbench.project.tracking_url)

    def theirs(**options: Any) -> Callable[[], Any]:
        return lambda: mlflow.search_runs([experiment], max_results=PAGE, **options)

    def ours(**options: Any) -> Callable[[], Any]:
        return lambda: workbench.runs(limit=PAGE, **options)

    by_metric = ["metrics.metric_3 DESC"]
    high = "metrics.metric_3 > 0.9 and params.param_1 = '7'"
    sides = {
        "newest": (ours(), theirs()),
        "by a metric": (ours(sort="metric_3"), theirs(order_by=by_metric)),
        "filtered": (ours(where="metric_3 > 0.9 and param_1 = '7'"), theirs(filter_string=high)),
        "filtered, by a metric": (
            ours(sort="metric_3", where="metric_3 > 0.9"),
            theirs(order_by=by_metric, filter_string="metrics.metric_3 > 0.9"),
        ),
        "by a parameter": (ours(sort="param_2"), None),
        "by seconds, filtered": (ours(sort="seconds", where="param_1 = '7'"), None),
    }
    untuned = seconds(theirs(order_by=by_metric))
    print(f"a page of {PAGE}, medians of {rounds}")
    print(f"mlflow.search_runs by a metric before SQLite has counted: {untuned:.2f} s")
    file = workbench.project.state / "mlflow.db"
    print(f"counting, as the next tracked run would let it: {seconds(lambda: update_statistics(file)):.2f} s")
    print(f"{'':24}{'runs':>8}{'slowest':>10}{'mlflow.search_runs':>20}")
    for name, (mine, other) in sides.items():
        a, b = [], []
        for _ in range(rounds):
            a.append(seconds(mine))
            if other:
                b.append(seconds(other))
        beside = f"{statistics.median(b):.3f}" if b else "–"
        print(f"{name:24}{statistics.median(a):8.3f}{max(a):10.3f}{beside:>20}")
    print(f"{'newest, with its HTML':24}{seconds(lambda: workbench.runs(limit=PAGE)._repr_html_()):8.3f}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
