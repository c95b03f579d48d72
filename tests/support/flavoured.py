"""Models that are not scikit-learn's, made in tracked cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import projects

from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

WORDS = """
import mlflow.pyfunc

class Weather(mlflow.pyfunc.PythonModel):
    def __init__(self, words):
        self.words = words

    def predict(self, context, model_input, params=None):
        import numpy as np
        hit = model_input["report"].fillna("").str.lower().str.contains("|".join(self.words))
        return np.where(hit | (model_input["wind"] > 30), "late", "on time")

words = Weather(["storm", "snow"])
"""

BOOSTER = """
import lightgbm
import mlflow.lightgbm
from mlflow.models import infer_signature

features = train[["hour", "wind", "gap"]]
booster = lightgbm.train(
    {"objective": "regression", "verbose": -1, "deterministic": True, "num_threads": 1},
    lightgbm.Dataset(features, train["delay"]),
    20,
)
info = mlflow.lightgbm.log_model(
    booster,
    name="model",
    signature=infer_signature(features, booster.predict(features)),
    pip_requirements=["lightgbm"],
)
"""

LOGGED = """
import mlflow.sklearn
from projects import pipeline

fitted = pipeline().fit(train.drop(columns="late"), train["late"])
info = mlflow.sklearn.log_model(
    fitted, name="model", pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
)
del fitted
"""

DOUBLED = """
import mlflow.pyfunc

class Doubled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import brought  # a module that is logged with the model

        return model_input["wind"] * brought.FACTOR
"""

MANY = """
import mlflow.pyfunc
import numpy as np
import pandas as pd
import projects

class Many(mlflow.pyfunc.PythonModel):
    '''Answers what it was told to make of its rows.'''

    def __init__(self, what):
        self.what = what

    def predict(self, context, model_input, params=None):
        wind = model_input["wind"].to_numpy()
        match self.what:
            case "table":
                return pd.DataFrame({"low": wind - 1, "high": wind + 1, "what": "x"})
            case "array":
                return np.stack([wind, -wind], axis=1)
            case "column":
                return pd.DataFrame({"only": wind})
            case "whole":
                return (wind > 10).astype(int)
            case "neighbours":
                return wind - wind.mean()
            case "types":
                return [str(model_input["hour"].dtype) for _ in wind]
            case "short":
                return wind[:-1]
        raise RuntimeError("no answer")

"""


def defined(source: str, name: str) -> Any:
    """A class as a cell defines it."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    return space[name]


def many(what: str) -> Any:
    return defined(MANY, "Many")(what)


def reports(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Texts, whole and other numbers, gaps; a label and a number that depend on them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "report": rng.choice(["Snow in the north", "storm ahead", "clear", "fog", "sunny"], rows),
            "hour": rng.integers(0, 24, rows),
            "wind": rng.gamma(2, 6, rows),
            "gap": rng.normal(0, 1, rows),
        }
    ).astype({"report": object})
    bad = frame["report"].str.contains("storm|Snow") | (frame["wind"] > 30)
    frame["label"] = np.where(bad ^ (rng.random(rows) < 0.05), "late", "on time")
    frame["delay"] = 3.0 * frame["hour"] + frame["wind"] + 5 * frame["gap"].fillna(0)
    frame.loc[rng.random(rows) < 0.1, "report"] = None
    frame.loc[rng.random(rows) < 0.1, "gap"] = np.nan
    return frame


def run(workbench: Workbench, source: str, name: str, data: pd.DataFrame, target: str) -> dict[str, Any]:
    """Run a cell as a tracked run on `train` and `test`; returns its variables."""
    space: dict[str, Any] = {
        "__name__": "__main__",
        "train": data,
        "test": projects.trips(seed=2) if "late" in data else reports(200, seed=7)[data.columns],
    }

    def execute() -> None:
        exec(source, space)

    workbench.run(Cell(source, execute, space), name=name, data="train", evaluate="test", target=target)
    return space
