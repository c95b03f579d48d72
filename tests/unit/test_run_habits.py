"""A finished fit is kept, in whatever form the rows were and whatever its evaluation comes to."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from projects import pipeline, trips
from sklearn.linear_model import LogisticRegression

from mlops_workbench.base.errors import NotFound, UsageError
from mlops_workbench.track.runs import Cell, Finished
from mlops_workbench.workbench import Workbench

FIT = "model = pipeline().fit(train.drop(columns='late'), train['late'])\n"


def run(workbench: Workbench, code: str, space: dict[str, Any], **options: Any) -> Finished:
    space |= {"pipeline": pipeline, "LogisticRegression": LogisticRegression}
    done: Finished = workbench.run(Cell(code, lambda: exec(code, space), space), name="r", **options)
    return done


@pytest.fixture
def space() -> dict[str, Any]:
    train, test = trips(seed=1), trips(seed=2)
    return {"train": train, "test": test, "np": np, "pd": pd}


UNCLEAR: list[tuple[str, str]] = [
    (f"{FIT}held = test.assign(trip_id=range(len(test)), day='x')", "3 columns that the model does not read"),
    (
        f"{FIT}other = pipeline().fit(train.drop(columns='late'), train['late'])\nheld = test",
        "has 2 models, model, other",
    ),
    ("held = test", "the code has no model"),
    (f"{FIT}held = test.drop(columns='late')", "has no label, only columns that the model reads"),
    (f"{FIT}held = test.drop(columns='hour')", "has no column 'hour'"),
    (f"{FIT}held = test.assign(late=None)", "has 800 missing values"),
    (f"{FIT}held = [1, 2]", "'held' was not recorded"),
    (f"{FIT}held = test.head(0)", "'held' was not recorded: 'held' has no rows"),
]


@pytest.mark.parametrize(("code", "sentence"), UNCLEAR, ids=[c[1] for c in UNCLEAR])
def test_an_unclear_evaluation_fails_nothing(
    workbench: Workbench, space: dict[str, Any], code: str, sentence: str
) -> None:
    done = run(workbench, code, space, data="train", evaluate="held")
    assert done.run.status == "finished"
    assert sentence in done.note
    assert done.note in done.text()
    assert done.to_dict()["note"] == done.note
    assert set(done.models) == {name for name in ("model", "other") if f"{name} =" in code}
    assert "roc_auc" not in done.run.metrics


def test_the_remedy_that_is_named_works(workbench: Workbench, space: dict[str, Any]) -> None:
    done = run(workbench, UNCLEAR[0][0], space, data="train", evaluate="held", target="late")
    assert done.run.metrics["roc_auc"] > 0.7


def test_two_names_of_one_model_are_one_model(workbench: Workbench, space: dict[str, Any]) -> None:
    done = run(workbench, f"{FIT}best = model", space, data="train", evaluate="test")
    assert done.run.metrics["roc_auc"] > 0.7


SPLIT = (
    "X_train, y_train = train.drop(columns='late'), train['late']\n"
    "X_test, y_test = test.drop(columns='late'), test['late']\n"
)
FITTED = "model = pipeline().fit(X_train, y_train)\n"


@pytest.mark.parametrize(
    ("code", "data", "evaluate"),
    [
        (SPLIT + FITTED, ["X_train", "y_train"], ["X_test", "y_test"]),
        (SPLIT + FITTED, "X_train", "X_test"),
        (
            SPLIT
            + "y_train, y_test = y_train.to_frame(), y_test.to_frame()\n"
            + FITTED.replace("y_train)", "y_train.late)"),
            "X_train",
            "X_test",
        ),
        (SPLIT + "y_train, y_test = y_train.to_numpy(), y_test.to_numpy()\n" + FITTED, "X_train", "X_test"),
        (
            SPLIT
            + "num = ['hour', 'größe']\nX_train, X_test = X_train[num].to_numpy(), X_test[num].to_numpy()\n"
            "model = LogisticRegression().fit(X_train, y_train)",
            ["X_train", "y_train"],
            "X_test",
        ),
    ],
    ids=["named", "found", "label as a frame", "label as an array", "arrays"],
)
def test_features_and_label_apart(
    workbench: Workbench, space: dict[str, Any], code: str, data: Any, evaluate: Any
) -> None:
    done = run(workbench, code, space, data=data, evaluate=evaluate)
    assert done.note == ""
    assert done.run.metrics["roc_auc"] > 0.7
    assert done.run.metrics["accuracy"] == pytest.approx(
        space["model"].score(space["X_test"], np.ravel(space["y_test"]))
    )
    assert done.data is not None
    assert done.data.name == "X_train + y_train"
    assert done.data.columns == space["X_train"].shape[1] + 1
    assert done.run.tags["data.y_train.name"] == "y_train"
    workbench.namespace = space
    made = workbench.register("model", name="trips")
    assert made.version == 1
    workbench.gate("trips", first=True)


def test_features_and_label_that_are_there_before(workbench: Workbench, space: dict[str, Any]) -> None:
    exec(SPLIT, space)
    done = run(workbench, FITTED, space, data=["X_train", "y_train"], evaluate=["X_test", "y_test"])
    assert done.run.metrics["roc_auc"] > 0.7
    words = ["run", "fit.py", "--name", "r", "--data", "X_train", "y_train", "--eval", "X_test", "y_test"]
    from mlops_workbench.interface.parsing import parse
    from mlops_workbench.workbench import verbs

    for typed in (words, ["run", *words[2:], "fit.py"]):
        options = parse(typed, "mlops", verbs()).options
        assert (options["script"], options["data"]) == ("fit.py", ["X_train", "y_train"])
        assert options["evaluate"] == ["X_test", "y_test"]


def test_rows_in_other_forms(workbench: Workbench, space: dict[str, Any]) -> None:
    frame = trips(50)
    workbench.namespace = {
        "polars": pl.from_pandas(frame),
        "array": frame[["hour", "größe"]].to_numpy(),
        "column": frame["größe"],
    }
    for name in workbench.namespace:
        assert workbench.validate(name, contract=name).passed
        assert workbench.snapshot(name).rows == 50
    with pytest.raises(UsageError, match=r"must be a pandas DataFrame\. Got list instead"):
        workbench.validate([1, 2], contract="c")


def test_a_pipeline_of_texts_is_evaluated(workbench: Workbench) -> None:
    rows = pd.DataFrame({"text": ["good fine", "bad awful"] * 20, "y": [1, 0] * 20})
    code = (
        "from sklearn.feature_extraction.text import TfidfVectorizer\nfrom sklearn.pipeline import make_pipeline\n"
        "model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(train['text'], train.y)"
    )
    done = run(
        workbench, code, {"train": rows, "test": rows.copy()}, data="train", evaluate="test", target="y"
    )
    assert done.run.metrics["accuracy"] == 1.0
    code = code.replace("train['text'], train.y", "X_train, y_train")
    space = {"X_train": rows["text"], "y_train": rows["y"], "X_test": rows["text"], "y_test": rows["y"]}
    done = run(workbench, code, space, data="X_train", evaluate="X_test")
    assert done.run.metrics["accuracy"] == 1.0


def test_metrics_may_be_called_as_people_call_them(workbench: Workbench) -> None:
    code = (
        "scores = {'precision@5': 0.5, 'lift_%': 2, 'größe?': 1}\nprint('recall@10: 0.25')\n{'ndcg@3': 0.75}"
    )
    done = run(workbench, code.replace("{'ndcg@3'", "last = {'ndcg@3'"), {}, metrics=["scores", "last"])
    found = workbench.runs().runs[0].metrics
    assert found["scores.precision_at_5"] == 0.5
    assert found["scores.lift_percent"] == 2
    assert found["last.ndcg_at_3"] == 0.75
    assert found["recall_at_10"] == 0.25
    assert done.run.metrics == found


def test_autologging_logs_the_persons_code_alone(
    workbench: Workbench, space: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.sklearn.autolog(log_models=False, log_datasets=False)
    try:
        done = run(workbench, FIT, space, data="train", evaluate="test")
        own = dict(done.run.metrics)
        workbench.namespace = space
        workbench.register("model", name="trips")
        workbench.gate("trips", first=True)
        later = workbench.runs().runs[0].metrics
        model = LogisticRegression().fit(space["train"][["hour"]], space["train"]["late"])  # still on
        logged = mlflow.last_active_run()
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert model is not None
    assert logged is not None
    assert logged.data.metrics
    assert later == own
    names = list(own)
    held_out = ["roc_auc", "accuracy"]
    assert names[: len(done.run.held_out)] == sorted(names[: len(done.run.held_out)], key=names.index)
    assert set(held_out) <= set(names[: len(done.run.held_out)])
    training = [n for n in names if n.startswith("training_")]
    assert training
    assert names[-len(training) :] == training
    assert not [n for n in names if "unknown_dataset" in n or n.endswith("_test")]
    assert f"{training[0]} (rows fitted on)" in done.text()
    said = [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
    assert all("training_" in text for text in said)  # MLflow's, of the person's own fit
    shown = workbench.runs()
    assert not set(shown.metrics) & set(training)


def test_variables_that_were_asked_for_are_still_required(workbench: Workbench) -> None:
    with pytest.raises(NotFound, match="no variable 'nothing'"):
        run(workbench, "x = 1", {}, params=["nothing"])
