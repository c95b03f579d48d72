"""Every face calls a verb in the same way: arguments are checked by its description, what goes wrong is a sentence."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import champion, registered, set_policy, trips

from mlops_workbench import cli
from mlops_workbench.base import faults
from mlops_workbench.base.errors import Conflict, MlopsError, UnexpectedError, UsageError
from mlops_workbench.registry import ledger
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

WRONG: list[tuple[Callable[[Workbench], Any], str]] = [
    (lambda w: w.runs(limit="abc"), "The option 'limit' must be a whole number. Got 'abc' instead."),
    (lambda w: w.runs(limit=2.5), "The option 'limit' must be a whole number. Got '2.5' instead."),
    (lambda w: w.runs(limit=0), "The option 'limit' must be a whole number from 1 up. Got '0' instead."),
    (lambda w: w.runs(ascending="yes"), "The option 'ascending' must be true or false. Got 'yes' instead."),
    (lambda w: w.runs(sort=3), "The option 'sort' must be a text. Got 3 instead."),
    (lambda w: w.runs(plot=3), "The option 'plot' must be a list. Got 3 instead."),
    (lambda w: w.runs(limt=3), "The verb 'runs' has no option 'limt'. Did you mean 'limit'?"),
    (lambda w: w.runs(3), "The verb 'runs' takes 0 values without a name. Got 1 instead."),
    (lambda w: w.serve("trips", kind="bogus"), "must be one of container, process. Got 'bogus' instead."),
    (lambda w: w.serve("trips", port=70000), "must be a port from 1 to 65535. Got '70000' instead."),
    (lambda w: w.serve("trips", name="trips"), "The verb 'serve' was given 'name' twice."),
    (lambda w: w.serve(), "The verb 'serve' needs 'name': registered model"),
    (lambda w: w.promote("trips", version=True, why="x"), "must be a whole number. Got 'True' instead."),
    (lambda w: w.register("model", name="trips", format="onnx"), "must be one of skops, cloudpickle."),
    (
        lambda w: w.retrain("trips", notebook="n.ipynb", parameters=["x"]),
        "must be name=value. Got 'x' instead.",
    ),
    (lambda w: w.run(Cell("x = 1", lambda: None, {}), name="r", data=trips(10)), "must name a variable"),
]


@pytest.mark.parametrize(("call", "sentence"), WRONG, ids=[w[1][:60] for w in WRONG])
def test_a_wrong_argument_in_python_is_the_sentence_of_the_other_faces(
    workbench: Workbench, call: Callable[[Workbench], Any], sentence: str
) -> None:
    with pytest.raises(UsageError) as refused:
        call(workbench)
    assert sentence in str(refused.value)


def test_the_command_line_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "--limit", "abc"]) == 2
    assert WRONG[0][1] in capsys.readouterr().err


def test_right_arguments_of_other_types_are_taken(workbench: Workbench) -> None:
    assert workbench.runs(limit=np.int64(3), plot=None, where="").runs == ()
    assert workbench.snapshot(workbench.namespace["train"], name="rows").version == 1


def break_ledger(*_: Any, **__: Any) -> None:
    raise RuntimeError("postgresql://me:hunter2@db/x refused; token=abcdef123")


def test_a_fault_of_ours_is_one_sentence_with_a_log_without_secrets(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_API_KEY", "very-secret-value")
    monkeypatch.setattr(ledger, "entries", break_ledger)
    with pytest.raises(
        UnexpectedError, match="by a fault of the workbench, not of yours: RuntimeError"
    ) as caught:
        workbench.status()
    assert caught.value.__cause__ is None
    log = workbench.project.state / "logs" / faults.LOG
    assert str(log) in caught.value.next_step
    for text in (log.read_text(), str(caught.value)):
        assert "hunter2" not in text
        assert "abcdef123" not in text
    assert "break_ledger" in log.read_text()
    assert faults.without_secrets("it was very-secret-value") == "it was ***"
    os.chdir(workbench.project.root)
    assert cli.main(["status", "--json"]) == 70
    assert json.loads(capsys.readouterr().out)["error"] == "UnexpectedError"


def test_without_a_project_the_log_is_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_workbench.config.project.find", break_ledger)
    with pytest.raises(UnexpectedError) as caught:
        Workbench().status()
    assert str(tmp_path / "cache") in caught.value.next_step


def test_what_is_full_or_forbidden_is_nobodys_fault() -> None:
    for problem in (PermissionError(13, "x", "/data/a"), OSError(28, "x", "/data/a"), MemoryError()):
        assert isinstance(faults.known(problem), Conflict)
    assert faults.known(ValueError("x")) is None


class Odd:
    """No rows, no model, no name."""


def bad_inputs(folder: Path) -> list[Callable[[Workbench], Any]]:
    """What people give by mistake, in each verb."""
    (folder / "broken.csv").write_bytes(b"\xff\xfe\x00,\x00\n")
    (folder / "empty.csv").write_text("")
    (folder / "broken.parquet").write_bytes(b"PAR1 no")
    (folder / "broken.skops").write_bytes(b"no zip")
    (folder / "broken.ipynb").write_text("{}")
    (folder / "broken.json").write_text("{")
    (folder / "broken.py").write_bytes(b"\xff")
    (folder / "contracts").mkdir(exist_ok=True)
    (folder / "contracts" / "broken.yaml").write_text("a: [1")
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    files = ["broken.csv", "empty.csv", "broken.parquet", "gone.csv", "gone", "a\0b.csv"]
    rows: list[Any] = [
        *(str(folder / f) for f in files),
        Odd(),
        5,
        {"a": 1},
        [1, 2],
        frame.head(0),
        np.zeros((2, 2, 2)),
    ]
    rows += [
        pd.DataFrame({"": [1]}),
        pd.DataFrame({1: [1]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        np.array([]),
    ]
    calls: list[Callable[[Workbench], Any]] = []
    for one in rows:
        calls.append(lambda w, one=one: w.validate(one, contract="c"))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.snapshot(one, name="s"))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.register("model", name="trips", data=one))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.drift("trips", data=one))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.predict("trips", one))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.label("trips", one))  # type: ignore[misc]
        calls.append(lambda w, one=one: w.gate("trips", data=one, first=True))  # type: ignore[misc]
    return [
        *calls,
        lambda w: w.register(str(folder / "broken.skops"), name="trips"),
        lambda w: w.register(Odd(), name="trips"),
        lambda w: w.register("runs:/nothing/model", name="trips"),
        lambda w: w.register("models:/nothing/1", name="trips"),
        lambda w: w.register("models:/m-0000", name="trips"),
        lambda w: w.register("model", name="trips", run="nothing"),
        lambda w: w.validate("train", contract="broken"),
        lambda w: w.validate("train", contract="a/b"),
        lambda w: w.contract("c", suite=str(folder / "broken.json")),
        lambda w: w.run(str(folder / "broken.py"), name="r"),
        lambda w: w.run(str(folder / "gone.py"), name="r"),
        lambda w: w.run(str(folder / "broken.ipynb")),
        lambda w: w.retrain("trips", notebook=str(folder / "broken.ipynb")),
        lambda w: w.runs(where="auc >"),
        lambda w: w.runs(sort="nothing"),
        lambda w: w.runs(name="nothing"),
        lambda w: w.compare("a", "b"),
        lambda w: w.history("nothing"),
        lambda w: w.history("trips", at="yesterday"),
        lambda w: w.history("trips", at="99999-01-01"),
        lambda w: w.card("trips/99"),
        lambda w: w.card("trips", out="/no/such/folder/card.md"),
        lambda w: w.lineage("trips@nobody"),
        lambda w: w.models("no\0thing"),
        lambda w: w.alias("trips", "no such alias!", version=1, why="x"),
        lambda w: w.promote("trips/9" * 20, why="x"),
        lambda w: w.jobs(id=2**70),
        lambda w: w.jobs(cancel=999),
        lambda w: w.export("nothing"),
        lambda w: w.stop("trips"),
        lambda w: w.rollback("trips", why="x"),
        lambda w: w.retire("trips/7", why="x"),
        lambda w: w.delete("trips/7", why="x"),
        lambda w: w.alerts("ack", id=99),
        lambda w: w.init("other name"),
    ]


@pytest.mark.prepared(by=champion)
def test_no_foreign_exception_reaches_a_person(workbench: Workbench, tmp_path: Path) -> None:
    """Errors are ours, and none of them is a fault of ours."""
    workbench.namespace = {**workbench.namespace, "model": Odd()}
    found = bad_inputs(tmp_path)
    assert len(found) > 100
    for number, call in enumerate(found):
        try:
            call(workbench)
        except UnexpectedError as fault:
            log = (workbench.project.state / "logs" / faults.LOG).read_text()
            pytest.fail(f"{number}: {fault}\n{log[-3000:]}")
        except MlopsError:
            continue


@pytest.mark.prepared(by=registered)
def test_a_broken_store_is_one_sentence(workbench: Workbench) -> None:
    workbench.close()
    for file in ("workbench.db", "mlflow.db"):
        path = workbench.project.state / file
        before = path.read_bytes()
        path.write_bytes(b"no database" * 1000)
        for verb in (workbench.status, workbench.models, workbench.runs, workbench.jobs):
            try:
                verb()
            except UnexpectedError as fault:
                pytest.fail(f"{file}: {fault}")
            except MlopsError:
                pass
            workbench.close()
        path.write_bytes(before)


def without_roots_rights() -> None:
    """In a child before it starts: root then obeys the modes of files as others do."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_a_read_only_project_is_one_sentence(workbench: Workbench) -> None:
    workbench.snapshot("train", name="rows")
    workbench.close()
    places = [workbench.project.root, *workbench.project.root.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place, mode in modes.items():
        place.chmod(mode & ~0o222)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mlops_workbench", "status"],
            cwd=workbench.project.root,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=without_roots_rights,
        )
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "The project is read-only" in done.stderr


def test_plugins_that_settings_name_are_asked_for(workbench: Workbench) -> None:
    for text, named in (
        ('[jobs]\nengine = "moon"\n', "moon"),
        ('[alerts]\nchannels = ["log", "gone"]\n', "gone"),
    ):
        set_policy(workbench, text)
        with pytest.raises(MlopsError, match=f"names '{named}', which is not installed"):
            workbench.status()
        found = workbench.doctor()
        assert found.exit_code == 1
        assert next(f for f in found.findings if f.what == "plugins").level == "problem"
