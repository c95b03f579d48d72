"""Rows as JSON carries them, from a DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data.frames import all_texts
from mlops_workbench.data.kinds import kind_of, misfits, numbers_of, text_of
from mlops_workbench.manifest import Field, Kind

if TYPE_CHECKING:
    import pandas as pd


def to_rows(frame: pd.DataFrame, inputs: Sequence[Field] = ()) -> list[dict[str, Any]]:
    """Rows as JSON carries them: missing as None, times as ISO 8601.

    `inputs` are the columns as a model reads them: a number is a number then, however the frame stores it (as an
    object, a category, a Decimal). What does not fit is left as it is, for the one who reads it to refuse. A column
    that is not among them is of the kind that it has here. Raises `InvalidData` for infinities and complex numbers.
    """
    require_finite(frame)
    kinds = {field.name: field.kind for field in inputs}
    columns = {name: _values(frame[name], kinds.get(name) or kind_of(frame[name])) for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(series: pd.Series[Any], kind: Kind) -> list[Any]:
    found = kind_of(series)
    if kind in ("double", "long") and found == "double":
        values: list[Any] = numbers_of(series).tolist()
        return [None if value != value else value for value in values]
    if kind == "string" and all_texts(series):
        return list(series)
    as_read = _AS_READ[kind]
    return [
        None if gap else as_read(value)
        for value, gap in zip(series.astype(object), series.isna(), strict=True)
    ]


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Real | Decimal) else value


def _truth(value: Any) -> Any:
    import numpy as np

    if isinstance(value, bool | np.bool_) or (isinstance(value, Real | Decimal) and value in (0, 1)):
        return bool(value)
    return value


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date, too


_AS_READ: dict[Kind, Callable[[Any], Any]] = {
    "double": _number,
    "long": _number,
    "boolean": _truth,
    "datetime": _time,
    "string": text_of,
}


def require_finite(frame: pd.DataFrame) -> None:
    """Raises `InvalidData` naming a column with infinities: JSON has none, so such a row could never be asked; and one
    with complex numbers, of which a model would read a part only."""
    import numpy as np

    for name in frame.columns:
        series = frame[name]
        if _is_complex(series):
            raise InvalidData(
                f"The column '{name}' holds complex numbers.", "Give their parts as columns of their own."
            )
        if kind_of(series) != "double":
            continue
        if count := int(np.isinf(numbers_of(series)).sum()):
            raise InvalidData(
                f"The column '{name}' has {count} infinite values.", "Replace them: JSON has none."
            )


_WORDS: dict[Kind, str] = {
    "double": "numbers",
    "long": "whole numbers",
    "boolean": "truth values",
    "datetime": "times",
    "string": "texts",
}


def require_kinds(frame: pd.DataFrame, inputs: Sequence[Field]) -> None:
    """Raises `InvalidData` that names the values which are not what the model reads in their column."""
    for field in inputs:
        if field.name not in frame:
            continue
        series = frame[field.name]
        wrong = misfits(series, field.kind)
        if many := int(wrong.sum()):
            example = series[wrong].iloc[0]
            raise InvalidData(
                f"The model reads {_WORDS[field.kind]} in '{field.name}', and {many:,} of {len(series):,} values are "
                f"none, such as {example!r:.60}.",
                "Fix them, or make them missing.",
            )


def _is_complex(series: pd.Series[Any]) -> bool:
    import pandas as pd

    if series.dtype != object:
        return pd.api.types.is_complex_dtype(series.dtype)
    if pd.api.types.infer_dtype(series, skipna=True) not in ("complex", "mixed"):
        return False
    return any(isinstance(value, complex) for value in series)
