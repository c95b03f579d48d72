"""Jobs: real notebooks in real processes; a failed job is told truthfully and touches nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from projects import champion
from sqlalchemy import select

from mlops_workbench.base.errors import Conflict, JobFailed, NotFound, UsageError
from mlops_workbench.jobs import queue as jobs
from mlops_workbench.jobs import tables
from mlops_workbench.notebooks import engine
from mlops_workbench.workbench import Workbench

SUPPORT = Path(__file__).parents[1] / "support"

PARAMETERS = (
    "seed: int = 1  # of the data\nrate: float = 0.5\nfast: bool = False\nwords: list = ['a']\nname = 'x'"
)

GOOD = (
    f"""
import sys; sys.path.insert(0, {str(SUPPORT)!r})
from projects import pipeline, trips
train, test = trips(seed=seed), trips(seed=2)
%load_ext mlops_workbench
""",
    """%%mlops run --name again --data train --eval test --params seed
model = pipeline().fit(train.drop(columns="late"), train["late"])
""",
    "%mlops register model --name trips",
)


def notebook(workbench: Workbench, *cells: str) -> str:
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    first = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    made.cells = [first, *(nbformat.v4.new_code_cell(c.strip()) for c in cells)]
    path = workbench.project.root / "job.ipynb"
    nbformat.write(made, str(path))
    return str(path)


@pytest.fixture
def state(workbench: Workbench) -> Callable[[], Any]:
    """What a failed job must not touch."""

    def look() -> Any:
        history = workbench.history("trips")
        return history.champion, [e.hash for e in history.entries], len(workbench.models().models)

    return look


@pytest.mark.prepared(by=champion)
def test_a_retrained_version_goes_through_the_gate_and_is_promoted(workbench: Workbench) -> None:
    steps: list[str] = []
    workbench.progress = lambda message, fraction=None: steps.append(message)
    elsewhere = workbench.project.root.with_name("not in the project ü")
    elsewhere.mkdir()
    moved = Path(notebook(workbench, *GOOD)).rename(elsewhere / "job.ipynb")
    job = workbench.retrain("trips", notebook=str(moved), parameters=[("seed", "7")])
    assert job.state == "succeeded"
    assert job.result is not None
    assert job.result["promoted"] is True
    assert workbench.history("trips").champion == 2
    assert f"retrained by job {job.id}" in workbench.history("trips").entries[0].why
    tree = workbench.lineage("trips").to_dict()
    assert tree["run"]["job"] == str(job.id)
    assert tree["run"]["parameters"]["seed"] == "7"
    assert any("register model" in s for s in steps)
    assert "-p seed=7" in job.line.replace("--parameter", "-p")


@pytest.mark.prepared(by=champion)
def test_the_same_model_again_is_not_promoted_again(workbench: Workbench) -> None:
    before = workbench.history("trips").champion
    job = workbench.retrain(
        "trips", notebook=notebook(workbench, *GOOD)
    )  # the champion's rows and parameters
    assert job.result is not None
    assert job.result["promoted"] is False
    assert job.result["outcome"] == (
        "version 2 is the same model as the champion, version 1: nothing to promote"
    )
    assert workbench.history("trips").champion == before == 1


def test_a_job_cannot_choose_the_first_version(workbench: Workbench) -> None:
    job = workbench.retrain("trips", notebook=notebook(workbench, *GOOD))
    assert job.state == "succeeded"
    assert job.result is not None
    assert job.result["promoted"] is False
    assert job.result["outcome"] == (
        "version 1 did not pass the gate (no worse than the champion: there is no champion to compare with); "
        "there is still no champion: a person may choose the first version with the gate"
    )
    assert workbench.history("trips").champion is None


FAILURES = [
    ("1 / 0", "Cell 2 of 'job.ipynb' failed: ZeroDivisionError: division by zero"),
    ("import os; os.kill(os.getpid(), 9)", "The kernel died in cell 2 of 'job.ipynb'"),
    ("import time; time.sleep(60)", "Cell 2 of 'job.ipynb' took longer than 5 s"),
    ("%load_ext mlops_workbench\n%mlops gate nothing --version 1", "Cell 2 of 'job.ipynb' failed: NotFound"),
    ("pass", "The notebook registered no version of 'trips'"),
]


@pytest.mark.parametrize(("cell", "sentence"), FAILURES, ids=["error", "death", "timeout", "verb", "nothing"])
@pytest.mark.prepared(by=champion)
def test_a_failed_job_says_so_everywhere_and_touches_nothing(
    workbench: Workbench, state: Callable[[], Any], cell: str, sentence: str
) -> None:
    before = state()
    path = notebook(workbench, cell, "after = True")
    with pytest.raises(JobFailed, match=sentence.replace("(", r"\(")):
        workbench.retrain("trips", notebook=path, timeout=5 if "sleep" in cell else 120)
    (job,) = workbench.jobs().jobs
    assert job.state == "failed"
    assert sentence in str(job.error)
    assert state() == before
    done = nbformat.read(str(job.notebook), as_version=4)
    if cell != "pass":
        assert done.metadata.papermill.exception is True
        states = [c.metadata.papermill.status for c in done.cells if c.source == cell]
        assert states == ["failed"]
        after = [c.metadata.papermill.status for c in done.cells if c.source == "after = True"]
        assert after == ["pending"]
        assert any("error" in [o.output_type for o in c.get("outputs", [])] for c in done.cells)


@pytest.mark.prepared(by=champion)
def test_a_job_whose_process_is_killed_is_failed_not_running(
    workbench: Workbench, state: Callable[[], Any]
) -> None:
    before = state()
    job = workbench.retrain(
        "trips", notebook=notebook(workbench, "import time; time.sleep(120)"), detach=True
    )
    pid = wait_for(lambda: running_pid(workbench, job.id))
    children = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    ended = wait_for(lambda: next(j for j in workbench.jobs(id=job.id).jobs if j.state != "running"))
    assert (ended.state, ended.error) == ("failed", jobs.LOST)
    assert state() == before
    for child in children:
        if child.is_running():
            child.kill()


def running_pid(workbench: Workbench, number: int) -> int | None:
    row = workbench.store.row(select(tables.jobs).where(tables.jobs.c.id == number))
    return row["pid"] if row and row["state"] == "running" and "sleep" in row["step"] else None


def wait_for(look: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except StopIteration:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


@pytest.mark.prepared(by=champion)
def test_cancel_ends_the_job_and_its_kernel(workbench: Workbench) -> None:
    job = workbench.retrain(
        "trips", notebook=notebook(workbench, "import time; time.sleep(120)"), detach=True
    )
    pid = wait_for(lambda: running_pid(workbench, job.id))
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    assert len(family) > 1
    (cancelled,) = workbench.jobs(cancel=job.id).jobs
    assert cancelled.state == "cancelled"
    wait_for(lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in family))
    assert workbench.jobs(id=job.id).jobs[0].state == "cancelled"
    with pytest.raises(Conflict, match="has ended already"):
        workbench.jobs(cancel=job.id)
    with pytest.raises(NotFound, match="no job 99"):
        workbench.jobs(id=99)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([("sead", "3")], "no parameter 'sead'. Did you mean 'seed'"),
        ([("seed", "three")], "'seed' must be int. Got 'three' instead"),
        ([("rate", "x")], "'rate' must be float"),
        ([("fast", "maybe")], "'fast' must be bool"),
        ([("words", "__import__('os')")], "'words' must be list"),
    ],
)
def test_parameters_are_strict(workbench: Workbench, given: list[tuple[str, str]], sentence: str) -> None:
    path = notebook(workbench, "pass")
    with pytest.raises(UsageError, match=sentence):
        workbench.retrain("trips", notebook=path, parameters=given)
    assert workbench.jobs().jobs == ()


def test_parameters_get_the_declared_types(workbench: Workbench) -> None:
    path = Path(notebook(workbench, "pass"))
    given = {"seed": "3", "rate": "1", "fast": "yes", "words": "['b', 'c']", "name": "7"}
    assert engine.typed(path, given) == {
        "seed": 3,
        "rate": 1.0,
        "fast": True,
        "words": ["b", "c"],
        "name": "7",
    }
    for word, value in (
        ("true", True),
        ("yes", True),
        ("1", True),
        ("false", False),
        ("no", False),
        ("0", False),
    ):
        assert engine.typed(path, {"fast": word}) == {"fast": value}
    assert engine.declared(path)["seed"].help == "of the data"


def test_a_notebook_that_is_not_there_is_named(workbench: Workbench) -> None:
    notebook(workbench, "pass")
    with pytest.raises(NotFound, match=r"Did you mean 'job\.ipynb'"):
        workbench.retrain("trips", notebook="jobb.ipynb")
    with pytest.raises(UsageError, match="must be a notebook"):
        workbench.retrain("trips", notebook="mlops.toml")
    for content in ("{", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'):
        (workbench.project.root / "odd.ipynb").write_text(content)
        with pytest.raises(UsageError, match="is not a notebook"):
            workbench.retrain("trips", notebook="odd.ipynb")
    kernel = (
        '{"cells": [], "metadata": {"kernelspec": {"name": "pyhton3"}}, "nbformat": 4, "nbformat_minor": 5}'
    )
    (workbench.project.root / "odd.ipynb").write_text(kernel)
    with pytest.raises(NotFound, match=r"wants the kernel 'pyhton3', .* Did you mean 'python3'"):
        workbench.retrain("trips", notebook="odd.ipynb")


@pytest.mark.prepared(by=champion)
def test_long_verbs_run_as_jobs_too(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no model 'tripz'"):
        workbench.build("tripz", detach=True)
    with pytest.raises(NotFound, match="no version 9"):
        workbench.build("trips", version=9, detach=True)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{workbench.folder}/nobody.sock")
    job = workbench.build("trips", version=1, detach=True)
    ended = wait_for(lambda: next(j for j in workbench.jobs(id=job.id).jobs if j.state in jobs.ENDED))
    assert ended.state == "failed"
    assert "engine" in ended.error
    assert ended.line == "build trips --version 1"
