"""The kind of a column: what its values are, however the frame stores them; and columns taken as values of a kind.

A database gives booleans as 0 and 1 and numbers as objects, a category of whole numbers holds numbers, and a number
beside a gap got a point: storage says little. What a model reads is said by its manifest, what a contract demands by
its file; both in kinds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_KIND_OF_VALUES: Mapping[str, Kind] = {
    "boolean": "boolean",
    "integer": "double",
    "floating": "double",
    "mixed-integer-float": "double",
    "decimal": "double",
    "datetime": "datetime",
    "datetime64": "datetime",
    "date": "datetime",
}
"""what pandas infers of objects; all else are texts, or have to be looked at one by one"""
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")


def kind_of(series: pd.Series[Any]) -> Kind:
    """The kind a column has in a manifest. Integers are `double`: an integer column breaks on a missing value.

    A category is of the kind of its categories, a column of objects of the kind that all its values have; what has
    none is text.
    """
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return kind_of(pd.Series(dtype.categories))
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(dtype):
        return "double"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "datetime"
    if series.dtype == object:
        return _kind_of_objects(series)
    return "datetime" if str(dtype).startswith("date") else "string"  # Arrow's dates


def _kind_of_objects(series: pd.Series[Any]) -> Kind:
    import pandas as pd

    inferred = pd.api.types.infer_dtype(series, skipna=True)
    if not inferred.startswith("mixed"):
        return _KIND_OF_VALUES.get(inferred, "string")
    present = series[series.notna()]
    if all(isinstance(value, Real | Decimal) and not _is_bool(value) for value in present):
        return "double"
    return "datetime" if all(isinstance(value, date) for value in present) else "string"


def _is_bool(value: Any) -> bool:
    import numpy as np

    return isinstance(value, bool | np.bool_)


def numbers_of(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The values of a column of numbers or truth values as floats, NaN where there is none."""
    import numpy as np
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = numbers_of(pd.Series(dtype.categories))
        return np.append(values, np.nan)[series.cat.codes.to_numpy()]
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return series.to_numpy(dtype=float)
    return series.to_numpy(dtype=float, na_value=np.nan)


def text_of(value: Any) -> str:
    """A value taken as text; a whole number that became a float, as it does beside gaps, as the whole number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_texts(series: pd.Series[Any]) -> pd.Series[Any]:
    """Each value as Python writes it, NumPy's arrays as lists: pandas' own way decodes bytes, and takes categories of
    bytes otherwise."""
    import numpy as np
    import pandas as pd

    found = [str(value.tolist() if isinstance(value, np.ndarray) else value) for value in series]
    return pd.Series(found, index=series.index, dtype=object)


def as_kinds(frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """The frame with its columns as values of these kinds, where every value has one; a column is left as it is
    otherwise, for the one who reads it to say what is wrong."""
    changed = {
        name: as_kind(frame[name], kind)
        for name, kind in kinds.items()
        if name in frame.columns and kind_of(frame[name]) != _plainly(kind)
    }
    return frame.assign(**changed) if changed else frame


def as_kind(series: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    """A column of one kind as another: 0 and 1 as truth values, numbers as texts, texts as what they spell."""
    import numpy as np
    import pandas as pd

    if kind_of(series) == _plainly(kind):
        return series
    gaps = series.isna().to_numpy()
    found = _taken(series, series[~gaps].astype(object), kind)
    if found.isna().any():
        return series
    values = np.full(len(series), None, dtype=object)
    values[~gaps] = found.to_numpy(dtype=object)
    placed = pd.Series(values, index=series.index, name=series.name)
    if kind in ("double", "long"):
        return placed.astype(float)
    if kind == "datetime":
        return placed.astype(found.dtype)
    return placed if gaps.any() else placed.infer_objects()


def misfits(series: pd.Series[Any], kind: Kind) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where a value is there that cannot be taken as one of the kind."""
    bad = series.notna().to_numpy()
    if kind_of(series) == _plainly(kind):
        return bad & False
    bad[bad] = _taken(series, series[bad].astype(object), kind).isna().to_numpy()
    return bad


def _taken(series: pd.Series[Any], present: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    """The values that are there as those of the kind, missing where one is none."""
    import pandas as pd

    if kind == "string":
        return present.map(text_of)
    if kind == "boolean":
        return present.map(_truth)
    if kind_of(series) not in ("string", "boolean"):  # a time is no number, and a number no time
        return pd.Series(None, index=present.index, dtype=object)
    return _times(present) if kind == "datetime" else pd.to_numeric(present, errors="coerce")


def _plainly(kind: Kind) -> Kind:
    return "double" if kind == "long" else kind


def _truth(value: Any) -> bool | None:
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


_ZONE = re.compile(r"\d\s*(Z|[+-]\d\d(:?\d\d)?)$")


def _times(present: pd.Series[Any]) -> pd.Series[Any]:
    """ISO 8601; in UTC as soon as one of them names a zone."""
    import pandas as pd

    zoned = any(isinstance(value, str) and "T" in value and _ZONE.search(value) for value in present)
    texts = present.where(present.map(lambda value: isinstance(value, str)), None)
    return pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=zoned)
