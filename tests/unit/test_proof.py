"""A model is proven as it will be served: by its shipped files, in a fresh process, on the rows that tell."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops_workbench.base.errors import InvalidData, InvalidModel, NotFound
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry import proof
from mlops_workbench.rollout import judging
from mlops_workbench.rollout.runtime import fresh
from mlops_workbench.workbench import Workbench


def numbers(rows: int = 200) -> pd.DataFrame:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 2)), columns=["a", "b"])
    return frame.assign(y=(frame["a"] * frame["b"] > 0).astype(int))


def registered(
    workbench: Workbench, model: Any, frame: pd.DataFrame, **options: Any
) -> tuple[Path, Manifest]:
    """Folder and manifest of a new version of `model`, fitted on `frame`."""
    workbench.namespace = {"rows": frame, "model": model}
    version = workbench.register("model", name="m", data="rows", **options).version
    folder = workbench.tracking.folder(workbench.tracking.version("m", version))
    return folder, Manifest.load(folder)


def answers(folder: Path, frame: pd.DataFrame) -> list[Any]:
    manifest = Manifest.load(folder)
    return list(judging.load(folder)(to_rows(frame[manifest.columns], manifest.inputs)).values)


# --- nothing of the notebook ---


def test_what_the_notebook_has_set_in_scikit_learn_is_not_there_when_it_serves(workbench: Workbench) -> None:
    rows = numbers()
    with sklearn.config_context(transform_output="pandas"):
        model = make_pipeline(
            MinMaxScaler(),
            make_column_transformer((StandardScaler(), ["a"]), remainder="passthrough"),
            LogisticRegression(),
        ).fit(rows[["a", "b"]], rows["y"])
        with pytest.raises(InvalidModel, match="has set transform_output='pandas' with sklearn"):
            registered(workbench, model, rows)
        with pytest.raises(NotFound):
            workbench.tracking.version("m", 1)
        model.set_output(transform="pandas").fit(rows[["a", "b"]], rows["y"])
        folder, _ = registered(workbench, model, rows)
    assert answers(folder, rows) == model.predict(rows[["a", "b"]]).tolist()


HELPERS = (
    "import scipy.special\n\nSHIFT = 1.5\n\ndef shifted(x):\n    return scipy.special.expit(x) + SHIFT\n"
)
FEATURES = """
from sklearn.base import BaseEstimator, TransformerMixin
from . import helpers
from .helpers import shifted

def product(x):
    return x.assign(ab=shifted(x["a"]) * helpers.SHIFT * x["b"])

def late(x):
    from . import helpers as again
    return again.shifted(x)

