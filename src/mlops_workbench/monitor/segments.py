"""The segments that rows fall into by a feature's value: the ten most frequent, or quartiles of a number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.manifest import Kind
from mlops_workbench.monitor.columns import category_text

MOST = 10
OTHER = "other"
MISSING = "(missing)"


@dataclass(frozen=True)
class Segments:
    """`names` of the segments of a column, and each row's place among them."""

    column: str
    names: tuple[str, ...]
    codes: Any


def segments(column: str, values: Any, kind: Kind) -> Segments:
    """By value, the most frequent first and the rest as "other"; numbers with more distinct values in quartiles."""
    if values.dtype != object:
        known = np.isfinite(values)
        if kind not in ("boolean",) and len(np.unique(values[known][:100_000])) > MOST:
            return _quartiles(column, values, known)
    codes, distinct = pd.factorize(values)
    names = [_name(value, kind) for value in distinct.tolist()]
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = sorted(range(len(names)), key=lambda place: (-counts[place], names[place]))
    shown = order[:MOST]
    place = np.full(len(names) + 1, len(shown), dtype=np.int64)
    place[shown] = np.arange(len(shown))
    found = [names[one] for one in shown]
    if len(order) > MOST:
        found.append(OTHER)
    if (codes < 0).any():
        place[-1] = len(found)  # the code of a missing value is -1
        found.append(MISSING)
    return Segments(column, tuple(found), place[codes])


def _name(value: Any, kind: Kind) -> str:
    return str(bool(value)) if kind == "boolean" and not isinstance(value, str) else category_text(value)


def _quartiles(column: str, values: Any, known: Any) -> Segments:
    edges = np.unique(np.quantile(values[known], [0.25, 0.5, 0.75]))
    codes = np.searchsorted(edges, values, side="left")
    texts = [f"{edge:.4g}" for edge in edges]
    names = [f"≤ {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts))]
    names.append(f"> {texts[-1]}")
    if not known.all():
        codes[~known] = len(names)
        names.append(MISSING)
    return Segments(column, tuple(names), codes)
