"""One column of a pandas, polars or pyarrow frame as numbers or as counted categories, in any state."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.monitor.ranks import Ints
from mlops_workbench.monitor.statistics import FloatArray


@dataclass(frozen=True)
class NumericValues:
    """`values` are finite; what was missing or infinite is counted instead."""

    rows: int
    missing: int
    values: FloatArray
    infinite: int = 0
    integer: bool = False
    """stored as integers: bins are not made finer than 1"""


@dataclass(frozen=True)
class Categories:
    rows: int
    missing: int
    names: pd.Index
    counts: Ints
    note: str = ""


@dataclass(frozen=True)
class Other:
    """A column without a distribution to compare: dates, lists, nothing but missing values."""

    rows: int
    missing: int
    note: str
    kind: str = ""


ComparedColumn = NumericValues | Categories | Other


def columns_of(frame: Any) -> list[str]:
    """ComparedColumn names as text. Raises InvalidData if `frame` is not a table."""
    if isinstance(frame, pd.DataFrame):
        return [str(name) for name in frame.columns]
    names = getattr(frame, "column_names", None) or getattr(frame, "columns", None)
    if not isinstance(names, list) or not (hasattr(frame, "to_arrow") or hasattr(frame, "itercolumns")):
        raise InvalidData(
            f"Got a {type(frame).__name__} instead of a table.", "Pass a pandas, polars or pyarrow table."
        )
    return list(names)


def series(frame: Any, position: int) -> pd.Series[Any]:
    """ComparedColumn by position (names may be doubled), without copying its values."""
    if isinstance(frame, pd.DataFrame):
        return frame.iloc[:, position]
    is_polars = hasattr(frame, "to_series")
    values = frame.to_series(position).to_arrow() if is_polars else frame.column(position)
    return pd.Series(pd.arrays.ArrowExtensionArray(values))


def read(column: pd.Series[Any]) -> ComparedColumn:
    """Decides by type, and for `object` columns by the distinct values found."""
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        found = column.cat
        return _counted(len(column), np.asarray(found.codes, dtype=np.int64), pd.Index(found.categories))
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _dates(column)
    if pd.api.types.is_timedelta64_dtype(kind):
        return _numbers(column.dt.total_seconds().to_numpy(dtype=np.float64))
    if pd.api.types.is_bool_dtype(kind):
        return _factorized(column)
    if pd.api.types.is_complex_dtype(kind):
        return Other(len(column), int(column.isna().sum()), "Complex numbers are not compared.")
    if pd.api.types.is_numeric_dtype(kind):
        if isinstance(kind, np.dtype):
            values = column.to_numpy()
            return _numbers(values, integer=values.dtype.kind in "iu")
        return _numbers(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _factorized(column)


def _numbers(values: Any, *, integer: bool = False) -> NumericValues | Other:
    values = np.asarray(values).astype(np.float64, copy=False)
    rows = values.size
    finite = np.isfinite(values)
    if finite.all():
        return NumericValues(rows, 0, values, integer=integer)
    missing = int(np.isnan(values).sum())
    kept = values[finite]
    infinite = rows - missing - kept.size
    if not kept.size:
        return Other(
            rows, missing, "It holds no finite number." if infinite else "All its values are missing."
        )
    return NumericValues(rows, missing, kept, infinite)


def _factorized(column: pd.Series[Any]) -> ComparedColumn:
    try:
        codes, names = pd.factorize(column)
    except TypeError:
        example = type(column.dropna().iloc[0]).__name__
        return Other(
            len(column), int(column.isna().sum()), f"It holds values of type {example}: not compared."
        )
    names = pd.Index(names)
    kinds = {_sort(value) for value in names[:10_000]}
    if kinds == {"number"}:
        values = np.append(pd.to_numeric(names.map(float)).to_numpy(dtype=np.float64), np.nan)[codes]
        return _numbers(values)
    if kinds == {"date"}:
        return _dates(column)
    note = f"It mixes {' and '.join(sorted(kinds))} values; compared as categories." if len(kinds) > 1 else ""
    return _counted(len(column), codes, names, note)


def _sort(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, numbers.Real | decimal.Decimal):
        return "number"
    if hasattr(value, "isoformat"):
        return "date"
    return type(value).__name__


def _counted(rows: int, codes: Ints, names: pd.Index, note: str = "") -> Categories | Other:
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    some = counts[1:] > 0
    if not some.any():
        return Other(rows, int(counts[0]), "All its values are missing.")
    if not some.all():  # categories of a Categorical that no row has
        names = names[some]
    return Categories(rows, int(counts[0]), names, counts[1:][some], note)


def _dates(column: pd.Series[Any]) -> Other:
    known = column.dropna()
    if known.empty:
        return Other(len(column), len(column), "All its values are missing.")
    first, last = str(known.min())[:10], str(known.max())[:10]
    return Other(
        len(column),
        len(column) - len(known),
        f"Dates ({first} to {last}) are not compared: derive hour or weekday.",
        "datetime",
    )


def as_categories(column: NumericValues | Categories) -> Categories:
    """The same column by text of its distinct values, whole numbers without `.0`."""
    if isinstance(column, NumericValues):
        values, counts = np.unique(column.values, return_counts=True)
        names: Sequence[Any] = values.tolist()
    else:
        names, counts = list(column.names), column.counts
    merged: dict[str, int] = {}
    for name, count in zip(names, counts.tolist(), strict=True):
        key = category_text(name)
        merged[key] = merged.get(key, 0) + count
    return Categories(
        column.rows, column.missing, pd.Index(list(merged), dtype=object), np.array(list(merged.values()))
    )


def category_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
