"""`run FILE`: a script as Python runs it, whose models are registered from the shell; any notebook as a job."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from projects import trips
from sklearn.dummy import DummyClassifier

from mlops_workbench import cli
from mlops_workbench.base.errors import Conflict, InvalidModel, JobFailed, NotFound, UsageError
from mlops_workbench.notebooks import engine, registered
from mlops_workbench.track import lost_runs
from mlops_workbench.workbench import Workbench, verbs

POOL = """
import argparse, multiprocessing as mp, pickle, sys
class Kept: pass
def square(x): return x * x
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=3)
    print("depth", parser.parse_args().depth, sys.argv)
    with mp.get_context("METHOD").Pool(2) as pool: print("sum", sum(pool.map(square, range(5))))
    assert isinstance(pickle.loads(pickle.dumps(Kept())), Kept)
    sys.exit(0)
"""
FIT = """
import pandas as pd
from projects import pipeline
train = pd.read_parquet("train.parquet")
model = pipeline().fit(train.drop(columns="late"), train["late"])
"""


@pytest.fixture
def root(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = workbench.project.root
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "support"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
    trips(seed=1).to_parquet("train.parquet")
    trips(seed=2).to_parquet("test.parquet")
    Path("fit.py").write_text(FIT)
    return folder


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_script_runs_as_python_runs_it(
    workbench: Workbench, root: Path, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    main, argv = sys.modules["__main__"], sys.argv
    Path("pool.py").write_text(POOL.replace("METHOD", method))
    done = workbench.run("pool.py")
    assert (done.run.name, done.run.status) == ("pool", "finished")
    said = capfd.readouterr().out
    assert "sum 30" in said
    assert f"depth 3 ['{root / 'pool.py'}']" in said
    assert (sys.modules["__main__"], sys.argv) == (main, argv)


def test_what_a_script_made_is_registered_from_the_shell(
    workbench: Workbench, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "fit.py", "--data", "train", "--eval", "test.parquet"]) == 0
    shown = capsys.readouterr().out
    run = workbench.tracking.run("fit")
    line = f"mlops register model --run {run.id} --name NAME"
    assert f"`{line}`" in shown
    assert cli.main(line.replace("NAME", "trips").split()[1:]) == 0, capsys.readouterr().err
    assert cli.main(["gate", "trips", "--first"]) == 0
    assert workbench.tracking.version("trips", 1).run_id == run.id
    with pytest.raises(NotFound, match="Did you mean 'model'"):
        workbench.register("modell", name="trips", run="fit")
    (kept,) = (workbench.project.state / "artifacts").rglob("models/model.pkl")
    kept.write_bytes(kept.read_bytes() + b"x")
    with pytest.raises(InvalidModel, match="was changed"):
        workbench.register("model", name="trips", run="fit")


def test_a_run_is_the_maker_of_its_own_models_only(workbench: Workbench, root: Path) -> None:
    Path("dump.py").write_text(f"{FIT}import skops.io; skops.io.dump(model, 'made.skops')\n")
    other = (
        FIT.replace("pipeline()", "pipeline(C=0.001)")
        + "import skops.io; skops.io.dump(model, 'other.skops')\n"
    )
    Path("other.py").write_text(other)
    Path("none.py").write_text("x = 1\n")
    for name in ("dump", "other", "none"):
        workbench.run(
            f"{name}.py",
            data=() if name == "none" else "train",
            evaluate="test.parquet" if name != "none" else (),
        )
    assert workbench.register("made.skops", name="trips", run="dump").version == 1
    with pytest.raises(
        Conflict, match=r"The run 'dump' did not make 'other.skops': .*C is 0\.001 here and 1\.0 there"
    ):
        workbench.register("other.skops", name="trips", run="dump")
    with pytest.raises(Conflict, match="it made no model"):
        workbench.register("made.skops", name="trips", run="none")
    fitted = workbench.run("dump.py", name="again", data="train", evaluate="test.parquet").models["model"]
    fitted.steps[-1][1].intercept_ += 1  # the same parameters, another model
    with pytest.raises(Conflict, match=r"accuracy|roc_auc|balanced"):
        workbench.register(fitted, name="trips", run="dump")
    rows = trips(50)
    dummy = DummyClassifier().fit(rows[["hour"]], rows["late"])
    with pytest.raises(Conflict, match="estimator is DummyClassifier here and Pipeline there"):
        workbench.register(dummy, name="trips", run="dump")
    assert workbench.models().models[0].version == 1


def test_a_script_that_fails_shows_its_own_frames(
    workbench: Workbench, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text("def half(x):\n    return x / 0\nhalf(1)\n")
    assert cli.main(["run", "broken.py"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert said[1] == f'  File "{root / "broken.py"}", line 3, in <module>'
    assert said[-2] == "ZeroDivisionError: division by zero"
    assert said[-1] == f"The run is kept as failed: {workbench.tracking.run('broken').id}."
    assert not [line for line in said if "mlops_workbench" in line]
    assert cli.main(["run", "broken.py", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["message"]) == ("ZeroDivisionError", "division by zero")
    assert answer["next_step"].startswith("The run is kept as failed")


def test_a_script_as_a_job(workbench: Workbench, root: Path) -> None:
    job = workbench.run("fit.py", name="later", data="train", evaluate="test.parquet", detach=True)
    assert job.state in ("queued", "running")
    ended = _ended(workbench, job.id)
    assert ended.state == "succeeded", Path(ended.log).read_text()
    run = workbench.tracking.run("later")
    assert run.tags["job"] == str(job.id)
    assert run.metrics["roc_auc"] > 0.7
    assert workbench.register("model", name="trips", run="later").version == 1
    Path("stop.py").write_text("import sys; sys.exit('no data today')")
    ended = _ended(workbench, workbench.run("stop.py", detach=True).id)
    assert (ended.state, ended.error) == ("failed", "SystemExit: no data today")


def _ended(workbench: Workbench, number: int) -> Any:
    while (job := workbench.jobs(id=number).jobs[0]).state in ("queued", "running"):
        time.sleep(0.2)
    return job


def book(path: Path, *cells: str, parameters: str = "") -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
    made = nbformat.v4.new_notebook(metadata=metadata)
    tagged = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    made.cells = [*tagged, *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(made, str(path))
    return path


def test_any_notebook_runs_as_a_job(workbench: Workbench, root: Path) -> None:
    book(root / "report.ipynb", "open('sum.txt', 'w').write(str(month + 1))", parameters="month: int = 1")
    job = workbench.run("report.ipynb", parameters={"month": 6})
    assert (job.state, job.kind, job.model, job.outcome) == ("succeeded", "run", "report", "ran to its end")
    assert (root / "sum.txt").read_text() == "7"
    assert nbformat.read(job.notebook, as_version=4).metadata.papermill.exception is None
    assert "-p month=6" in job.line or "--parameter month=6" in job.line
    book(root / "broken.ipynb", "1 / 0")
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        workbench.run("broken.ipynb")


def test_what_does_not_go_together_is_refused(workbench: Workbench, root: Path) -> None:
    book(root / "n.ipynb", "x = 1")
    for options, sentence in (
        ({"data": "train"}, "The option 'data' is for a cell or a script"),
        (
            {"parameters": {"month": 6}},
            r"has no cell tagged 'parameters', so it takes none.* add the tag 'parameters'",
        ),
    ):
        with pytest.raises(UsageError, match=sentence):
            workbench.run("n.ipynb", **options)
    with pytest.raises(UsageError, match="Parameters and timeout are for a notebook"):
        workbench.run("fit.py", timeout=3)
    with pytest.raises(UsageError, match="needs a cell below its line, or a script"):
        workbench.run(name="x")
    assert workbench.jobs().jobs == ()


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (
            ("%mlops register model --name other",),
            "registers 'other', not 'trips'.* `retrain other --notebook",
        ),
        (
            ("%mlops register model -n other", "%mlops register m --name third"),
            "registers 'other' and 'third'",
        ),
        (("%mlops register model --name other", "%mlops register model --name trips"), ""),
        (("%mlops register model --name {name}",), ""),
        (("workbench.register(model, name='other')", "%mlops register model --name other"), ""),
        (("x = 1",), ""),
    ],
)
def test_a_notebook_of_another_model_is_refused_at_once(
    tmp_path: Path, cells: tuple[str, ...], sentence: str
) -> None:
    path = book(tmp_path / "n.ipynb", *cells)
    if not sentence:
        registered.require(path, "trips")
        return
    with pytest.raises(UsageError, match=sentence):
        registered.require(path, "trips")


def test_a_notebook_that_registered_another_model_says_how_to_undo_it(workbench: Workbench) -> None:
    from mlops_workbench.jobs import queue

    number = queue.create(workbench.project, workbench.store, "retrain", "trips", {}, "")
    with pytest.raises(JobFailed, match=r"registered no version of 'trips'.* `run NOTEBOOK`"):
        registered.version(workbench.store, number, "trips")
    queue.hand_back(workbench.store, number, "other", 3)
    with pytest.raises(
        JobFailed, match=r"registered 'other/3', and no version of 'trips'.* `delete other/3 --why"
    ):
        registered.version(workbench.store, number, "trips")
    queue.hand_back(workbench.store, number, "trips", 2)
    assert registered.version(workbench.store, number, "trips") == 2


def test_a_run_whose_process_was_killed_is_closed(workbench: Workbench, root: Path) -> None:
    Path("long.py").write_text("import time, pathlib\npathlib.Path('begun').touch()\ntime.sleep(600)\n")
    words = [sys.executable, "-m", "mlops_workbench", "run", "long.py"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not Path("begun").exists():
            assert process.poll() is None
            time.sleep(0.1)
        assert workbench.runs().runs[0].status == "running"  # and stays so while it is at work
        process.send_signal(signal.SIGKILL)
    workbench.close()
    (run,) = workbench.runs().runs
    assert (run.status, run.seconds, run.tags["ended"]) == ("killed", None, lost_runs.LOST)


def test_a_run_of_another_machine_is_left_alone(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workbench.tracking.start(
        "away", lost_runs.mark() | {"process.host": "elsewhere", "process.pid": "1"}
    ):
        workbench.close()
        assert workbench.runs().runs[0].status == "running"


def test_parameters_of_an_untagged_notebook_name_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no cell tagged 'parameters'.*add the tag 'parameters'"):
        engine.typed(book(tmp_path / "n.ipynb", "month = 1"), {"month": "2"})


def test_a_file_is_no_cell_of_a_notebook() -> None:
    assert verbs()["run"].arg("script").offer == "code"
