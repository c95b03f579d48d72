"""Kill -9 at random: a verb in a process of its own, ended somewhere in its work, and what the project is then like.

python kills.py [--postgres URL] [--kills 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import databases
import forks
import pandas as pd
import projects
import psutil
from projects import champion, fit, pipeline, trips

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.data import parquet
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry import intents, ledger
from mlops_workbench.serving.answers import Prediction
from mlops_workbench.serving.predlog import LogEntry, PredictionLog
from mlops_workbench.workbench import Workbench

NAME = "trips"
"""the model"""


RIGHT = ("did not pass the gate", "held-out rows", "the champion is version")
"""Warnings of a project of which nothing is wrong."""


@dataclass(frozen=True)
class Victim:
    """A verb that is killed. `prepare` makes what it needs and says what it is to be given; `ready` runs in its own
    process before the clock starts."""

    name: str
    act: Callable[[Workbench, Any], Any]
    prepare: Callable[[Workbench, int], Any] = lambda _workbench, _round: None


def _next_version(workbench: Workbench, _round: int) -> int:
    """A version that nothing refers to."""
    return int(workbench.register(fit(workbench, c=0.3), name=NAME).version)


def _other(workbench: Workbench, _round: int) -> int:
    """One of two versions: the one that is not champion."""
    return 2 if workbench.tracking.alias(NAME, "champion") == 1 else 1


def _former(workbench: Workbench, number: int) -> int:
    """A champion to go back to."""
    workbench.promote(NAME, version=_other(workbench, number), why="before a rollback", force=True)
    return 0


def _register(workbench: Workbench, model: Any) -> None:
    workbench.register(model, name=NAME, data="train", evaluate="test", target="late")


def _label(workbench: Workbench, number: int) -> None:
    labels = pd.DataFrame({"request_id": [f"r{n}" for n in range(400)], "row_index": 0, "late": number % 2})
    workbench.namespace = {**workbench.namespace, "labels": labels}
    workbench.label(NAME, "labels")


def _rows(workbench: Workbench, number: int) -> None:
    workbench.namespace = {**workbench.namespace, "rows": trips(rows=3000, seed=number)}


def _snapshot(workbench: Workbench, number: int) -> None:
    _rows(workbench, number)
    workbench.snapshot("rows", name="rows")


def _validate(workbench: Workbench, number: int) -> None:
    _rows(workbench, number)
    try:
        workbench.validate("rows", contract=f"c{number % 3}", infer=True)
    except MlopsError as problem:
        if "exists" not in str(problem) and "already" not in str(problem):
            raise


def _alias(workbench: Workbench, number: int) -> None:
    workbench.alias(NAME, "staging", version=number, why="a test")


def _not_staging(workbench: Workbench, _round: int) -> int:
    return 2 if workbench.tracking.alias(NAME, "staging") == 1 else 1


VICTIMS = (
    Victim("promote", lambda w, n: w.promote(NAME, version=n, why="a test", force=True), _other),
    Victim("register", lambda w, _: _register(w, pipeline().fit(_x(w), w.namespace["train"]["late"]))),
    Victim("rollback", lambda w, _: w.rollback(NAME, why="a test"), _former),
    Victim("alias", _alias, _not_staging),
    Victim("retire", lambda w, n: w.retire(NAME, version=n, why="a test"), _next_version),
    Victim("delete", lambda w, n: w.delete(NAME, version=n, why="a test"), _next_version),
    Victim(
        "approve", lambda w, n: w.approve(NAME, version=n, why="a test"), lambda _, number: 1 + number % 2
    ),
    Victim("label", _label, lambda _, number: number),
    Victim("snapshot", _snapshot, lambda _, number: number),
    Victim("validate", _validate, lambda _, number: number),
    Victim("serve", lambda w, _: w.serve(NAME, kind="process")),
)
"""Every verb that writes and needs no Docker engine."""


BUILD = Victim("build", lambda w, _: w.build(NAME, version=1))
_ALL = (*VICTIMS, BUILD)


def _x(workbench: Workbench) -> Any:
    return workbench.namespace["train"].drop(columns="late")


def built(workbench: Workbench) -> None:
    """A project with two versions, and a log to label."""
    set_policy(workbench)
    champion(workbench)
    version = int(workbench.register(fit(workbench, c=0.5, run="second"), name=NAME).version)
    workbench.gate(NAME, version=version)
    manifest = Manifest.load(workbench.tracking.folder(workbench.tracking.version(NAME, version)))
    log = PredictionLog(workbench.project.inference_url, manifest, NAME)
    row = {feature.name: None for feature in manifest.inputs}
    log.write(
        [
            LogEntry(
                f"r{n}",
                [row],
                Prediction([0], [[0.5, 0.5]]),
                version="1",
                role="champion",
                at=1e9,
                latency_ms=1,
            )
            for n in range(400)
        ]
    )
    log.close()


def set_policy(workbench: Workbench) -> None:
    projects.set_policy(workbench, "[gate]\ntrained_rows = 1.0\n")


def perform(root: Path, number: int, given: Any, gate: Connection) -> None:
    """In the process that is killed: the verb, when it is told to begin. What it says is in a file."""
    victim = _ALL[number]
    warnings.simplefilter("ignore")
    namespace = {"train": trips(seed=1), "test": trips(seed=2)}
    with (
        (root.parent / "said").open("a") as said,
        redirect_stdout(said),
        redirect_stderr(said),
        closing(Workbench(root, namespace=namespace)) as workbench,
    ):
        _ = workbench.project, workbench.store
        gate.send("ready")
        gate.recv()
        try:
            victim.act(workbench, given)
            gate.send("done")
        except BaseException as problem:
            gate.send(f"{type(problem).__name__}: {problem}")
            raise


@dataclass
class Kills:
    """What happened. `landed`: kills by verb that found it at work; `wrong`: what was not right afterwards."""

    landed: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def kill(root: Path, number: int, round_: int, after: float | None) -> tuple[float, bool, str]:
    """Seconds until it ended or was killed, whether it was killed, and what it said."""
    with closing(Workbench(root, namespace={"train": trips(seed=1), "test": trips(seed=2)})) as workbench:
        given = _ALL[number].prepare(workbench, round_)
    ours, theirs = forks.context().Pipe()
    process = forks.context().Process(target=perform, args=(root, number, given, theirs))
    process.start()
    theirs.close()
    assert ours.poll(120), "it did not begin"
    ours.recv()
    began = time.monotonic()
    ours.send("begin")
    said, killed = "", False
    if not ours.poll(120 if after is None else after):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        killed = True
    took = time.monotonic() - began
    try:
        said = ours.recv() if ours.poll(0) else ""
    except EOFError:
        said = ""
    process.join(60)
    return took, killed, said


def run(root: Path, kills: int, seed: int, report: Callable[[str], None] = lambda _: None) -> Kills:
    """Kill verbs in turn, `kills` in total, each somewhere in its usual time; look at the project after each."""
    rng, found = random.Random(seed), Kills()
    usual: dict[int, float] = {}
    round_ = 0
    while found.landed.total() < kills:
        number, round_ = round_ % len(VICTIMS), round_ + 1
        name = VICTIMS[number].name
        if number not in usual:
            usual[number], _, said = kill(root, number, 1000 + number, None)
            if said != "done":
                found.wrong.append(f"{name} without a kill: {said}")
            found.wrong += [f"{name} without a kill: {one}" for one in looked(root, found)]
        late = 0.6 * rng.randrange(2)  # every second time in its last part, where the most is written
        after = (late + rng.random() * (1 - late)) * usual[number]
        took, killed, said = kill(root, number, round_, after)
        if killed:
            found.landed[name] += 1
        else:
            usual[number] = min(usual[number], took)  # the first time is the slowest
        if not killed and said != "done":
            found.wrong.append(f"round {round_}, {name}: {said}")
        found.wrong += [f"round {round_}, {name} after {after:.3f} s: {one}" for one in looked(root, found)]
        report(f"{round_} {name} {after:.3f} {'killed' if killed else 'done'} {found.wrong[-1:]}")
    return found


def looked(root: Path, found: Kills) -> list[str]:
    """What is wrong with a project, looked at by the next verbs."""
    with closing(Workbench(root)) as workbench:
        warnings_ = workbench.status().warnings
        wrong = []
        for warning in warnings_:
            if "was started by a `serve` that was killed" in warning:
                found.repaired["deployment ended"] += 1
                for alert in workbench.alerts().alerts:
                    workbench.alerts("ack", alert.id)
            elif not any(words in warning for words in RIGHT):
                wrong.append(f"status: {warning}")
        wrong += ledger.verify(workbench.store, workbench.tracking.noted_ledger()).problems
        entries = ledger.entries(workbench.store, NAME)
        found.repaired["entry written"] = sum(bool(e.evidence.get("repaired")) for e in entries)
        wrong += [f"ledger: {e.action}" for e in entries if "outside" in e.action]
        wrong += [f"an intent of {model} is left" for model in intents.concerned(workbench.store)]
        aliases = workbench.tracking.aliases(NAME)
        if aliases != ledger.pointers(entries):
            wrong.append(f"aliases {aliases}, by the ledger {ledger.pointers(entries)}")
        versions = workbench.tracking.all_version_numbers()[NAME]
        if versions != ledger.standing(entries):
            wrong.append(f"versions {versions}, by the ledger {ledger.standing(entries)}")
        try:
            workbench.load(NAME, version=max(versions))
        except MlopsError as problem:
            wrong.append(f"version {max(versions)}: {problem}")
        wrong += _unrecorded(workbench, root)
        wrong += _snapshots(workbench)
        return wrong


def _unrecorded(workbench: Workbench, root: Path) -> list[str]:
    """Processes that serve from this project and no record knows; records of what does not run."""
    known = {live.deployment.pid: live.state for live in workbench.deployments().deployments}
    wrong = [
        f"deployment {pid} is {state}" for pid, state in known.items() if state not in ("ready", "starting")
    ]
    if len(known) > 1:
        wrong.append(f"{len(known)} deployments serve one model")
    for process in psutil.process_iter():
        try:
            if "mlops_workbench.serving" not in process.cmdline() or process.pid in known:
                continue
            if process.environ().get("MLOPS_MODEL_DIR", "").startswith(str(root)):
                wrong.append(f"process {process.pid} serves and no record knows it")
        except psutil.Error:
            continue
    return wrong


def _snapshots(workbench: Workbench) -> list[str]:
    """Files that are not whole; records without a file."""
    wrong = []
    folder = workbench.project.state / "snapshots"
    for file in folder.glob("*.parquet"):
        try:
            parquet.read(file)
        except Exception as problem:
            wrong.append(f"{file.name} is not whole: {problem}")
    kept = [row["sha256"] for row in workbench.store.read("SELECT sha256 FROM workbench_snapshots")]
    lost = [name for name in kept if not (folder / f"{name}.parquet").exists()]
    return wrong + [f"the snapshot {name[:8]} has no file" for name in lost]


def stop_all(root: Path) -> None:
    with closing(Workbench(root)) as workbench:
        for live in workbench.deployments().deployments:
            workbench.stop(live.model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", help="URL of a server")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    forks.use(os.environ)
    databases.use(asked.postgres)
    with tempfile.TemporaryDirectory() as folder:
        url, template = None, Path(folder) / "template"
        if asked.postgres:
            made = databases.database()
            url = made.__enter__()
            (Path(folder) / "migrated").mkdir()
            projects.migrate(Path(folder) / "migrated", url)
        workbench = projects.project(template, Path(folder) / "project", stores=url)
        built(workbench)
        workbench.close()
        root = workbench.project.root
        began = time.monotonic()
        try:
            found = run(root, asked.kills, asked.seed, lambda line: print(line, file=sys.stderr, flush=True))
        finally:
            stop_all(root)
        print(
            json.dumps(
                {
                    "landed": found.landed,
                    "repaired": found.repaired,
                    "wrong": found.wrong,
                    "seconds": round(time.monotonic() - began),
                },
                indent=1,
            )
        )
        if url:
            databases.let_go(url)
            made.__exit__(None, None, None)


if __name__ == "__main__":
    main()
