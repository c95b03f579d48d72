"""The standard evaluation: figures equal scikit-learn's, pictures are PNGs, and it stays within its size."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import NUMBERS, fit, pipeline, trips
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from mlops_workbench.registry.registering import measure
from mlops_workbench.track import evaluation, metrics
from mlops_workbench.track import plots as pictures
from mlops_workbench.track.evaluation import HeldOutAnswers, evaluate
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def asked(model: Any, frame: pd.DataFrame, target: str = "late") -> HeldOutAnswers:
    found = measure(model, frame, "frame", target)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def binary() -> HeldOutAnswers:
    train = trips(seed=1)
    return asked(pipeline().fit(train.drop(columns="late"), train["late"]), trips(seed=2))


def test_a_classifiers_figures_are_scikit_learns(binary: HeldOutAnswers) -> None:
    found = evaluate(binary)
    chance = np.asarray(binary.probabilities)[:, 1]
    assert found.metric == "roc_auc"
    assert found.roc[0].figure == roc_auc_score(binary.truth, chance) == found.overall
    assert found.precision_recall[0].figure == average_precision_score(binary.truth, chance)
    assert found.confusion == tuple(map(tuple, confusion_matrix(binary.truth, binary.predicted).tolist()))
    assert found.calibration is not None
    assert 0 < (found.calibration.figure or 0) < 0.1
    assert next(iter(found.importance.shares)) == "größe"
    assert abs(sum(found.importance.shares.values()) - 1) < 1e-9
    for segment in found.segments:
        mine = binary.frame[segment.column] == segment.value
        assert segment.rows == mine.sum()
        assert segment.figure == roc_auc_score(np.asarray(binary.truth)[mine], chance[mine])
    assert {s.column for s in found.segments} == {"carrier"}


def test_many_classes_and_a_regressor() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(3000, 3)), columns=list("abc"))
    labels = np.clip(np.round(frame["a"] * 4), -9, 9).astype(int)
    many = RandomForestClassifier(n_estimators=10, random_state=0).fit(frame, labels)
    found = evaluate(asked(many, frame.assign(late=labels)))
    assert len(found.labels) == evaluation.MOST_CLASSES
    assert found.labels[-1] == "other"
    assert sum(map(sum, found.confusion)) == 3000
    assert len(found.roc) == evaluation.MOST_CURVES
    line = LinearRegression().fit(frame, frame["a"] * 2 + rng.normal(size=3000))
    straight = evaluate(asked(line, frame.assign(late=frame["a"] * 2)))
    assert straight.metric == "rmse"
    assert next(iter(straight.importance.shares)) == "a"
    for each in (found, straight):
        whole, singles = pictures.draw(each)
        assert all(content.startswith(b"\x89PNG") for content in (whole, *singles.values()))
        assert len(whole) < 110_000
    assert set(singles) == {"predicted", "residuals", "residual_distribution", "importance"}


def test_large_data_are_sampled_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    train = trips(seed=1)
    model = pipeline().fit(train.drop(columns="late"), train["late"])
    found = evaluate(asked(model, trips(rows=25_000, seed=3)))
    assert (found.rows, found.of) == (20_000, 25_000)
    assert "20,000 of 25,000" in found.title
    assert sum(s.rows for s in found.segments) == 25_000


def test_odd_data_draw_without_a_warning() -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0] * 30, "$b$": ["x$y$価", None] * 30, "late": [0, 1] * 30})
    frame["flag"] = [True] * 59 + [False]
    model = LogisticRegression().fit(frame[["a"]], frame["late"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(
            HeldOutAnswers(
                "classification",
                "late",
                [0, 1],
                ["a"],
                frame,
                frame["late"],
                model.predict(frame[["a"]]),
                model.predict_proba(frame[["a"]]),
                lambda rows: (model.predict(rows), model.predict_proba(rows)),
            )
        )
        pictures.draw(found)
        one_class = frame[frame["late"] == 1]
        alone = evaluate(asked(model, one_class[["a", "late"]]))
        pictures.draw(alone)
    assert alone.roc == ()
    assert alone.importance.shares == {}


def test_a_model_without_chances_is_evaluated() -> None:
    from sklearn.svm import LinearSVC

    frame = trips()[[*NUMBERS, "late"]].fillna(0)
    found = evaluate(asked(LinearSVC().fit(frame[NUMBERS], frame["late"]), frame))
    assert found.metric == "balanced_accuracy"
    assert found.calibration is None
    pictures.draw(found)


def test_a_run_has_its_evaluation_attached(workbench: Workbench) -> None:
    fit(workbench)
    (run,) = workbench.runs().runs
    files = {a.path for a in workbench.tracking.client.list_artifacts(run.id, "evaluation")}
    panels = {"confusion_matrix", "roc", "precision_recall", "calibration", "importance", "segments"}
    assert files == {f"evaluation/{n}.png" for n in panels} | {
        "evaluation/segments.json",
        "evaluation/evaluation.json",
    }
    segments = json.loads(workbench.tracking.text(run.id, "evaluation/segments.json"))
    assert {s["value"] for s in segments} == {"AA", "UA", "B6"}


def test_it_is_shown_inline_and_small(workbench: Workbench) -> None:
    space = dict(workbench.namespace)
    code = 'from projects import pipeline\nmodel = pipeline().fit(train.drop(columns="late"), train["late"])'
    done = workbench.run(
        Cell(code, lambda: exec(code, space), space), name="r", data="train", evaluate="test"
    )
    html = done._repr_html_()
    assert 'src="data:image/png;base64,' in html
    assert len(html) < 150_000
    assert "picture" not in json.dumps(done.to_dict())


def test_texts_and_their_codes_have_the_same_metrics() -> None:
    rng = np.random.default_rng(0)
    for classes in (["early", "late"], ["a", "b", "c"], ["only"]):
        names = np.array(classes, dtype=object)
        truth, predicted = names[rng.integers(0, len(names), (2, 400))]
        chances = rng.dirichlet(np.ones(len(names)), 400)
        by_name = {
            n: metrics.metric(n, truth, predicted, chances, classes)
            for n in metrics.NAMES["classification"]
            if not (n == "log_loss" and len(classes) == 1)
        }
        found = metrics.evaluate(
            truth, predicted, chances if len(classes) > 1 else None, classes, "classification"
        )
        assert found == pytest.approx({n: v for n, v in by_name.items() if v is not None})
