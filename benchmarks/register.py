"""`register` of a fitted pipeline beside `mlflow.sklearn.log_model` + `register_model` with their defaults.

Interleaved in one process with everything imported and both stores migrated; medians and their ratio. MLflow's
default format refuses ordinary models, so the peer gets the one step it needs (skops_trusted_types), nothing else.
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.workbench import Workbench

ROUNDS = 5


def data(rows: int = 20_000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"number {i}": rng.normal(size=rows) for i in range(10)})
    for i in range(3):
        frame[f"word {i}"] = rng.choice(list("abcdefgh"), rows)
    frame["late"] = (frame["number 0"] + rng.logistic(size=rows) > 0).astype(int)
    return frame


def fit(frame: pd.DataFrame) -> object:
    words = [c for c in frame if c.startswith("word")]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), words),
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame.drop(columns="late"), frame["late"])


def peer(model: object, trusted: list[str]) -> None:
    import mlflow

    with mlflow.start_run():
        info = mlflow.sklearn.log_model(model, name="model", skops_trusted_types=trusted)
    mlflow.register_model(info.model_uri, "peer")


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    frame = data()
    model = fit(frame)
    with tempfile.TemporaryDirectory() as folder:
        workbench = Workbench(Path(folder) / "project")
        workbench.init("benchmark")
        import mlflow
        import skops.io

        mlflow.set_tracking_uri(workbench.project.tracking_url)
        mlflow.set_experiment("benchmark")
        trusted = skops.io.get_untrusted_types(data=skops.io.dumps(model))
        workbench.register(model, name="ours", data=frame)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            workbench.register(model, name="ours", data=frame)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                peer(model, trusted)
            theirs.append(time.perf_counter() - start)
        workbench.close()
    a, b = statistics.median(ours), statistics.median(theirs)
    print(
        f"register: {a:.3f} s; log_model + register_model: {b:.2f} s; ratio {b / a:.0f} (median of {ROUNDS})"
    )


if __name__ == "__main__":
    main()
