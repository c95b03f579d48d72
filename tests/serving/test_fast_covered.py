"""The usual steps and estimators, one by one: covered and equal on odd rows, or left to the original with a reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fast_models
import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, linear_model, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from mlops_workbench.registry.fastpath import summary
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.filterwarnings("ignore")  # of scikit-learn, about odd rows and few iterations

filled = SimpleImputer
NUMBERS: dict[str, Any] = {
    "mean": make_pipeline(filled(), StandardScaler()),
    "median": filled(strategy="median"),
    "most frequent": filled(strategy="most_frequent"),
    "constant": filled(strategy="constant", fill_value=-7),
    "indicator": filled(add_indicator=True),
    "kept when empty": filled(keep_empty_features=True),
    "standard": make_pipeline(filled(), StandardScaler(with_mean=False)),
    "min max": make_pipeline(filled(), MinMaxScaler((-1, 2))),
    "min max clipped": make_pipeline(filled(), MinMaxScaler(clip=True)),
    "max abs": make_pipeline(filled(), MaxAbsScaler()),
    "robust": make_pipeline(filled(), RobustScaler(unit_variance=True)),
    "log1p": make_pipeline(filled(), FunctionTransformer(np.log1p), filled()),
    "arctanh": make_pipeline(filled(), MinMaxScaler((-0.5, 0.5), clip=True), FunctionTransformer(np.arctanh)),
    "identity": make_pipeline(FunctionTransformer(), filled()),
    "union": make_pipeline(
        filled(), FeatureUnion([("a", StandardScaler()), ("b", "passthrough"), ("c", "drop")])
    ),
    "missing indicator": FeatureUnion(
        [("a", make_pipeline(filled(), StandardScaler())), ("b", MissingIndicator(features="all"))]
    ),
    "nested": make_pipeline(
        ColumnTransformer([("a", filled(), ["delay"]), ("b", filled(add_indicator=True), ["wind"])]),
        make_pipeline("passthrough", StandardScaler()),
    ),
}
TEXTS: dict[str, Any] = {
    "ignore": OneHotEncoder(handle_unknown="ignore"),
    "error": OneHotEncoder(),
    "drop first": OneHotEncoder(drop="first"),
    "drop if binary": OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    "infrequent": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1),
    "few": OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3, sparse_output=False),
    "named": OneHotEncoder(categories=[["AA", "UA"]], handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(encoded_missing_value=-1),
    "ordinal unknown": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, min_frequency=20
    ),
    "target": TargetEncoder(),
    "filled": make_pipeline(filled(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
    "dropped": "drop",
}
SORTING: list[Any] = [
    linear_model.LogisticRegression(),
    linear_model.LogisticRegression(class_weight="balanced", solver="newton-cholesky"),
    linear_model.LogisticRegressionCV(cv=3),
    linear_model.RidgeClassifier(),
    linear_model.SGDClassifier(loss="log_loss", max_iter=50),
    linear_model.SGDClassifier(max_iter=50),
    linear_model.Perceptron(),
    svm.LinearSVC(),
    tree.DecisionTreeClassifier(),
    tree.ExtraTreeClassifier(max_depth=4),
    ensemble.RandomForestClassifier(9),
    ensemble.ExtraTreesClassifier(9),
    ensemble.GradientBoostingClassifier(n_estimators=6),
    ensemble.HistGradientBoostingClassifier(max_iter=6),
]
MEASURING: list[Any] = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(),
    linear_model.ElasticNet(),
    linear_model.SGDRegressor(max_iter=50),
    linear_model.HuberRegressor(),
    linear_model.PoissonRegressor(),
    linear_model.GammaRegressor(),
    linear_model.TweedieRegressor(power=1.5),
    linear_model.TweedieRegressor(),
    svm.LinearSVR(),
    tree.DecisionTreeRegressor(max_depth=6),
    ensemble.RandomForestRegressor(9),
    ensemble.ExtraTreesRegressor(9),
    ensemble.GradientBoostingRegressor(n_estimators=6, loss="huber"),
    ensemble.HistGradientBoostingRegressor(max_iter=6),
    ensemble.HistGradientBoostingRegressor(max_iter=6, loss="gamma"),
]


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Random rows with gaps, infinities, whole numbers, huge ones, and categories that were never seen."""
    rng = np.random.default_rng(11)
    odd: dict[str, list[Any]] = {
        "delay": [None, math.nan, math.inf, -math.inf, 3, 0, -0.0, 1e308, 5e-324, 2**60, True],
        "wind": [None, math.inf, 7, -1.0, -5, 1e-12, 3.4e38],
        "hour": [None, 5, 12, 99.0, -1.0, 12.5, math.nan],
        "carrier": [None, math.nan, "XX", "", "nan", "None", "aa"],
        "night": [None, True, False, 1],
    }
    found = []
    for _ in range(250):
        base = {
            k: v.item() if hasattr(v, "item") else v for k, v in frame.iloc[rng.integers(len(frame))].items()
        }
        for name in odd:
            if rng.random() < 0.35:
                base[name] = odd[name][rng.integers(len(odd[name]))]
        found.append(base)
    return found


