"""`workbench.json`: what a model folder says about its model. Plain values, read by the serving image too.

Imports nothing but the standard library: the runtime loads this file alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

FILE_NAME = "workbench.json"

Kind = Literal["double", "long", "string", "boolean", "datetime"]
Task = Literal["classification", "regression", "other"]


@dataclass(frozen=True, slots=True)
class Field:
    """One input column. Integers are stored as `double` unless asked otherwise: an integer column breaks on NaN."""

    name: str
    kind: Kind
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a model is loaded, what it takes and gives, and what it answered on a few sample rows."""

    name: str
    task: Task
    inputs: tuple[Field, ...]
    model_file: str
    """path inside the folder, for example `model.skops`"""
    serialization: Literal["skops", "cloudpickle"]
    trusted: tuple[str, ...]
    """type names that skops may load (all seen in the model when it was registered)"""
    sha256: str
    """of `model_file`; an artifact that differs is refused"""
    python: str
    """major.minor that the model was fitted with"""
    requirements: tuple[str, ...]
    """locked closure (`name==version`) of what the model and the runtime import"""
    target: str | None = None
    classes: tuple[Any, ...] = ()
    """class labels in the order of `predict_proba`'s columns; empty when the model has none"""
    sample: tuple[dict[str, Any], ...] = ()
    expected: tuple[Any, ...] = ()
    """what the model answered on `sample` in the notebook: labels or numbers"""
    expected_probabilities: tuple[tuple[float, ...], ...] = ()
    format: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        return [f.name for f in self.inputs]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def dump(self, folder: Path) -> Path:
        path = folder / FILE_NAME
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return path

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Raises FileNotFoundError if the folder holds no manifest, ValueError if it is of a later format."""
        raw = json.loads((Path(folder) / FILE_NAME).read_text())
        if raw.get("format") != 1:
            raise ValueError(f"{FILE_NAME} has format {raw.get('format')!r}; this version reads format 1.")
        raw["inputs"] = tuple(Field(**f) for f in raw["inputs"])
        for key in ("trusted", "requirements", "classes", "sample", "expected"):
            raw[key] = tuple(raw[key])
        raw["expected_probabilities"] = tuple(tuple(row) for row in raw["expected_probabilities"])
        return cls(**raw)


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
