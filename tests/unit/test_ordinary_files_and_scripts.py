"""Ordinary habits with files, scripts and texts: the same rows are the same rows, and nothing that was made is lost."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import champion, registered, set_policy, trips
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.base.errors import GateFailed, NotFound, UsageError
from mlops_workbench.data import files
from mlops_workbench.notebooks import engine
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_come_back_from_text_to_the_last_digit(values: list[float]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        pd.DataFrame({"x": values}).to_csv(path, index=False)
        assert files.read(path)["x"].astype(float).tolist() == values


def test_codes_with_leading_zeros_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "plz.csv"
    path.write_text("plz,n,zero\n01067,1,0\n14639,20,10\n")
    found = files.read(path)
    assert found["plz"].tolist() == ["01067", "14639"]
    assert found["n"].tolist() == [1, 20]
    assert found["zero"].tolist() == [0, 10]
    assert files.read(path, {"plz": "double"})["plz"].tolist() == [1067, 14639]  # a model that reads numbers


@pytest.mark.prepared(by=registered)
def test_rows_trained_on_are_found_in_a_csv_and_however_they_repeat(workbench: Workbench) -> None:
    path = workbench.project.root / "train.csv"
    trips(seed=1).to_csv(path, index=False)
    with pytest.raises(GateFailed) as red:
        workbench.gate("trips", version=1, data=str(path), first=True)
    check = next(c for c in red.value.report.checks if c.name == "rows not trained on")
    assert check.passed is None
    # eight rows, each twenty times: all of them would repeat by chance, and they are the very rows all the same
    few = trips(rows=8, seed=3).fillna(0.0)
    rows = pd.concat([few] * 20, ignore_index=True)
    workbench.namespace["rows"] = rows  # type: ignore[index]
    workbench.namespace["model"] = LogisticRegression()  # type: ignore[index]
    space: Any = workbench.namespace
    code = 'model.fit(rows[["hour"]], rows["late"])'
    cell = Cell(code, lambda: exec(code, dict(space)), space)
    workbench.run(cell, name="few", data=["rows"], evaluate=["rows"], target="late")
    workbench.register("model", name="few")
    with pytest.raises(GateFailed) as red:
        workbench.gate("few", version=1, first=True)
    check = next(c for c in red.value.report.checks if c.name == "rows not trained on")
    assert (check.passed, check.figure) == (None, "100.0%")
    assert "rows that version 1 was fitted on, the very ones" in check.detail


@pytest.mark.slow
def test_predict_and_log_have_one_score(workbench: Workbench) -> None:
    set_policy(workbench, '[model]\npositive = "0"\n')
    champion(workbench)
    workbench.serve("trips", kind="process")
    try:
        answers = workbench.predict("trips", "test").frame
    finally:
        workbench.stop("trips")
    logged = workbench.log("trips").frame
    both = answers.merge(logged, on=["request_id", "row_index"], suffixes=("", "_logged"))
    assert len(both) == 800
    np.testing.assert_array_equal(both["score"], both["score_logged"])
    assert both["prediction"].tolist() == both["prediction_logged"].tolist()
    assert (both["score"] > 0.5).tolist() == [p == 0 for p in both["prediction"]]


def test_a_text_pipeline_fitted_on_a_series_is_registered_and_judged(workbench: Workbench) -> None:
    words = ["good fine nice", "bad poor awful", "nice and good", "awful, really bad"]
    rng = np.random.default_rng(0)
    space: Any = workbench.namespace
    for name, seed in (("texts", 0), ("later", 1)):
        picked = np.random.default_rng(seed).integers(0, 4, 200)
        extra = rng.integers(0, 10_000, 200)
        space[name] = pd.DataFrame(
            {"text": [f"{words[i]} {n}" for i, n in zip(picked, extra, strict=True)], "label": picked % 2}
        )
    space["model"] = make_pipeline(TfidfVectorizer(), LogisticRegression())
    code = 'model.fit(texts["text"], texts["label"])'
    cell = Cell(code, lambda: exec(code, dict(space)), space)
    workbench.run(cell, name="texts", data=["texts"], evaluate=["later"], target="label")
    assert workbench.register("model", name="texts").version == 1
    report = workbench.gate("texts", version=1, first=True)
    assert report.metrics["roc_auc"] == 1.0
    assert (
        workbench.load("texts/1").model.predict(space["later"]["text"]).tolist()
        == space["later"]["label"].tolist()
    )


def test_a_metric_that_is_none_does_not_lose_the_fit(workbench: Workbench) -> None:
    space: Any = workbench.namespace
    space["scores"] = {"precision@5": 0.4, "ok": True, "gap": float("nan")}
    source = (
        "from projects import pipeline\nmodel = pipeline().fit(train.drop(columns='late'), train['late'])"
        "\nif not len(train):\n    nothing = 1"
    )
    cell = Cell(source, lambda: exec(source, space), space)
    done = workbench.run(cell, name="r", data=["train"], evaluate=["test"], metrics=["scores", "nothing"])
    assert done.run.status == "finished"
    assert done.run.metrics["scores.precision_at_5"] == 0.4
    for part in ("'scores.ok' is no metric", "'scores.gap' is no metric", "no variable 'nothing'"):
        assert part in done.note
    assert workbench.register(space["model"], name="trips").version == 1
    for name in ("precision@5", "scores.precision@5"):
        assert [r.name for r in workbench.runs(sort=name, plot=[name]).runs] == ["r"]


def test_a_parameter_that_is_none_does_not_lose_the_fit(workbench: Workbench) -> None:
    space: Any = workbench.namespace
    source = (
        "from projects import pipeline\nmodel = pipeline().fit(train.drop(columns='late'), train['late'])\n"
        "if not len(train):\n    depth = 1"
    )
    cell = Cell(source, lambda: exec(source, space), space)
    done = workbench.run(cell, name="r", data=["train"], evaluate=["test"], params=["depth"])
    assert (done.run.status, list(done.models)) == ("finished", ["model"])
    assert "no variable 'depth', to be a parameter" in done.note


@pytest.mark.prepared(by=registered)
def test_a_shell_has_no_variable_that_a_model_could_become(workbench: Workbench) -> None:
    shell = Workbench(workbench.project.root)
    with pytest.raises(UsageError, match="no notebook whose variable"):
        shell.load("trips/1", variable="model")
    assert shell.load("trips/1").kind == "Pipeline"


@pytest.mark.slow
def test_the_log_is_read_by_the_versions_that_have_answered(workbench: Workbench) -> None:
    champion(workbench)
    workbench.serve("trips", kind="process")
    try:
        workbench.predict("trips", "test")
    finally:
        workbench.stop("trips")
    space: Any = workbench.namespace
    space["train"] = trips(seed=1).assign(extra=1.0)
    code = "from projects import pipeline\nfrom sklearn.linear_model import LogisticRegression\n"
    code += 'model = LogisticRegression().fit(train[["hour", "extra"]], train["late"])'
    workbench.run(Cell(code, lambda: exec(code, space), space), name="more", data=["train"], target="late")
    assert workbench.register("model", name="trips").version == 2  # it has a column that the log has not
    assert workbench.log("trips").rows == 800
    with pytest.raises(NotFound, match="version 2 of 'trips'"):
        workbench.log("trips/2")


SCRIPT = """
import argparse
import pandas as pd
from helper_beside import Wrapped
parser = argparse.ArgumentParser()
parser.add_argument("--c", type=float)
asked = parser.parse_args()
print(f"strength: {asked.c}")
train = pd.read_csv("train.csv")
model = Wrapped(C=asked.c).fit(train[["hour"]], train["late"])
"""


def test_a_script_has_its_arguments_and_what_lies_beside_it(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workbench.project.root
    (root / "fit.py").write_text(SCRIPT)
    (root / "helper_beside.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nclass Wrapped(LogisticRegression): pass\n"
    )
    trips(seed=1).to_csv(root / "train.csv", index=False)
    monkeypatch.chdir(root)
    done = workbench.run("fit.py", name="script", data=["train"], target="late", arguments="--c 0.25")
    assert done.run.params["C"] == "0.25"
    import sys

    sys.modules.pop("helper_beside")
    again = Workbench(root)  # another shell
    version = again.register(
        "model", name="trips", run="script", data="train.csv", target="late", format="cloudpickle"
    )
    assert version.version == 1


@pytest.mark.parametrize("text", ['{"cells": [], "metadata": {}}', "[]", '{"a": 1}'])
def test_a_notebook_that_names_no_kernel_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"is not a notebook with a kernel: (?!.*Error)"):
        engine.find_notebook(path)


@pytest.mark.prepared(by=registered)
def test_a_label_called_like_a_verb_stays_what_it_is(workbench: Workbench) -> None:
    space: Any = workbench.namespace
    space["train"] = trips(seed=1).rename(columns={"late": "status"})
    code = (
        "from projects import pipeline\nmodel = pipeline().fit(train.drop(columns='status'), train['status'])"
    )
    workbench.run(Cell(code, lambda: exec(code, space), space), name="s", data=["train"], target="status")
    workbench.register(space["model"], name="other")
    card = workbench.card("other/1")
    assert card.names_verbs is False
    assert "the label `status`" in card.text()


@pytest.mark.slow
def test_the_log_has_truth_values_and_the_columns_of_every_version(workbench: Workbench) -> None:
    space: Any = workbench.namespace
    space["rows"] = trips(seed=1).assign(night=lambda f: f["hour"] > 18)
    fits = "from sklearn.linear_model import LogisticRegression\n"
    for number, columns in enumerate((["hour", "night"], ["hour"])):
        code = f"{fits}model = LogisticRegression().fit(rows[{columns!r}], rows['late'])"
        run = {"name": f"r{number}", "data": ["rows"], "target": "late"}
        workbench.run(Cell(code, lambda code=code: exec(code, space), space), **run)  # type: ignore[misc]
        workbench.register("model", name="trips")
        workbench.serve("trips", version=number + 1, kind="process")
        workbench.predict("trips", "rows")
        workbench.stop("trips")
    logged = workbench.log("trips").frame
    first = logged[logged["model_version"] == "1"]
    assert first["night"].tolist() == space["rows"]["night"].tolist()
    assert logged["night"].notna().sum() == len(first) == len(logged) / 2


def test_a_project_is_found_by_the_text_of_its_path(workbench: Workbench) -> None:
    with contextlib.closing(Workbench(str(workbench.project.root))) as found:
        assert found.status().title == workbench.status().title


@pytest.mark.prepared(by=registered)
def test_the_gate_takes_a_version_as_the_others_do(workbench: Workbench) -> None:
    assert workbench.gate("trips/1", first=True).passed
    with pytest.raises(NotFound, match="no version 7"):
        workbench.gate("trips/7")


def test_a_snapshot_says_that_an_index_is_not_kept(workbench: Workbench) -> None:
    frame = trips(30, seed=1)
    assert workbench.snapshot(frame[frame["hour"] > 3], name="some").note == ""
    by_hour = workbench.snapshot(frame.set_index("hour"), name="by_hour")
    assert "Its index 'hour' is not kept" in by_hour.title


def test_held_out_rows_that_the_model_refuses_do_not_keep_it_from_being_registered(
    workbench: Workbench,
) -> None:
    space: Any = workbench.namespace
    fitted = trips(200, seed=1).assign(kind="known")
    space["model"] = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression()).fit(
        fitted[["kind"]], fitted["late"]
    )
    held_out = fitted[["kind", "late"]].assign(kind="new")
    done = workbench.register(
        "model", name="trips", data=fitted[["kind", "late"]], evaluate=held_out, target="late"
    )
    assert done.version == 1
