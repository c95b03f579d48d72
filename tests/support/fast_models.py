"""Fitted pipelines of covered steps, in folders with a proven fast path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_folders
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.rollout import judging
from mlops_workbench.serving.dataplane import DataPlane

INPUTS = (
    Field("delay", "double"),
    Field("wind", "double"),
    Field("hour", "double"),
    Field("carrier", "string"),
    Field("night", "boolean"),
)


def frame(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "delay": rng.normal(10, 20, rows),
            "wind": rng.gamma(2, 3, rows),
            "hour": rng.integers(5, 23, rows).astype(float),
            "carrier": rng.choice(["AA", "UA", "B6", "ZÜ"], rows, p=[0.5, 0.3, 0.15, 0.05]).astype(object),
            "night": rng.random(rows) < 0.3,
        }
    )
    made.loc[rng.random(rows) < 0.1, "delay"] = np.nan
    made.loc[rng.random(rows) < 0.1, "carrier"] = np.nan
    return made


def target(made: pd.DataFrame, classes: int | None) -> Any:
    """`classes` None: numbers to be estimated."""
    number = made["delay"].fillna(0) + made["wind"] * (made["carrier"] == "B6") + 3 * made["night"]
    if classes is None:
        return number.to_numpy()
    return np.array(["early", "late", "very late"])[np.digitize(number, [5, 30][: classes - 1])]


def prepared(numbers: Any = None, texts: Any = None, hour: Any = "passthrough") -> ColumnTransformer:
    return ColumnTransformer(
        [
            (
                "n",
                numbers or make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                ["delay", "wind"],
            ),
            ("t", texts or OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("h", hour, ["hour"]),
            ("b", "passthrough", ["night"]),
        ]
    )


def saved(folder: Path, model: Any, classes: int | None, fitted_on: pd.DataFrame, **changes: Any) -> Manifest:
    """As `register` does: the folder, the plan, the proof and its record."""
    manifest = model_folders.save(
        folder,
        model,
        task="regression" if classes is None else "classification",
        inputs=INPUTS,
        sample=fitted_on.head(4),
        **changes,
    )
    rows = model_folders.rows_of(fitted_on)
    original = DataPlane.load(folder, name="m", version="1", fast=False)
    record = judging.compile_fast_path(folder, model, manifest, {"fitted on": rows}, original.predict)
    manifest = replace(manifest, extra={"fast": record})
    manifest.dump(folder)
    return manifest


def fitted(model: Any, classes: int | None, rows: int = 400) -> tuple[Any, pd.DataFrame]:
    made = frame(rows)
    return model.fit(made, target(made, classes)), made


def same(a: Sequence[Any] | None, b: Sequence[Any] | None) -> bool:
    if a is None or b is None:
        return a is b
    if len(a) and isinstance(a[0], str):
        return list(a) == list(b)
    return bool(
        np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-12, atol=1e-12, equal_nan=True)
    )
