"""Odd columns, labels and models: what is kept and judged is what the notebook had."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import set_policy
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from mlops_workbench.base.errors import (
    GateFailed,
    InvalidConfig,
    InvalidData,
    InvalidModel,
    NotFound,
    UsageError,
)
from mlops_workbench.data import checking, contracts, frames, inferring, snapshots
from mlops_workbench.data.rows import to_rows
from mlops_workbench.data.verdict import breaches
from mlops_workbench.registry.versions import trusted_types
from mlops_workbench.rollout import judging
from mlops_workbench.rollout.judging import RUNTIME
from mlops_workbench.track import source
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


@pytest.fixture(autouse=True)
def judged_on_what_was_trained_on(workbench: Workbench) -> None:
    """What is served is the matter here, not how good it is."""
    set_policy(workbench, "[gate]\ntrained_rows = 1.0\n")


def base(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    return pd.DataFrame({"x": x, "z": z, "y": (x + rng.normal(size=rows) > 0).astype(int)})


def encoded(frame: pd.DataFrame, column: str) -> Any:
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [column]), remainder="passthrough"),
        LogisticRegression(),
    )
    return model.fit(frame[["x", column]], frame["y"])


def served(workbench: Workbench, name: str, frame: pd.DataFrame) -> Any:
    found = judging.contestant(workbench.project, workbench.tracking, workbench.tracking.version(name, 1))
    return found.served(to_rows(frame[found.manifest.columns]))


@pytest.mark.parametrize("missing", [np.nan, None], ids=["NaN", "None"])
def test_a_missing_text_is_served_as_the_one_that_was_fitted(workbench: Workbench, missing: Any) -> None:
    frame = base()
    frame["c"] = np.where(np.arange(200) % 3 == 0, missing, np.array(["a", "b"] * 100, dtype=object))
    frame["y"] = frame["c"].isna().astype(int)
    space = {"frame": frame[["x", "c", "y"]], "encoded": encoded}
    code = "model = encoded(frame, 'c')"
    workbench.run(Cell(code, lambda: exec(code, space), space), name="r", data="frame", evaluate="frame")
    workbench.register(space["model"], name="m")
    wanted = space["model"].predict_proba(frame[["x", "c"]])
    assert np.allclose(served(workbench, "m", frame).probabilities, wanted, rtol=0, atol=1e-12)
    assert workbench.gate("m", version=1, first=True).metrics["accuracy"] == 1.0


def test_snapshots_give_back_what_was_kept(workbench: Workbench) -> None:
    texts = [pd.DataFrame({"a": np.array(["x", gap], dtype=object)}) for gap in (np.nan, None)]
    marks = [snapshots.keep(workbench.project, workbench.store, f, "f") for f in texts]
    assert marks[0].sha256 != marks[1].sha256
    back = [snapshots.find(workbench.project, m.sha256)["a"][1] for m in marks]
    assert isinstance(back[0], float)
    assert back[1] is None
    texts[0].attrs["mine"] = object()  # no JSON, and none of our business
    assert frames.fingerprint(texts[0], "f").sha256 == marks[0].sha256


FEATURES = {
    "datetime": pd.Series(pd.date_range("2020", periods=200, freq="h")),
    "category": pd.Series(["a", "b"] * 100).astype("category"),
    "string": pd.Series(["a", "b"] * 100).astype("string"),
    "self": pd.Series(["a", "b"] * 100),
}


@pytest.mark.parametrize("name", FEATURES)
def test_columns_of_these_kinds_are_registered_judged_and_served(workbench: Workbench, name: str) -> None:
    frame = base()[["x", "y"]].assign(c=FEATURES[name]).rename(columns={"c": name})
    model = encoded(frame, name)
    workbench.register(model, name="m", data=frame, evaluate=frame)
    workbench.gate("m", version=1, first=True)
    wanted = model.predict_proba(frame[["x", name]])
    assert np.allclose(served(workbench, "m", frame).probabilities, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["category", "boolean", "Int64"])
def test_gradient_boosting_takes_extension_types(workbench: Workbench, kind: str) -> None:
    frame = base()
    frame["c"] = pd.Series([1, 0, None, 1] * 50).astype("Int64")
    frame["c"] = frame["c"].map({1: "a", 0: "b"}).astype("category") if kind == "category" else frame["c"]
    frame["c"] = frame["c"].astype(kind)
    frame = frame[["x", "c", "y"]]
    model = HistGradientBoostingClassifier(max_iter=5).fit(frame[["x", "c"]], frame["y"])
    workbench.register(model, name="m", data=frame, evaluate=frame)
    assert "c" in workbench.gate("m", version=1, first=True).importance


def test_what_json_cannot_carry_is_refused_in_a_sentence(workbench: Workbench) -> None:
    numbers = base()[["x", "y"]].assign(c=pd.Series([1, 2] * 100).astype("category"))
    frame = numbers.assign(c=pd.qcut(numbers["x"], 3))
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["c"]), remainder="passthrough"), LogisticRegression()
    )
    workbench.register(clone(model).fit(numbers[["x", "c"]], numbers["y"]), name="numbers", data=numbers)
    model.fit(frame[["x", "c"]], frame["y"])
    with pytest.raises(InvalidModel, match=r"cannot answer: ValueError.* A served column holds numbers"):
        workbench.register(model, name="m", data=frame, format="cloudpickle")
    assert [m.name for m in workbench.models().models] == ["numbers"]


def test_a_clusterer_is_neither_classifier_nor_regressor(workbench: Workbench) -> None:
    frame = base()[["x", "z"]]
    model = KMeans(2, n_init=1, random_state=0).fit(frame)
    assert workbench.register(model, name="m", data=frame, evaluate=frame).task == "other"
    with pytest.raises(GateFailed, match="neither a label nor a number of a label column"):
        workbench.gate("m", version=1, first=True)


def test_a_model_fitted_on_an_array_asks_for_its_label(workbench: Workbench) -> None:
    frame = base()
    model = LogisticRegression().fit(frame[["x", "z"]].to_numpy(), frame["y"])
    with pytest.raises(InvalidData, match="which of the 3 columns"):
        workbench.register(model, name="m", data=frame)
    workbench.register(model, name="m", data=frame, evaluate=frame, target="y")
    assert workbench.gate("m", version=1, first=True).passed


def test_labels_of_a_regressor_must_be_finite_numbers(workbench: Workbench) -> None:
    frame = base()
    workbench.register(LinearRegression().fit(frame[["x", "y"]], frame["z"]), name="m", data=frame)
    for bad in (frame.assign(z="much"), frame.assign(z=np.inf)):
        with pytest.raises(InvalidData, match="label column 'z' must hold finite numbers"):
            workbench.gate("m", version=1, data=bad)


def test_a_gate_without_figures_leaves_those_of_the_run(workbench: Workbench) -> None:
    frame = base()
    space = {"frame": frame, "LogisticRegression": LogisticRegression}
    code = "model = LogisticRegression().fit(frame[['x', 'z']], frame['y'])"
    workbench.run(Cell(code, lambda: exec(code, space), space), name="r", data="frame", evaluate="frame")
    before = workbench.register(space["model"], name="m").metrics
    version = workbench.tracking.version("m", 1)
    workbench.tracking.tag_version("m", 1, "evaluate.sha256", "")
    assert version.tags["evaluate.sha256"]
    with pytest.raises(GateFailed, match="no labelled rows"):
        workbench.gate("m", version=1, first=True)
    assert workbench.models().models[0].metrics == before != {}


def test_partial_functions_are_trusted_only_with_what_they_call() -> None:
    for function, named in ((functools.partial(os.system), r"(os|posix)\.system"), (eval, r"builtins\.eval")):
        with pytest.raises(InvalidModel, match=named):
            trusted_types(FunctionTransformer(function).fit([[1]]), "m", RUNTIME)


class Duck:
    def fit(self, x: Any) -> Duck:
        self.mean_ = 1.0
        return self

    def predict(self, x: Any) -> Any:
        return np.ones(len(x))


def test_a_model_of_no_library_counts_once_it_is_fitted() -> None:
    assert not source.is_fitted_model(Duck())
    assert source.is_fitted_model(Duck().fit(1))


def test_rows_and_last_do_not_go_together(workbench: Workbench) -> None:
    frame = base()
    model = LogisticRegression().fit(frame[["x", "z"]], frame["y"])
    workbench.register(model, name="m", data=frame)
    with pytest.raises(UsageError, match="last is of the logged ones"):
        workbench.drift("m", version=1, data=frame, last=5)


def test_a_version_made_by_others_is_named(workbench: Workbench) -> None:
    workbench.tracking.create_version("m", "/somewhere/else", None, {})
    with pytest.raises(NotFound, match="was not registered by the workbench"):
        workbench.gate("m", version=1, first=True)


def test_lists_in_a_column_have_a_contract_too() -> None:
    frame = pd.DataFrame({"a": [[1], [2]], "b": [1, 2]})
    made = inferring.infer_contract(frame, "c")
    assert breaches(checking.check(frame, made)) == ()
    assert [b.column for b in breaches(checking.check(frame.assign(b=[[1], [2]]), made))] == ["b"]


@pytest.mark.parametrize(
    "rule", ["minimum: low", "values: 5", "nullable: maybe", "unique: 3", "maximum: true"]
)
def test_a_limit_of_the_wrong_kind_names_the_key(tmp_path: Any, rule: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"columns:\n  b: {{type: number, {rule}}}\n")
    with pytest.raises(InvalidConfig, match=rf"{rule.split(':')[0]} of column 'b' must be"):
        contracts.read(path)
    with pytest.raises(InvalidConfig, match="cannot be read"):
        contracts.read(tmp_path)
