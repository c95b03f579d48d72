"""Models as people make them: searches, calibrated and stacked ones, columns chosen by type; each served as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import randint
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Manifest
from mlops_workbench.rollout import judging
from mlops_workbench.track.modules import needed
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def rows(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.normal(size=240), "b": rng.normal(size=240), "c": rng.choice(["x", "y", "z"], 240)}
    )
    frame["ticket"] = [f"T{seed}-{i}" for i in range(240)]  # nothing reads it
    return frame.assign(y=((frame["a"] > 0) ^ (frame["c"] == "x")).astype(int))


def prepared(columns: Any = ("c",), numbers: Any = ("a", "b"), dtype: Any = np.float64) -> Any:
    given = [list(c) if isinstance(c, tuple) else c for c in (columns, numbers)]
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", dtype=dtype), given[0]), (StandardScaler(), given[1])
    )


def pipeline(model: Any = None, **chosen: Any) -> Any:
    return make_pipeline(prepared(**chosen), LogisticRegression() if model is None else model)


def fitted(model: Any) -> Any:
    frame = rows()
    return model.fit(frame.drop(columns="y"), frame["y"])


def registered(
    workbench: Workbench, model: Any, evaluate: pd.DataFrame | None = None
) -> tuple[Path, Manifest]:
    workbench.namespace = {
        "rows": rows(),
        "others": rows(1) if evaluate is None else evaluate,
        "model": model,
    }
    version = workbench.register("model", name="m", data="rows", evaluate="others").version
    folder = workbench.tracking.folder(workbench.tracking.version("m", version))
    return folder, Manifest.load(folder)


def answers(folder: Path, frame: pd.DataFrame) -> list[Any]:
    manifest = Manifest.load(folder)
    return list(
        judging.load(folder)(to_rows(frame[manifest.taken_from(frame.columns)], manifest.inputs)).values
    )


# --- searches ---

SEARCHES = {
    "grid": lambda: GridSearchCV(pipeline(), {"logisticregression__C": [0.01, 7.0]}, cv=3),
    "last step": lambda: pipeline(GridSearchCV(LogisticRegression(), {"C": [0.01, 7.0]}, cv=3)),
    "halving": lambda: HalvingGridSearchCV(pipeline(), {"logisticregression__C": [0.01, 7.0]}, cv=3),
    "random": lambda: RandomizedSearchCV(
        pipeline(RandomForestClassifier(5, random_state=0)),
        {"randomforestclassifier__max_depth": randint(2, 5)},
        n_iter=2,
        cv=3,
        random_state=0,
    ),
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_is_recorded_and_its_best_estimator_serves(workbench: Workbench, kind: str) -> None:
    names: dict[str, Any] = {"train": rows(), "test": rows(1), "search": SEARCHES[kind]()}
    workbench.namespace = names
    code = "model = search.fit(train.drop(columns='y'), train['y'])"
    run = workbench.run(
        Cell(code, lambda: exec(code, names), names), name="r", data="train", evaluate="test"
    ).run
    search = names["model"] if kind != "last step" else names["model"][-1]
    ((name, best),) = search.best_params_.items()
    served = f"gridsearchcv__{name}" if kind == "last step" else name
    assert run.params[served] == run.params[f"search.best.{name}"] == str(best)
    assert run.params["search"] == type(search).__name__
    assert name in run.params["search.grid"]
    assert run.metrics["best_score"] == pytest.approx(search.best_score_)
    assert "search/results.csv" in workbench.tracking.files(run.id)
    workbench.register("model", name="m")
    folder = workbench.tracking.folder(workbench.tracking.version("m", 1))
    fast = Manifest.load(folder).extra["fast"]
    assert fast["proven"], fast["reason"]
    assert answers(folder, names["test"]) == names["model"].predict(names["test"].drop(columns="y")).tolist()
    assert str(best) in workbench.card("m", version=1).markdown
    assert workbench.lineage("m", version=1).tree["run"]["parameters"][served] == str(best)


@pytest.mark.parametrize(
    "model",
    [
        CalibratedClassifierCV(pipeline(), cv=2),
        VotingClassifier([("a", pipeline()), ("b", pipeline())]),
        StackingClassifier([("a", pipeline()), ("b", pipeline())], cv=2),
    ],
    ids=lambda m: type(m).__name__,
)
def test_the_reason_of_the_original_path_is_the_true_one(workbench: Workbench, model: Any) -> None:
    _, manifest = registered(workbench, fitted(model))
    assert manifest.extra["fast"]["reason"] == f"{type(model).__name__} is not covered"


# --- what skops keeps ---


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            {"columns": make_column_selector(pattern="c", dtype_include=object)},
            "dtype object as NumPy's object_",
        ),
        ({"numbers": make_column_selector(dtype_include=[float])}, "dtype float as NumPy's float64"),
        ({"dtype": float}, "dtype float as NumPy's float64"),
        ({"numbers": rows().columns[:2]}, "columns given as a pandas Index as a list"),
    ],
    ids=["object", "float", "dtype", "index"],
)
def test_harmless_values_are_kept_in_another_form(workbench: Workbench, chosen: Any, said: str) -> None:
    heard: list[str] = []
    model = fitted(pipeline(**chosen))
    before = repr(model)
    workbench.progress = lambda text, *_: heard.append(text)
    folder, manifest = registered(workbench, model)
    assert manifest.serialization == "skops"
    assert said in manifest.extra["converted"]
    assert any(said in line for line in heard)
    assert said in workbench.lineage("m", version=1).tree["environment"]["kept with"]
    assert answers(folder, rows(1)) == model.predict(rows(1)).tolist()
    assert repr(model) == before


def test_an_experimental_estimator_is_loaded_where_nothing_enabled_it(workbench: Workbench) -> None:
    frame = rows().assign(a=lambda f: f["a"].where(f["b"] < 1))
    model = make_pipeline(IterativeImputer(), LogisticRegression()).fit(frame[["a", "b"]], frame["y"])
    workbench.namespace = {"rows": frame[["a", "b", "y"]], "model": model}
    assert workbench.register("model", name="m", data="rows").version == 1


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_what_set_output_needs_is_required(library: str) -> None:
    model = fitted(pipeline()).set_output(transform=library)
    assert library in needed(model).installed
    assert library not in needed(fitted(pipeline())).installed


# --- columns that are not read ---


def test_a_column_that_is_not_read_may_be_missing(workbench: Workbench) -> None:
    model = fitted(pipeline())
    without = rows(1).drop(columns="ticket")
    folder, manifest = registered(workbench, model, without)
    assert manifest.unread == ("ticket",)
    assert answers(folder, without) == answers(folder, rows(1)) == model.predict(rows(1)).tolist()
    report = workbench.gate("m", first=True)
    assert report.passed
    tree = workbench.lineage("m", version=1).tree
    assert (tree["reads"], tree["takes without reading"]) == (["a", "b", "c"], ["ticket"])
    workbench.namespace["lacking"] = rows().drop(columns="a")
    with pytest.raises(InvalidData, match="has no column 'a', which the model was fitted with"):
        workbench.register("model", name="m", data="lacking")