class Twice(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        return self

    def transform(self, x):
        return super().__sklearn_tags__() and x * 2
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package beside the notebook, which no distribution has."""
    package = tmp_path / "beside" / "trip_features"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helpers.py").write_text(HELPERS)
    (package / "features.py").write_text(FEATURES)
    monkeypatch.syspath_prepend(package.parent)
    yield importlib.import_module("trip_features.features")
    for name in [n for n in sys.modules if n.partition(".")[0] == "trip_features"]:
        del sys.modules[name]


def test_a_module_beside_the_notebook_goes_along_with_the_model(workbench: Workbench, local: Any) -> None:
    rows = numbers()
    model = make_pipeline(FunctionTransformer(local.product), local.Twice(), LinearRegression())
    model.fit(rows[["a", "b"]], rows["y"])
    wanted = model.predict(rows[["a", "b"]])
    folder, manifest = registered(workbench, model, rows, format="cloudpickle")
    assert manifest.extra["local_modules"] == ["trip_features"]
    assert any(line.startswith("scipy==") for line in manifest.requirements)
    # it is the version's own from here on: changed or gone in the notebook, it answers the same
    Path(local.__file__).write_text("raise RuntimeError('changed')")
    local.helpers.SHIFT = 7.0
    assert answers(folder, rows) == pytest.approx(wanted.tolist())
    lineage = workbench.lineage("m", version=1)
    assert lineage.tree["environment"]["modules in the model's file"] == ["trip_features"]


def test_a_local_module_that_is_imported_late_is_refused(workbench: Workbench, local: Any) -> None:
    rows = numbers()
    model = make_pipeline(FunctionTransformer(local.late), LinearRegression()).fit(
        rows[["a", "b"]], rows["y"]
    )
    with pytest.raises(InvalidModel, match=r"imports the local module 'trip_features.*Import .* at the top"):
        registered(workbench, model, rows, format="cloudpickle")


# --- the fresh process itself ---


class Slow(LinearRegression):
    def predict(self, X: Any) -> Any:
        if os.environ.get("MLOPS_SLOW_HERE") != str(os.getpid()):
            time.sleep(600)
        return super().predict(X)


class Crashing(LinearRegression):
    def predict(self, X: Any) -> Any:
        if os.environ.get("MLOPS_SLOW_HERE") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(X)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(Slow, "was not asked within 1 s in a fresh process"), (Crashing, "ended before the model was asked")],
)
def test_a_model_that_hangs_or_crashes_is_refused(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, kind: Any, said: str
) -> None:
    monkeypatch.setenv("MLOPS_SLOW_HERE", str(os.getpid()))
    monkeypatch.setattr(fresh, "ANSWER_SECONDS", 1)
    rows = numbers()
    model = kind().fit(rows[["a", "b"]], rows["y"])
    with pytest.raises(InvalidModel, match=said):
        registered(workbench, model, rows, format="cloudpickle")
    assert registered(workbench, LinearRegression().fit(rows[["a", "b"]], rows["y"]), rows)


def test_no_process_is_left_when_the_notebook_dies_while_one_is_asked(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_SLOW_HERE", str(os.getpid()))
    rows = numbers()
    folder, _ = registered(workbench, LinearRegression().fit(rows[["a", "b"]], rows["y"]), rows)
    code = f"""
import os
from pathlib import Path
from mlops_workbench.rollout.runtime.fresh import Served, server
served = Served.load(Path({str(folder)!r}))
print(served.pid, server()._process.pid, flush=True)
served.connection.send(("rows", [{{"a": 1.0}}] * 10))
os.kill(served.pid, 19)  # stopped: as in the middle of a calculation
os.kill(os.getpid(), 9)
"""
    dying = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert dying.returncode == -9, dying.stderr
    left = [int(word) for word in dying.stdout.split()]
    assert len(left) == 2
    end = time.monotonic() + 30
    while any(map(psutil.pid_exists, left)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in left if psutil.pid_exists(pid)]


def test_the_fresh_process_starts_again_when_it_is_gone(workbench: Workbench) -> None:
    rows = numbers()
    folder, _ = registered(workbench, LinearRegression().fit(rows[["a", "b"]], rows["y"]), rows)
    fresh.server()._process.kill()  # type: ignore[union-attr]
    assert len(answers(folder, rows)) == len(rows)


# --- times ---


def night(frame: pd.DataFrame) -> Any:
    return make_pipeline(
        FunctionTransformer(lambda x: x.apply(lambda s: s.dt.hour)), DecisionTreeClassifier(random_state=0)
    ).fit(frame[["t"]], frame["night"])


def hours(zone: str) -> pd.DataFrame:
    times = pd.date_range("2024-02-20 20:00", periods=600, freq="h", tz=zone)  # over a change to summer time
    frame = pd.DataFrame({"t": times, "night": (times.hour < 6).astype(int)})
    # the first rows agree in both zones
    day = frame["t"].dt.hour == 15
    return pd.concat([frame[day], frame[~day]], ignore_index=True)


def test_times_keep_their_zone(workbench: Workbench) -> None:
    frame = hours("America/New_York")
    folder, manifest = registered(workbench, night(frame), frame, format="cloudpickle")
    assert manifest.extra["zones"] == {"t": "America/New_York"}
    assert answers(folder, frame) == frame["night"].tolist()
    in_utc = frame.assign(t=frame["t"].dt.tz_convert("UTC"))  # the same moments, said otherwise
    assert answers(folder, in_utc) == frame["night"].tolist()


def test_a_zone_without_a_name_is_refused(workbench: Workbench) -> None:
    import dateutil.tz

    frame = hours("America/New_York")
    frame["t"] = frame["t"].dt.tz_convert(dateutil.tz.gettz("America/New_York"))
    with pytest.raises(InvalidData, match="a zone without a name"):
        registered(workbench, night(frame), frame, format="cloudpickle")


# --- the rows ---


def test_rows_of_the_proof_are_those_that_tell() -> None:
    frame = pd.DataFrame({"number": np.arange(5_000) % 100.0, "text": "usual", "truth": False})
    frame["t"] = pd.date_range("2024-01-01", periods=5_000, freq="h", tz="Europe/Vienna")
    frame.loc[4_000, "number"], frame.loc[4_001, "number"] = -1e6, 1e6
    frame.loc[4_002, "text"], frame.loc[4_003, "truth"], frame.loc[4_004, "number"] = "rare", True, np.nan
    frame.loc[4_005, "text"] = None
    chosen = proof.proof_rows(frame)
    assert set(range(4_000, 4_006)) <= set(chosen.index)
    assert set(chosen["t"].dt.hour) == set(range(24))
    assert {t.utcoffset() for t in chosen["t"]} == {t.utcoffset() for t in frame["t"]}
    assert len(chosen) <= 300
    sample = proof.sample_of(frame)
    assert len(sample) == 5
    assert sample["number"].isna().any()


def test_a_wide_model_is_asked_fewer_rows(workbench: Workbench) -> None:
    asked = {}
    for columns in (100, 1_000):
        names = [f"gene_{i}" for i in range(columns)]
        rows = pd.DataFrame(np.random.default_rng(0).normal(size=(150, columns)), columns=names)
        label = (rows["gene_0"] > 0).astype(int)
        model = RandomForestClassifier(5, random_state=0).fit(rows, label)
        _, manifest = registered(workbench, model, rows.assign(y=label))
        fast = manifest.extra["fast"]
        assert fast["proven"], (columns, fast["reason"])
        asked[columns] = sum(fast["rows"].values()) + fast["left"]
    assert asked[1_000] <= asked[100] * 1.1


# --- boosters ---


def boosted() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=400), "member": rng.random(400) < 0.5})
    frame["city"] = pd.Categorical(rng.choice(["Graz", "Linz", "Wien"], 400))
    frame["month"] = pd.Categorical(rng.integers(1, 13, 400))
    return frame.assign(y=((frame["city"] == "Wien") ^ frame["member"] ^ (frame["a"] > 1)).astype(int))


@pytest.mark.parametrize("native", [False, True], ids=["estimator", "booster"])
def test_a_booster_gets_categories_and_booleans_as_it_was_fitted(workbench: Workbench, native: bool) -> None:
    import lightgbm

    frame = boosted()
    features = frame.drop(columns="y")
    quiet = {"verbose": -1, "num_threads": 1}
    if native:
        model: Any = lightgbm.train(
            {"objective": "binary", **quiet}, lightgbm.Dataset(features, frame["y"]), 20
        )
        folder, _ = registered(workbench, model, frame, target="y")
    else:
        model = lightgbm.LGBMClassifier(n_estimators=20, **quiet).fit(features, frame["y"])
        folder, _ = registered(workbench, model, frame, format="cloudpickle")
    served = judging.load(folder)
    rows = to_rows(features, Manifest.load(folder).inputs)
    assert list(served(rows).values) == pytest.approx(model.predict(features).tolist())
    # one row alone, and one with gaps: its categories are still those of all rows
    assert served([rows[7]]).values == pytest.approx([model.predict(features)[7]])
    gaps = features.iloc[[7]].assign(
        member=np.nan, city=pd.Categorical([None], features["city"].cat.categories)
    )
    asked = {**rows[7], "member": None, "city": None}
    assert served([asked]).values == pytest.approx(model.predict(gaps).tolist())
