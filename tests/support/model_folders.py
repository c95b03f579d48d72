"""Small real models in folders as the registry makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.manifest import Field, Manifest, Task, file_sha256

INPUTS = (
    Field("dep delay", "double"),
    Field("größe", "double"),
    Field("seats", "long", nullable=False),
    Field("carrier", "string"),
    Field("night", "boolean", nullable=False),
    Field("sched", "datetime"),
)


def flights(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Numbers and strings with gaps, whole numbers, booleans, times; names with blanks and umlauts."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "dep delay": rng.normal(10, 20, rows),
            "größe": rng.gamma(2, 3, rows),
            "seats": rng.integers(50, 300, rows),
            "carrier": rng.choice(["AA", "UA", "B6", "ZÜ"], rows).astype(object),
            "night": rng.random(rows) < 0.3,
            "sched": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10_000, rows), unit="min"),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "dep delay"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "carrier"] = np.nan
    return frame


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame as a client sends it: JSON values, null for what is missing, ISO times."""
    found: list[dict[str, Any]] = json.loads(
        frame.to_json(orient="records", date_format="iso", double_precision=15)
    )
    return found


def _prepared() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["dep delay", "größe", "seats"]),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("b", "passthrough", ["night"]),
        ]
    )


def classifier(seed: int = 0, labels: tuple[Any, ...] = ("late", "on time")) -> Pipeline:
    frame = flights(seed=seed)
    late = (frame["dep delay"].fillna(0) + 20 * (frame["carrier"] == "B6") > 15).to_numpy()
    target = np.where(late, labels[0], labels[1])
    if len(labels) == 3:
        target = np.where(frame["größe"] > 8, labels[2], target)
    return make_pipeline(_prepared(), LogisticRegression(max_iter=500)).fit(frame, target)


def regressor(seed: int = 0) -> Pipeline:
    frame = flights(seed=seed)
    return make_pipeline(_prepared(), RandomForestRegressor(10, random_state=0)).fit(
        frame, frame["dep delay"].fillna(0) * 1.5 + frame["größe"]
    )


def save(
    folder: Path,
    model: Any,
    *,
    name: str = "flights",
    task: Task = "classification",
    inputs: tuple[Field, ...] = INPUTS,
    sample: pd.DataFrame | None = None,
    requirements: tuple[str, ...] = (),
    **changes: Any,
) -> Manifest:
    """What the registry does, as far as serving reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.skops"
    skops.io.dump(model, path)
    sample = flights(5, seed=9) if sample is None else sample
    classes = tuple(model.classes_.tolist()) if task == "classification" else ()
    values: dict[str, Any] = {
        "name": name,
        "task": task,
        "inputs": inputs,
        "model_file": path.name,
        "serialization": "skops",
        "trusted": tuple(skops.io.get_untrusted_types(file=path)),
        "sha256": file_sha256(path),
        "python": "3.11",
        "requirements": requirements,
        "target": "late",
        "classes": classes,
        "sample": tuple(rows_of(sample)),
        "expected": tuple(model.predict(sample).tolist()),
        "expected_probabilities": tuple(map(tuple, model.predict_proba(sample).tolist()))
        if task == "classification" and hasattr(model, "predict_proba")
        else (),
    }
    manifest = Manifest(**(values | changes))
    manifest.dump(folder)
    return manifest