def check(folder: Path, model: Any, classes: int | None, made: pd.DataFrame) -> None:
    """A plan is proven, and answers each row as the original does or leaves it to it."""
    record = fast_models.saved(folder, model, classes, made).extra["fast"]
    assert record["proven"], record["reason"]
    plane = DataPlane.load(folder, name="m", version="1")
    original = DataPlane.load(folder, name="m", version="1", fast=False).predict
    asked = rows(made)
    assert plane._fast is not None
    found = plane._fast.answer(asked)
    own = [row for i, row in enumerate(asked) if i not in set(found.left)]
    assert len(own) > 50
    wanted = original(own)
    assert fast_models.same(found.values, wanted.values)
    assert fast_models.same(found.probabilities, wanted.probabilities)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("step", NUMBERS.values(), ids=list(NUMBERS))
def test_steps_of_numbers(tmp_path: Path, step: Any, classes: int) -> None:
    last: Any = linear_model.LogisticRegression() if classes == 2 else ensemble.RandomForestClassifier(5)
    check(tmp_path, *_fitted(make_pipeline(fast_models.prepared(step, hour=filled()), last), classes))


@pytest.mark.parametrize("step", TEXTS.values(), ids=list(TEXTS))
def test_steps_of_texts(tmp_path: Path, step: Any) -> None:
    last = linear_model.LogisticRegression()
    check(tmp_path, *_fitted(make_pipeline(fast_models.prepared(texts=step), last), 3))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("last", SORTING, ids=lambda m: str(m).split("(")[0])
def test_classifiers(tmp_path: Path, last: Any, classes: int) -> None:
    check(tmp_path, *_fitted(make_pipeline(fast_models.prepared(), last), classes))


@pytest.mark.parametrize("last", MEASURING, ids=str)
def test_regressors(tmp_path: Path, last: Any) -> None:
    made = fast_models.frame(400)
    positive = np.abs(fast_models.target(made, None)) + 0.1
    check(tmp_path, make_pipeline(fast_models.prepared(), last).fit(made, positive), None, made)


@pytest.mark.parametrize("kind", ["names", "dtype", "codes"])
def test_categories_of_histogram_boosting(tmp_path: Path, kind: str) -> None:
    made = fast_models.frame(400)
    asked = made.assign(carrier=made["carrier"].astype("category")) if kind == "dtype" else made
    columns = {"names": ["carrier", "hour"], "dtype": "from_dtype", "codes": None}[kind]
    model: Any = ensemble.HistGradientBoostingClassifier(max_iter=8, categorical_features=columns)
    if kind == "codes":
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        model = make_pipeline(fast_models.prepared("passthrough", codes), model)
    check(tmp_path, model.fit(asked, fast_models.target(made, 3)), 3, made)


