"""A version's model as an object, loaded as the serving runtime loads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidModel
from mlops_workbench.base.values import Value
from mlops_workbench.data.rows import to_rows
from mlops_workbench.track.records import RegisteredVersion

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.serving.dataplane import DataPlane


@dataclass(frozen=True)
class LoadedModel(Value):
    """`model`: the fitted estimator, of an MLflow model what MLflow loads (`predict`). `variable`: what it is called
    in the notebook now, if it was asked for."""

    name: str
    version: int
    kind: str
    variable: str | None
    columns: tuple[str, ...]
    model: Any = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "variable": self.variable,
            "columns": list(self.columns),
        }

    @property
    def title(self) -> str:
        called = f" is '{self.variable}'" if self.variable else " is loaded"
        return f"Version {self.version} of '{self.name}'{called}: {self.kind}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [["reads", ", ".join(self.columns)]]


def loaded(folder: Path, stored: RegisteredVersion, variable: str | None) -> LoadedModel:
    """Raises `InvalidModel` when the files are not those that were registered, or cannot be loaded here."""
    plane = _plane(folder, stored)
    model = plane.model
    return LoadedModel(
        stored.name, stored.version, type(model).__name__, variable, tuple(plane.manifest.columns), model
    )


def probabilities(folder: Path, stored: RegisteredVersion, frame: pd.DataFrame) -> Any:
    """Rows × classes, as the runtime answers them. Raises `InvalidModel` also for a model that gives none."""
    import numpy as np

    plane = _plane(folder, stored, fast=True)
    manifest = plane.manifest
    if not plane.gives_probabilities:
        raise InvalidModel(
            f"Version {stored.version} of '{stored.name}' gives no probabilities.",
            "Register a model with predict_proba.",
        )
    rows = to_rows(frame[manifest.taken_from(frame.columns)], manifest.inputs)
    return np.asarray(plane.predict([plane.from_json(row) for row in rows]).probabilities, dtype=np.float64)


def _plane(folder: Path, stored: RegisteredVersion, *, fast: bool = False) -> DataPlane:
    from mlops_workbench.serving.dataplane import DataPlane
    from mlops_workbench.serving.errors import ModelRefused

    try:
        return DataPlane.load(
            folder,
            name=stored.name,
            version=str(stored.version),
            digests=stored.servable.digests,
            fast=fast,
        )
    except ModelRefused as problem:
        raise InvalidModel(problem.message, problem.next_step) from None
