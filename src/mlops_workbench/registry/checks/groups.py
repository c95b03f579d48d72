"""Rows cut into groups by a column: by its values, or by quartiles when it has many numbers (or times)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FEW = 10
"""up to so many different numbers are taken as values of their own: codes, booleans, years"""
MISSING = "missing"


def groups(series: pd.Series[Any]) -> pd.Series[Any]:
    """The name of each row's group; missing values are a group too.

    Every row is in exactly one group. Equal values are never cut apart, so that quartiles of many equal
    values are fewer than four.
    """
    import pandas as pd

    kind = pd.api.types
    ordered = kind.is_numeric_dtype(series.dtype) or kind.is_datetime64_any_dtype(series.dtype)
    if not ordered or kind.is_bool_dtype(series.dtype) or series.nunique() <= FEW:
        # plus 0.0: -0.0 equals 0.0 and must not be a group of its own
        names = series.map(
            lambda v: f"{v + 0.0:.12g}" if isinstance(v, float) else str(v), na_action="ignore"
        )
        return names.astype(object).where(series.notna(), MISSING)
    # By ranks: between large numbers or times that lie close together the edges would be rounded past a value.
    quarter = pd.qcut(series.rank(), 4, labels=False, duplicates="drop")
    ends = list(series.groupby(quarter).agg(["min", "max"]).itertuples())
    short = {number: f"{_edge(low)} … {_edge(high)}" for number, low, high in ends}
    if len(set(short.values())) < len(ends):  # large numbers that differ in the last digits only
        short = {number: f"{low} … {high}" for number, low, high in ends}
    return quarter.map(short).astype(object).where(series.notna(), MISSING)


def _edge(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else f"{value:.6g}"