def test_what_a_column_transformer_is_told(tmp_path: Path) -> None:
    chosen = ColumnTransformer(
        [
            ("t", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)),
            ("n", make_pipeline(filled(), StandardScaler()), ["delay", "wind"]),
        ],
        remainder="passthrough",
        transformer_weights={"n": 0.5},
        sparse_threshold=1.0,
    )
    check(tmp_path / "a", *_fitted(make_pipeline(chosen, linear_model.LogisticRegression()), 2))
    frames = fast_models.prepared(texts=OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    named = make_pipeline(frames, ensemble.RandomForestClassifier(5)).set_output(transform="pandas")
    check(tmp_path / "b", *_fitted(named, 3))


def test_whole_numbers_in_the_training_data(tmp_path: Path) -> None:
    made = fast_models.frame(400)
    whole = made.assign(hour=made["hour"].astype(int), wind=made["wind"].round().astype("int32"))
    steps = fast_models.prepared(hour=OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(steps, ensemble.ExtraTreesClassifier(6)).fit(whole, fast_models.target(made, 2))
    check(tmp_path, model, 2, made)


def _fitted(model: Any, classes: int) -> tuple[Any, int, pd.DataFrame]:
    fitted, made = fast_models.fitted(model, classes)
    return fitted, classes, made


LEFT: dict[str, tuple[Any, int | None]] = {
    "KBinsDiscretizer": (make_pipeline(filled(), KBinsDiscretizer()), 2),
    "PolynomialFeatures": (make_pipeline(filled(), PolynomialFeatures()), 2),
    "PowerTransformer": (make_pipeline(filled(), PowerTransformer()), 2),
    "PCA": (make_pipeline(filled(), PCA()), 2),
    "KNNImputer": (KNNImputer(), 2),
    "np.isnan makes no number of a number": (FunctionTransformer(np.isnan), 2),
    "MissingIndicator refuses": (FeatureUnion([("a", filled()), ("b", MissingIndicator())]), 2),
    "KNeighborsClassifier": (KNeighborsClassifier(), 2),
    "KNeighborsRegressor": (KNeighborsRegressor(), None),
    "CalibratedClassifierCV": (CalibratedClassifierCV(svm.LinearSVC()), 3),
    "VotingClassifier": (ensemble.VotingClassifier([("a", linear_model.LogisticRegression())]), 2),
    "StackingClassifier": (ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier())]), 2),
    "TransformedTargetRegressor": (TransformedTargetRegressor(linear_model.Ridge()), None),
    "GaussianNB": (GaussianNB(), 2),
    "SVC": (svm.SVC(), 2),
    "loss 'modified_huber'": (linear_model.SGDClassifier(loss="modified_huber"), 2),
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_falls_back_by_itself(tmp_path: Path, reason: str) -> None:
    part, classes = LEFT[reason]
    last = hasattr(part, "predict")
    model = make_pipeline(
        fast_models.prepared(None if last else part),
        part if last else linear_model.LogisticRegression(),
    )
    fitted, made = fast_models.fitted(model, classes)
    record = fast_models.saved(tmp_path, fitted, classes, made).extra["fast"]
    assert not record["proven"]
    assert reason in record["reason"]
    assert "compiled" not in record["reason"]
    assert summary.sentence(record).startswith("original path: ")
    plane = DataPlane.load(tmp_path, name="m", version="1")
    assert (plane.path, plane.warm().differing) == ("original", 0)


def test_models_and_lineage_say_which_path_and_why(workbench: Workbench) -> None:
    from projects import NUMBERS as MEASURED
    from projects import pipeline

    train = workbench.namespace["train"]
    features, label = train.drop(columns="late"), train["late"]
    space = dict(workbench.namespace)
    space["quick"] = pipeline().fit(features, label)
    near = make_pipeline(ColumnTransformer([("n", filled(), MEASURED)]), KNeighborsClassifier())
    space["near"] = near.fit(features, label)
    workbench.namespace = space
    for model in ("quick", "near"):
        workbench.register(model, name="paths", data="train", evaluate="test", target="late", format="skops")
    near_listed, quick_listed = workbench.models().models
    assert near_listed.path == "original path: KNeighborsClassifier is not covered"
    assert quick_listed.path.startswith("fast path: proven on ")
    assert [row[-2] for row in workbench.models().table()[1]] == ["original", "fast"]
    told = [workbench.lineage("paths", version=v).to_dict()["answers by"] for v in (1, 2)]
    assert told[0]["path"] == quick_listed.path
    assert told[0]["rows tried"]["unseen categories"] > 0
    assert told[1]["path"] == near_listed.path
