"""The reference of a model, made from the rows that it was fitted on and from what it answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_workbench.data.kinds import numbers_of, text_of
from mlops_workbench.manifest import Field, Kind
from mlops_workbench.summary.parts import BUCKETS, NumberArray, Part, as_time, category
from mlops_workbench.summary.reference import PREDICTION, SCORE, DataReference

if TYPE_CHECKING:
    import pandas as pd

FEW_VALUES = 20
"""up to so many distinct numbers have a bin each"""
QUANTILES = 64
"""fine bins of a number hold about 1/64 of the reference's rows each: so far from the exact Kolmogorov–Smirnov
statistic can the one of windows be"""
NAMED = 200
"""categories that have a bin each"""
_SAMPLE = 100_000
_SAME = 1e-6
"""numbers that differ relatively by no more are one: 32 bits hold seven digits"""
_FREE_TEXT = 1_000
"""from so many distinct texts on, those that hardly repeat are compared by their length"""


def reference(
    frame: pd.DataFrame,
    inputs: Sequence[Field],
    *,
    predictions: Sequence[Any] = (),
    scores: Sequence[float] | None = None,
    classes: Sequence[Any] = (),
) -> DataReference:
    """`frame`: what the model was fitted on. `predictions`, `scores`: its answers, as the log keeps them."""
    columns = tuple(_column(frame[f.name], f) for f in inputs if f.name in frame)
    answers = []
    if len(predictions):
        answers.append(_prediction(predictions, classes))
    if scores is not None and len(scores):
        answers.append(_number(SCORE, np.asarray(scores, dtype=np.float64)))
    return DataReference(columns, tuple(answers), len(frame), len(predictions))


def _prediction(predictions: Sequence[Any], classes: Sequence[Any]) -> Part:
    if classes:
        names = tuple(dict.fromkeys(category(c) for c in classes))
        return _with_counts(Part(PREDICTION, "category", names=names, distinct=len(names)), predictions)
    if all(isinstance(v, int | float | np.number) for v in predictions[:100]):
        return _number(PREDICTION, np.asarray(predictions, dtype=np.float64))
    return _category(PREDICTION, predictions)


def _column(series: pd.Series[Any], field: Field) -> Part:
    kind: Kind = field.kind
    if kind in ("double", "long"):
        return _number(field.name, numbers_of(series))
    gaps = series.isna().to_numpy()
    values = [None if gap else value for value, gap in zip(series.astype(object), gaps, strict=True)]
    if kind == "datetime":
        return _time(field.name, values)
    if kind == "boolean":
        return _category(field.name, values)
    return _text(field.name, [None if v is None else text_of(v) for v in values])


def _number(name: str, values: NumberArray) -> Part:
    finite = values[np.isfinite(values)]
    part = Part(name, "number")
    if finite.size:
        some = finite if finite.size <= _SAMPLE else finite[:: math.ceil(finite.size / _SAMPLE)]
        distinct = np.unique(some)
        if distinct.size <= FEW_VALUES:
            distinct = np.unique(finite)
        edges, coarse = _edges(finite, some, distinct)
        part = Part(name, "number", edges, coarse, centre=float(finite.mean()), distinct=int(distinct.size))
    return _with_counts(part, values)


def _edges(
    finite: NumberArray, some: NumberArray, distinct: NumberArray
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """All edges in ascending order, and the places of the coarse ones."""
    if distinct.size <= FEW_VALUES:
        slack = _SAME * np.where(distinct == 0, 1.0, np.abs(distinct))
        around = np.stack([distinct - slack, distinct + slack], axis=1).ravel()
        if np.all(np.diff(around) > 0):
            return tuple(around.tolist()), tuple(range(around.size))
    low, high = float(finite.min()), float(finite.max())
    beyond = float(np.nextafter(high, np.inf))
    wide = np.linspace(low, high, math.ceil(math.log2(finite.size) + 1) + 1)[1:-1]  # Sturges' rule
    fine = np.quantile(some, np.arange(1, QUANTILES) / QUANTILES)
    inner = wide[np.isfinite(wide) & (wide > low) & (wide < beyond)]
    edges = np.unique(np.concatenate([[low, beyond], inner, fine[(fine > low) & (fine < beyond)]]))
    coarse = np.searchsorted(edges, np.unique(np.concatenate([[low, beyond], inner])))
    return tuple(edges.tolist()), tuple(coarse.tolist())


def _category(name: str, values: Sequence[Any]) -> Part:
    import pandas as pd

    found = pd.Series([None if v is None else category(v) for v in values], dtype=object).value_counts()
    some = tuple(found.index[:NAMED])
    part = Part(
        name,
        "category",
        names=some,
        buckets=BUCKETS if len(found) > NAMED else 0,
        distinct=len(found),
    )
    return _with_counts(part, values)


def _text(name: str, values: Sequence[str | None]) -> Part:
    known = [v for v in values if v is not None]
    distinct = len(set(known))
    if distinct < _FREE_TEXT or 2 * distinct < len(known):
        return _category(name, values)
    lengths = _number(name, np.array([np.nan if v is None else len(v) for v in values], dtype=np.float64))
    part = Part(name, "length", lengths.edges, lengths.coarse, centre=lengths.centre, distinct=distinct)
    return _with_counts(part, values)


def _time(name: str, values: Sequence[Any]) -> Part:
    moments = [m for v in values if v is not None and (m := as_time(_plain_time(v))) is not None]
    clock = any(m.hour or m.minute for m in moments)
    return _with_counts(Part(name, "hour" if clock else "weekday"), [_plain_time(v) for v in values])


def _plain_time(value: Any) -> Any:
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value


def _with_counts(part: Part, values: Sequence[Any] | NumberArray) -> Part:
    counts, sums = part.count(values)
    return replace(part, counts=tuple(counts.tolist()), sums=tuple(sums.tolist()))
