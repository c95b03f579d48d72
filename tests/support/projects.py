"""Small real projects: a store that is migrated once and copied, data with an honest signal, a fitted pipeline."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import databases
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

NUMBERS = ["hour", "wind speed", "größe"]


def trips(rows: int = 800, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    """Numbers with gaps, a text column, and a label that depends on them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "hour": rng.integers(5, 23, rows),
            "wind speed": rng.gamma(2, 4, rows) + shift,
            "größe": rng.normal(0, 1, rows),
            "carrier": rng.choice(["AA", "UA", "B6"], rows).astype(object),
        }
    )
    pull = 0.15 * (frame["hour"] - 14) + 1.2 * frame["größe"] + (frame["carrier"] == "B6")
    frame["late"] = (pull + rng.logistic(0, 1, rows) > 0.8).astype(int)
    frame.loc[rng.choice(rows, rows // 20, replace=False), "wind speed"] = np.nan
    return frame


def pipeline(**options: Any) -> Any:
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ),
        LogisticRegression(**options),
    )


FIT = """
from projects import pipeline
model = pipeline(C={c}).fit(train.drop(columns="late"), train["late"])
"""


@lru_cache(maxsize=1)
def _migrated(folder: Path) -> Path:
    """MLflow's migrations take seconds: once for all tests."""
    workbench = Workbench(folder)
    workbench.init("template")
    _ = workbench.tracking.client
    workbench.close()
    return folder


def migrate(folder: Path, url: str) -> None:
    """Bring a PostgreSQL database to MLflow's newest schema and ours."""
    _policy(folder, "template", url)
    workbench = Workbench(folder)
    workbench.init("template")
    workbench.close()


def _policy(folder: Path, name: str, url: str | None) -> None:
    lines = [f'{store} = "{url}"\n' for store in ("tracking", "workbench", "inference")] if url else []
    (folder / "mlops.toml").write_text(f'[project]\nname = "{name}"\n[stores]\n' + "".join(lines))


def set_policy(workbench: Workbench, text: str) -> None:
    """The sections of `text` and nothing else, with the stores where they are."""
    stores = asdict(workbench.project.policy.stores)
    lines = [f'{name} = "{url}"\n' for name, url in stores.items() if url]
    head = f'[project]\nname = "{workbench.project.name}"\n[stores]\n' + "".join(lines)
    (workbench.project.root / "mlops.toml").write_text(head + text)


def project(template: Path, folder: Path, name: str = "trips", stores: str | None = None) -> Workbench:
    """A fresh project in `folder` with a namespace that tests may fill. `stores`: a migrated database."""
    state = folder / ".mlops"
    state.mkdir(parents=True, exist_ok=True)
    if stores:
        _policy(folder, name, stores)
    else:
        shutil.copyfile(_migrated(template) / ".mlops" / "mlflow.db", state / "mlflow.db")
    workbench = Workbench(folder, namespace={"train": trips(seed=1), "test": trips(seed=2)})
    workbench.init(name)
    return workbench


@dataclass(frozen=True)
class Prepared:
    """A project as a test wants to find it, made once and put back before each test.

    At the same place and with the same database: every path in its records holds.
    """

    root: Path
    url: str | None

    @classmethod
    def made(
        cls, build: Callable[[Workbench], Any], template: Path, folder: Path, url: str | None
    ) -> Prepared:
        workbench = project(template, folder / "project", stores=url)
        build(workbench)
        workbench.close()
        made = cls(workbench.project.root, url)
        made._let_go()
        shutil.copytree(made.root, made._copy)
        if url:
            databases.copy(databases.name(url), made._kept)
        return made

    def restored(self) -> Workbench:
        # moved aside first: a process that a test has killed may still be removing its files there
        aside = self.root.rename(self.root.with_name(f"{self.root.name}-{uuid.uuid4().hex[:8]}"))
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(self._copy, self.root)
        if self.url:
            databases.drop(databases.name(self.url))
            databases.copy(self._kept, databases.name(self.url))
        return Workbench(self.root, namespace={"train": trips(seed=1), "test": trips(seed=2)})

    def left(self, workbench: Workbench) -> None:
        workbench.close()
        self._let_go()

    def forgotten(self) -> None:
        if self.url:
            databases.drop(self._kept)

    @property
    def _copy(self) -> Path:
        return self.root.with_name("kept")

    @property
    def _kept(self) -> str:
        return f"{databases.name(self.url or '')}_kept"

    def _let_go(self) -> None:
        databases.let_go(self.url or f"sqlite:///{self.root / '.mlops' / 'mlflow.db'}")


def fit(workbench: Workbench, *, c: float = 1.0, run: str = "first") -> Any:
    """Fit in a tracked run, as a cell would; returns the model."""
    space: dict[str, Any] = dict(workbench.namespace)
    source = FIT.format(c=c)

    def execute() -> None:
        exec(source, space)

    workbench.run(Cell(source, execute, space), name=run, data="train", evaluate="test")
    return space["model"]


def registered(workbench: Workbench) -> None:
    """One version that nobody has judged yet."""
    workbench.register(fit(workbench), name="trips")


def champion(workbench: Workbench, name: str = "trips") -> int:
    """Register, judge and promote one version."""
    version = workbench.register(fit(workbench), name=name).version
    workbench.gate(name, version=version, first=True)
    workbench.promote(name, version=version, why="a test needs a champion")
    return version
