"""What a request of one version looks like: all that taking a body apart needs, without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mlops_workbench.manifest import Field
from mlops_workbench.serving.schema import PredictSchema


@dataclass(frozen=True, slots=True)
class Body:
    """A request's bytes. `context`: what else of the request is needed to read it (a header, a part of the path)."""

    data: bytes
    kind: str
    """media type, in lower case"""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """of the media type: `header=absent`"""
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestForm:
    """Columns and limits of a version. `most_bytes`: of what a compressed body holds."""

    inputs: tuple[Field, ...]
    gives_probabilities: bool
    most_rows: int
    most_bytes: int

    @cached_property
    def columns(self) -> list[str]:
        return [f.name for f in self.inputs]

    @cached_property
    def schema(self) -> PredictSchema:
        return PredictSchema(self.inputs, max_rows=self.most_rows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "inputs": [[f.name, f.kind, f.nullable] for f in self.inputs],
            "gives_probabilities": self.gives_probabilities,
            "most_rows": self.most_rows,
            "most_bytes": self.most_bytes,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> RequestForm:
        return cls(**{**raw, "inputs": tuple(Field(*one) for one in raw["inputs"])})
