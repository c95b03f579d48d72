"""The fast path answers as the original does, or leaves the row to it: drawn pipelines, drawn rows."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import fast_models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mlops_workbench.serving.dataplane import DataPlane

pytestmark = pytest.mark.filterwarnings("ignore")  # of scikit-learn, about odd rows and few iterations

NUMBERS: list[Any] = [
    make_pipeline(SimpleImputer(), StandardScaler()),
    make_pipeline(SimpleImputer(strategy="median", add_indicator=True), RobustScaler()),
    make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.0), MinMaxScaler(clip=True)),
    make_pipeline(MaxAbsScaler(), SimpleImputer(strategy="most_frequent")),
    make_pipeline(SimpleImputer(), FunctionTransformer(np.cbrt), StandardScaler(with_mean=False)),
    make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p), SimpleImputer(), StandardScaler()),
    make_pipeline(
        SimpleImputer(),
        FeatureUnion([("a", StandardScaler()), ("b", "passthrough")], transformer_weights={"b": 0.5}),
    ),
]
TEXTS: list[Any] = [
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="error", drop="first"),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1, sparse_output=False),
    make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore")
    ),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    TargetEncoder(),
]
HOURS: list[Any] = ["passthrough", OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder(), "drop"]
BETWEEN: list[Any] = [[], [VarianceThreshold()], [SelectKBest(k=3)], ["passthrough"]]
SORTING: list[Any] = [
    LogisticRegression(),
    RidgeClassifier(),
    SGDClassifier(loss="log_loss", max_iter=50),
    LinearSVC(),
    DecisionTreeClassifier(max_depth=5),
    RandomForestClassifier(7, n_jobs=2),
    ExtraTreesClassifier(7),
    GradientBoostingClassifier(n_estimators=5),
    HistGradientBoostingClassifier(max_iter=5),
    DummyClassifier(),
]
MEASURING: list[Any] = [
    LinearRegression(),
    Ridge(),
    ElasticNet(),
    DecisionTreeRegressor(),
    RandomForestRegressor(7),
    GradientBoostingRegressor(n_estimators=5),
    HistGradientBoostingRegressor(max_iter=5),
    DummyRegressor(),
]

numbers = st.one_of(
    st.none(),
    st.floats(),  # with NaN and infinities
    st.floats(-100, 100),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0.0, -0.0, 5.0, 12.0, 5e-324, 3.5e38, True, "7"]),
)
texts = st.one_of(
    st.none(),
    st.sampled_from(["AA", "UA", "B6", "ZÜ", "", "nan", "XX"]),
    st.text(max_size=3),
    st.just(math.nan),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "delay": numbers,
            "wind": numbers,
            "hour": st.one_of(st.integers(4, 23).map(float), numbers),
            "carrier": texts,
            "night": st.one_of(st.booleans(), st.none(), st.just(1)),
        },
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_plan_answers_as_the_original_or_not_at_all(data: st.DataObject) -> None:
    classes = data.draw(st.sampled_from([2, 3, None]), "classes")
    steps = fast_models.prepared(
        data.draw(st.sampled_from(NUMBERS)),
        data.draw(st.sampled_from(TEXTS)),
        data.draw(st.sampled_from(HOURS)),
    )
    last = data.draw(st.sampled_from(MEASURING if classes is None else SORTING), "estimator")
    try:
        model, made = fast_models.fitted(
            make_pipeline(steps, *data.draw(st.sampled_from(BETWEEN)), last), classes
        )
    except (ValueError, TypeError):  # a scorer without texts, no missing values, no sparse matrix taken
        return
    with tempfile.TemporaryDirectory() as folder:
        manifest = fast_models.saved(Path(folder), model, classes, made)
        record = manifest.extra["fast"]
        if not record["proven"]:
            assert "SelectKBest drops" in record["reason"] or "refuses" in record["reason"], record["reason"]
            return
        fast = DataPlane.load(Path(folder), name="m", version="1")
        original = DataPlane.load(Path(folder), name="m", version="1", fast=False).predict
        assert fast.path == "fast"
        for row in data.draw(ROWS, "rows"):
            found = fast._fast.answer([row]) if fast._fast else None
            assert found is not None
            if found.left:
                continue
            wanted = original([row])
            assert fast_models.same(found.values, wanted.values), row
            assert fast_models.same(found.probabilities, wanted.probabilities), row
