"""A version's model as an object, loaded as the serving runtime loads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidModel
from mlops_workbench.base.values import Value
from mlops_workbench.track.records import RegisteredVersion


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
    from mlops_workbench.serving.dataplane import DataPlane
    from mlops_workbench.serving.errors import ModelRefused

    try:
        plane = DataPlane.load(
            folder,
            name=stored.name,
            version=str(stored.version),
            digests=stored.servable.digests,
            fast=False,
        )
    except ModelRefused as problem:
        raise InvalidModel(problem.message, problem.next_step) from None
    model = plane.model
    return LoadedModel(
        stored.name, stored.version, type(model).__name__, variable, tuple(plane.manifest.columns), model
    )
