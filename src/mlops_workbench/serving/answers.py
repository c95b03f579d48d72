"""What goes into a model and comes out of it, as Python's own values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer a row, as Python's own values."""

    values: list[Any]
    """labels or numbers"""
    probabilities: list[list[float]] | None
    """a list a row in the order of the manifest's classes; None when the model has none"""

    def part(self, start: int, stop: int) -> Prediction:
        """The answers of some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[start:stop]
        return Prediction(self.values[start:stop], probabilities)
