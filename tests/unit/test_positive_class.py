"""The positive class: named, set for a run, a version or the project, and the one that every figure is of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import set_policy
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from mlops_workbench.errors import UsageError
from mlops_workbench.monitor import performance
from mlops_workbench.registry.versions import recorded
from mlops_workbench.track import metrics
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def people(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    left = x + rng.normal(scale=0.8, size=rows) > 1
    sex = rng.choice(["f", "m"], rows)
    return pd.DataFrame({"x": x, "sex": sex, "state": np.where(left, "churned", "stayed")})


def fitted(workbench: Workbench, **options: Any) -> Any:
    space = workbench.namespace
    space["train"], space["test"] = people(seed=1), people(seed=2)
    space["model"] = LogisticRegression()
    code = 'model.fit(train[["x"]], train["state"])'

    def execute() -> None:
        exec(code, dict(space))

    return workbench.run(
        Cell(code, execute, space), name="r", data="train", evaluate="test", target="state", **options
    )


def expected(frame: pd.DataFrame, model: Any, positive: str) -> dict[str, float]:
    truth, answers = frame["state"] == positive, model.predict(frame[["x"]]) == positive
    return {
        "f1": sk.f1_score(truth, answers),
        "precision": sk.precision_score(truth, answers),
        "recall": sk.recall_score(truth, answers),
    }


def test_it_is_named_and_counts_everywhere(workbench: Workbench) -> None:
    done = fitted(workbench, positive="churned")
    space = workbench.namespace
    model, test = space["model"], space["test"]
    wanted = expected(test, model, "churned")
    assert {n: done.run.metrics[n] for n in wanted} == pytest.approx(wanted)
    assert "the positive class is 'churned'" in done.evaluation.title
    assert done.evaluation.roc[0].name == "churned"
    assert done.evaluation.calibration.name == "probability of churned"

    set_policy(
        workbench,
        '[gate.fairness]\ncolumn = "sex"\nmetric = "selection_rate_difference"\nlimit = 1.0\n',
    )
    version = workbench.register(model, name="churn").version
    assert recorded(workbench.tracking, workbench.version("churn", int(version)))[1].positive == "churned"
    report = workbench.gate("churn", version=int(version), first=True)
    assert {n: report.metrics[n] for n in wanted} == pytest.approx(wanted)
    assert "positive class 'churned'" in report.title
    (fair,) = [c for c in report.checks if c.name.startswith("fairness")]
    shares = (pd.Series(model.predict(test[["x"]])) == "churned").groupby(test["sex"]).mean()
    assert {g["group"]: g["selection_rate"] for g in fair.evidence["groups"]} == pytest.approx(
        shares.to_dict(), abs=1e-4
    )
    assert "The positive class is `churned`." in workbench.card("churn", version=int(version)).markdown


def test_the_project_sets_it_and_a_run_may_differ(workbench: Workbench) -> None:
    set_policy(workbench, '[model]\npositive = "churned"\n')
    done = fitted(workbench)
    model, test = workbench.namespace["model"], workbench.namespace["test"]
    assert done.run.metrics["recall"] == pytest.approx(expected(test, model, "churned")["recall"])
    other = fitted(workbench, positive="stayed")
    model = workbench.namespace["model"]
    assert other.run.metrics["recall"] == pytest.approx(expected(test, model, "stayed")["recall"])


def test_a_class_that_is_none_is_refused_with_the_classes(workbench: Workbench) -> None:
    fitted(workbench)
    with pytest.raises(
        UsageError, match=re.escape("'chured' is none of the model's: churned, stayed")
    ) as seen:
        workbench.register(workbench.namespace["model"], name="churn", positive="chured")
    assert "churned" in seen.value.next_step
    assert workbench.models().models == ()


def test_a_text_names_a_class_of_another_kind() -> None:
    assert metrics.positive_class([0, 1], "0") == 0
    assert metrics.positive_class([0.0, 1.0], "1") == 1.0
    assert metrics.positive_class([False, True], "False") is False
    assert metrics.positive_class(["0", "1"], "0") == "0"
    assert metrics.positive_class([0, 1], None) is None
    assert metrics.positive_class(["a", "b", "c"], None, "a") is None
    with pytest.raises(UsageError, match="one of two; the model has 3 classes"):
        metrics.positive_class(["a", "b", "c"], "a")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.01, 0.99)), min_size=2, max_size=60))
def test_metrics_over_the_log_are_the_gates(rows: list[tuple[bool, bool, float]]) -> None:
    classes = ("no", "yes")
    truth = np.array([classes[t] for t, _, _ in rows])
    answers = np.array([classes[a] for _, a, _ in rows])
    chances = np.array([[p, 1 - p] for _, _, p in rows])
    for positive in classes:
        at_gate = metrics.evaluate(truth, answers, chances, classes, "classification", positive)
        score = chances[:, classes.index(positive)]
        later = performance.classification(truth, answers, score, classes=classes, positive=positive)
        same = at_gate.keys() & later.keys()
        assert {"f1", "precision", "recall", "accuracy", "log_loss"} <= same
        assert {n: later[n] for n in same} == pytest.approx({n: at_gate[n] for n in same})
