"""A contract proposed from data: generous where data move with the season, strict where they do not."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import InvalidData
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.data.contracts import TYPE_OF_KIND, ColumnRule, Contract, Freshness, RowCount
from mlops_workbench.data.frames import all_texts, flat
from mlops_workbench.data.kinds import as_texts, kind_of, numbers_of

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 200
FEWEST_KEYS = 20
"""from so many rows on, texts or integers that all differ look like a key, and a range is seen"""
ROWS = 10
"""other data may have a tenth to ten times as many rows"""
RECENT = 30
"""days: data that end earlier than this are a piece of the past, of which no freshness can be asked"""
LEAST_HOURS = 36


def infer_contract(
    frame: pd.DataFrame, name: str, *, now: datetime | None = None, progress: Progress = silent
) -> Contract:
    """Types, gaps, ranges (see `_range`), categories, keys, rows and freshness."""
    columns = {}
    for place, column in enumerate(frame.columns):
        progress(f"column {place + 1} of {len(frame.columns)}: {column}", place / len(frame.columns))
        columns[column] = _infer_rule(frame[column])
    rows = RowCount(max(1, len(frame) // ROWS), len(frame) * ROWS)
    return Contract(name, columns, rows=rows, freshness=_freshness(frame, now or SYSTEM.now()))


def infer_usable(
    frame: pd.DataFrame, data: str, name: str, *, now: datetime, progress: Progress = silent
) -> Contract:
    """A contract that demands an empty column or infinities would be of no use: raises `InvalidData`."""
    import numpy as np

    for column in frame.columns:
        series = frame[column]
        if series.isna().all():
            raise InvalidData(f"The column '{column}' of '{data}' is empty.", "Drop it, or fill it.")
        if kind_of(series) == "double" and np.isinf(numbers_of(series)).any():
            raise InvalidData(f"The column '{column}' of '{data}' has infinite values.", "Replace them.")
    return infer_contract(frame, name, now=now, progress=progress)


def _infer_rule(column: pd.Series[Any]) -> ColumnRule:
    series = flat(column)
    kind = TYPE_OF_KIND[kind_of(series)]
    present = series.dropna()
    gaps = len(series) - len(present)
    missing = _allowance(gaps / len(series)) if gaps else None
    limits: dict[str, Any] = {}
    if kind == "number" and len(present):
        limits = _range(present)
    if kind == "text":
        limits = _categories(present)
    if not gaps and _looks_like_a_key(series, kind):
        limits["unique"] = True
    return ColumnRule(kind, nullable=gaps > 0, missing=missing, **limits)


def _allowance(share: float) -> float:
    """Twice what is missing now, at least one in a hundred more, in whole hundredths."""
    return min(1.0, math.ceil(max(2 * share, share + 0.01) * 100) / 100)


def _range(present: pd.Series[Any]) -> dict[str, Any]:
    """Half the span more on both sides, of few rows the whole span: they have not seen much of it yet.

    What was never negative (or never positive) should stay so, a share that fills 0 to 1 should stay in there, and
    of 0 and 1 nothing else is expected. A constant of few rows says nothing.
    """
    import numpy as np

    finite = numbers_of(present)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return {}
    low, high = float(finite.min()), float(finite.max())
    few = len(finite) < FEWEST_KEYS
    if low == high and few:
        return {}
    whole = bool((finite == np.floor(finite)).all())
    if whole and (low, high) == (0, 1):
        return {"minimum": 0.0, "maximum": 1.0}
    margin = (high / 2 - low / 2) * (2 if few else 1)  # halved first: the largest span is infinite
    bottom, top = low - margin, high + margin
    if low >= 0:
        bottom = max(bottom, 0.0)
    if high <= 0:
        top = min(top, 0.0)
    if not whole and 0 <= low <= 0.1 and 0.9 <= high <= 1:
        top = 1.0
    bottom, top = _short(bottom), _short(top)
    limits = {"minimum": min(bottom, low), "maximum": max(top, high)}  # shortening may have gone past them
    return {name: value for name, value in limits.items() if math.isfinite(value)}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _categories(present: pd.Series[Any]) -> dict[str, Any]:
    values = texts(present)
    if len(values) > MOST_CATEGORIES:
        return {}
    return {"values": tuple(sorted(values))} if 0 < len(values) < max(len(present) / 2, 2) else {}


def texts(present: pd.Series[Any]) -> set[str]:
    """The different values as texts: 1 and True are two, though they are equal."""
    try:
        if all_texts(present) or present.dtype != object:
            return {str(value) for value in present.unique()}
    except (TypeError, NotImplementedError):  # what has no hash has a text
        pass
    return set(as_texts(present))


def _looks_like_a_key(series: pd.Series[Any], kind: str) -> bool:
    import pandas as pd

    if len(series) < FEWEST_KEYS or not (kind == "text" or pd.api.types.is_integer_dtype(series.dtype)):
        return False
    try:
        return bool(series.is_unique)
    except (TypeError, NotImplementedError):  # what has no hash is no key
        return False


def _freshness(frame: pd.DataFrame, now: datetime) -> Freshness | None:
    """Of the first time column that ends shortly before now."""
    for column in frame.columns:
        if kind_of(frame[column]) != "datetime":
            continue
        hours = age(frame[column], now)
        if hours is not None and 0 <= hours <= RECENT * 24:
            return Freshness(str(column), f"{max(LEAST_HOURS, math.ceil(2 * hours))}h")
    return None


def age(series: pd.Series[Any], now: datetime) -> float | None:
    """Hours from the newest value to `now`; None without values. Times without a zone are UTC."""
    import pandas as pd

    present = series.dropna()
    try:
        newest = present.max()
    except TypeError:  # some with a zone and some without
        return None
    if pd.isna(newest):
        return None
    stamp = pd.Timestamp(newest)
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    return float((pd.Timestamp(now) - stamp).total_seconds() / 3600)
