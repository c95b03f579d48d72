"""Verbs that read, each as a fresh process on a project with 10,000 runs and 1,000 versions, beside MLflow.

    python benchmarks/cli.py [runs] [versions] [rounds]

One run and one version are made as a person makes them; the others are copies of their rows. MLflow's command line
knows runs only: what stands beside `models` is a script of two lines that asks its client for the same. The sides are
taken in turns, medians are shown.
"""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

MODELS = 20
PYTHON = sys.executable
CLIENT = "from mlflow import MlflowClient as C; c = C(); "
EVERY_VERSION = CLIENT + (
    "print(len([*c.search_model_versions(max_results=10_000)]), len([*c.search_registered_models()]))"
)
ONE_VERSION = (
    CLIENT + "v = c.get_model_version_by_alias('model-0', 'champion'); print(v, c.get_run(v.run_id))"
)


def make(root: Path, runs: int, versions: int) -> None:
    """A project with that many runs and versions."""
    import numpy as np
    import pandas as pd

    from mlops_workbench.track.runs import Cell
    from mlops_workbench.workbench import Workbench

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": draw.normal(size=1000) for i in range(8)})
    frame["late"] = (frame["x0"] + draw.logistic(size=1000) > 0).astype(int)
    space: dict[str, object] = {"train": frame[:500], "test": frame[500:].reset_index(drop=True)}
    source = (
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(train.drop(columns='late'), train['late'])"
    )
    workbench = Workbench(root, namespace=space)
    workbench.init("benchmark")
    for name in ("fit", "fit again"):
        workbench.run(
            Cell(source, lambda: exec(source, space), space), name=name, data="train", evaluate="test"
        )
    workbench.register(space["model"], name="model-0")
    workbench.gate("model-0", version=1, first=True)
    workbench.promote("model-0", version=1, why="the first")
    copy_runs(root / ".mlops" / "mlflow.db", runs - 2)
    copy_versions(root / ".mlops" / "mlflow.db", workbench, versions - 1)
    workbench.close()


def copy_runs(file: Path, count: int) -> None:
    """Copies of the newest run's rows, each started a minute after the one before."""
    with closing(sqlite3.connect(file)) as connection, connection:
        (seen, started), *_ = connection.execute(
            "SELECT run_uuid, start_time FROM runs ORDER BY start_time DESC LIMIT 1"
        )
        for number in range(count):
            run, at = uuid.uuid4().hex, started - 60_000 * (number + 1)
            _copy(
                connection, "runs", f"run_uuid = '{seen}'", run_uuid=run, name=f"run {number}", start_time=at
            )
            for table in ("latest_metrics", "params", "tags"):
                _copy(connection, table, f"run_uuid = '{seen}'", run_uuid=run)
            connection.execute(
                "UPDATE latest_metrics SET value = value * ? WHERE run_uuid = ?",
                (1 - number / count / 9, run),
            )


def copy_versions(file: Path, workbench: object, count: int) -> None:
    """Copies of the first version's rows over some models, with a ledger entry and a gate report each."""
    from mlops_workbench.registry import ledger

    store = workbench.store  # type: ignore[attr-defined]
    named = [(f"model-{n % MODELS}", n // MODELS + 1) for n in range(MODELS * (count // MODELS + 1) + 1)]
    with closing(sqlite3.connect(file)) as connection, connection:
        for name, version in named[1 : count + 1]:
            if version == 1:
                _copy(connection, "registered_models", "name = 'model-0'", name=name)
                _copy(connection, "registered_model_aliases", "name = 'model-0'", name=name)
            where = "name = 'model-0' AND version = 1"
            _copy(connection, "model_versions", where, name=name, version=version)
            _copy(connection, "model_version_tags", where, name=name, version=version)
    with store.write() as connection:
        for name, version in named[1 : count + 1]:
            made = ledger.NewEntry("register", name, version, "from a copy", {"sha256": "0" * 64})
            ledger.append(connection, store.now(), made)
            if version == 1:
                first = ledger.NewEntry("promote", name, version, "from a copy", {}, "champion")
                ledger.append(connection, store.now(), first)
            connection.exec_driver_sql(
                "INSERT INTO workbench_gates (model, version, at, who, passed, champion, report, digest) "
                "SELECT ?, ?, at, who, passed, champion, report, digest FROM workbench_gates WHERE id = 1",
                (name, version),
            )


def _copy(connection: sqlite3.Connection, table: str, where: str, **changed: object) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join("?" if column in changed else column for column in columns)
    values = [changed[column] for column in columns if column in changed]
    connection.execute(f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {where}", values)


def seconds(words: Sequence[str], folder: Path) -> float:
    env = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/.mlops/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    started = time.perf_counter()
    subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - started


def experiment(folder: Path) -> str:
    with closing(sqlite3.connect(folder / ".mlops" / "mlflow.db")) as connection:
        (found,), *_ = connection.execute("SELECT experiment_id FROM experiments WHERE name = 'benchmark'")
    return str(found)


def main(runs: int = 10_000, versions: int = 1000, rounds: int = 7) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        make(folder, runs, versions)
        mlflow = [PYTHON, "-m", "mlflow"]
        every_run = [*mlflow, "runs", "list", "--experiment-id", experiment(folder)]
        every_version, one_version = [PYTHON, "-c", EVERY_VERSION], [PYTHON, "-c", ONE_VERSION]
        sides: dict[str, list[str] | None] = {
            "status": every_version,
            "models": every_version,
            "models --name model-3": None,
            "runs": every_run,
            "runs --sort roc_auc --limit 50": None,
            "runs --where 'roc_auc > 0.7'": None,
            "history model-0": None,
            "lineage model-0": one_version,
            "card model-0": None,
            "compare fit 'fit again'": None,
            "deployments": None,
            "alerts": None,
            "jobs": None,
            "ledger": None,
            "ledger verify": None,
            "images": None,
        }
        print(
            f"{runs} runs, {versions} versions of {MODELS} models; medians of {rounds}, seconds of a process"
        )
        print(f"{'':34}{'mlops':>8}{'slowest':>9}{'MLflow':>8}{'ratio':>7}")
        for line, beside in sides.items():
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(seconds([PYTHON, "-m", "mlops_workbench", *shlex.split(line)], folder))
                if beside:
                    theirs.append(seconds(beside, folder))
            mine = statistics.median(ours)
            other = (
                f"{statistics.median(theirs):8.2f}{statistics.median(theirs) / mine:7.0f}" if theirs else ""
            )
            print(f"{line:34}{mine:8.3f}{max(ours):9.3f}{other}", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
