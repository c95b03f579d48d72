"""The reference of a model, made from the rows that it was fitted on and from what it answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_workbench.data.kinds import numbers_of, text_of
from mlops_workbench.manifest import Field, Kind
from mlops_workbench.summary.parts import BUCKETS, NumberArray, Part, category
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
        part = Part(PREDICTION, "category", names=names, distinct=len(names))
        return _with_tally(part, Counter(predictions))
    if all(isinstance(v, int | float | np.number) for v in predictions[:100]):
        return _number(PREDICTION, np.asarray(predictions, dtype=np.float64))
    return _category(PREDICTION, Counter(predictions))


def _column(series: pd.Series[Any], field: Field) -> Part:
    kind: Kind = field.kind
    if kind in ("double", "long"):
        return _number(field.name, numbers_of(series))
    if kind == "datetime":
        return _time(field.name, series)
    times = _occurring(series)
    if kind == "boolean":
        return _category(field.name, times)
    return _text(field.name, times)


def _occurring(series: pd.Series[Any]) -> dict[Any, int]:
    """How often each value occurs, texts as the model is sent them; None: missing."""
    import pandas as pd

    codes, values = pd.factorize(series.astype(object))
    counts = np.bincount(codes + 1, minlength=len(values) + 1).tolist()
    found: dict[Any, int] = {None: counts[0]} if counts[0] else {}
    for value, count in zip(values.tolist(), counts[1:], strict=True):
        text = value if isinstance(value, bool | np.bool_) else text_of(value)
        found[text] = found.get(text, 0) + count
    return found


def _number(name: str, values: NumberArray) -> Part:
    finite = values[np.isfinite(values)]
    part = Part(name, "number")
    if finite.size:
        some = finite if finite.size <= _SAMPLE else finite[:: math.ceil(finite.size / _SAMPLE)]
        distinct = np.unique(some)
        if distinct.size <= FEW_VALUES:
            distinct = np.unique(finite)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest that there are
            edges, coarse = _edges(finite, some, distinct)
            mean = float(finite.mean())
        centre = mean if math.isfinite(mean) else 0.0
        part = Part(name, "number", edges, coarse, centre=centre, distinct=int(distinct.size))
    return _with_counts(part, values)


def _edges(
    finite: NumberArray, some: NumberArray, distinct: NumberArray
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """All edges in ascending order, and the places of the coarse ones."""
    if distinct.size <= FEW_VALUES:
        slack = _SAME * np.where(distinct == 0, 1.0, np.abs(distinct))
        around = np.stack([distinct - slack, distinct + slack], axis=1).ravel()
        if np.all(np.diff(around) > 0) and np.isfinite(around).all():
            return tuple(around.tolist()), tuple(range(around.size))
    low, high = float(finite.min()), float(finite.max())
    beyond = float(np.nextafter(high, np.inf))
    wide = np.linspace(low, high, math.ceil(math.log2(finite.size) + 1) + 1)[1:-1]  # Sturges' rule
    fine = np.quantile(some, np.arange(1, QUANTILES) / QUANTILES)
    inner = wide[np.isfinite(wide) & (wide > low) & (wide < beyond)]
    ends = [low, beyond] if math.isfinite(beyond) else [low]
    edges = np.unique(np.concatenate([ends, inner, fine[(fine > low) & (fine < beyond)]]))
    coarse = np.searchsorted(edges, np.unique(np.concatenate([ends, inner])))
    return tuple(edges.tolist()), tuple(coarse.tolist())


def _category(name: str, times: Mapping[Any, int]) -> Part:
    known: Counter[str] = Counter()
    for value, count in times.items():
        if value is not None:
            known[category(value)] += count
    some = tuple(value for value, _ in known.most_common(NAMED))
    buckets = BUCKETS if len(known) > NAMED else 0
    return _with_tally(Part(name, "category", names=some, buckets=buckets, distinct=len(known)), times)


def _text(name: str, times: Mapping[str | None, int]) -> Part:
    known = {value: count for value, count in times.items() if value is not None}
    if len(known) < _FREE_TEXT or 2 * len(known) < sum(known.values()):
        return _category(name, times)
    lengths = [np.nan if value is None else len(value) for value in times]
    return replace(
        _number(name, np.repeat(lengths, list(times.values()))), form="length", distinct=len(known)
    )


def _time(name: str, series: pd.Series[Any]) -> Part:
    """By the hour, and by the weekday where no time has one."""
    import pandas as pd

    moments = pd.to_datetime(series, errors="coerce", utc=True)
    clock = bool(((moments.dt.hour > 0) | (moments.dt.minute > 0)).any())
    hours = moments.dt.floor("h").value_counts(dropna=False)
    known: list[Any] = list(hours.index)
    times = {
        None if hour is pd.NaT else hour.to_pydatetime(): count
        for hour, count in zip(known, hours.tolist(), strict=True)
    }
    return _with_tally(Part(name, "hour" if clock else "weekday"), times)


def _with_tally(part: Part, times: Mapping[Any, int]) -> Part:
    return replace(part, counts=tuple(part.tally(times).tolist()))


def _with_counts(part: Part, values: NumberArray) -> Part:
    counts, sums = part.count(values)
    return replace(part, counts=tuple(counts.tolist()), sums=tuple(sums.tolist()))
