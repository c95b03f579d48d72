"""DataFrames by name: a variable of the notebook or a file; what they hold, and a fingerprint of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError, closest
from mlops_workbench.base.values import Value
from mlops_workbench.data import files, forms
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Fingerprint(Value):
    """What a DataFrame held: SHA-256 over content and schema (row order counts, the index does not).

    `bytes`: of the Parquet file that keeps it; 0 when it is not kept.
    """

    name: str
    sha256: str
    rows: int
    columns: int
    schema: dict[str, str]
    bytes: int = 0


def is_frame(value: Any) -> bool:
    """A pandas DataFrame, found without importing pandas."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.partition(".")[0] == "pandas"


def resolve(
    data: Any, namespace: Mapping[str, Any], kinds: Mapping[str, Kind] | None = None
) -> tuple[pd.DataFrame, str]:
    """A DataFrame and what to call it, from a DataFrame, the name of a variable, or a file's path.

    `kinds` of columns: what a file is read by. A table of polars or Arrow, an array and a Series are taken as one of
    pandas. Raises `NotFound` (no such variable or file), `UsageError` (holds no rows), `InvalidData` (no rows).
    """
    if isinstance(data, str):
        frame, name = _named(data, namespace, kinds), data
    else:
        frame, name = data, "DataFrame"
    frame = forms.as_frame(frame, name) if forms.form_of(frame) else _of_pandas(frame)
    if not is_frame(frame):
        raise UsageError(f"'{name}' must be a pandas DataFrame. Got {_type_name(frame)} instead.")
    if not len(frame.columns):
        raise InvalidData(f"'{name}' has no columns.", "Give a DataFrame with columns.")
    if not len(frame):
        raise InvalidData(f"'{name}' has no rows.", "Give a DataFrame with rows.")
    odd = [c for c in frame.columns if not isinstance(c, str)]
    if odd:
        raise InvalidData(
            f"'{name}' has a column named {odd[0]!r}, which is not a text.",
            "Rename the columns: frame.columns = …",
        )
    if "" in frame.columns:
        raise InvalidData(
            f"'{name}' has a column whose name is empty.", "Name it: frame.rename(columns={'': 'NAME'})."
        )
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InvalidData(f"'{name}' has two columns named '{twice[0]}'.", "Rename or drop one.")
    return frame, name


def _of_pandas(value: Any) -> Any:
    """A table of polars or of Arrow as pandas'; anything else as it is."""
    package = type(value).__module__.partition(".")[0]
    is_table = type(value).__name__ in ("DataFrame", "Table") and package in ("polars", "pyarrow")
    return value.to_pandas() if is_table else value


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _named(name: str, namespace: Mapping[str, Any], kinds: Mapping[str, Kind] | None) -> Any:
    if name in namespace:
        return namespace[name]
    if files.is_table(name):
        return files.read(Path(name).expanduser(), kinds)
    frames = [k for k, v in namespace.items() if is_frame(v) and not k.startswith("_")]
    hint = closest(name, frames) or f"Give a variable of the notebook, or {files.KNOWN}."
    raise NotFound(f"There is no DataFrame '{name}'.", hint)


def flat(series: pd.Series[Any]) -> pd.Series[Any]:
    """A shallow copy; of Arrow's lists and structs, which have no hash and no order, as Python's objects."""
    import numpy as np
    import pandas as pd

    if not (isinstance(series.dtype, pd.ArrowDtype) and series.dtype.pyarrow_dtype.num_fields):
        return series.copy(deep=False)
    values = np.empty(len(series), dtype=object)
    values[:] = [None if value is pd.NA else value for value in series]
    return pd.Series(values, index=series.index, name=series.name)


def all_texts(series: pd.Series[Any]) -> bool:
    """Whether every value is a text and none is missing; several times quicker than looking for what is missing."""
    import pandas as pd

    return series.dtype == object and pd.api.types.infer_dtype(series, skipna=False) == "string"


def missing(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where there is no value."""
    import numpy as np

    return np.zeros(len(series), dtype=bool) if all_texts(series) else series.isna().to_numpy()


def nan_texts(frame: pd.DataFrame) -> list[str]:
    """Columns of objects whose missing values are NaN, not None. To a OneHotEncoder these are two categories,
    to Parquet they are one."""
    return [
        name
        for name in frame.columns
        if frame[name].dtype == object
        and not all_texts(frame[name])
        and (gaps := frame[name][frame[name].isna()]).size
        and not any(value is None for value in gaps)
    ]


_SAMPLE = 1000


def _repeats(series: pd.Series[Any]) -> bool:
    """Whether hashing each different text once pays. Asked of pure texts only: of those the hash is the same."""
    if not all_texts(series):
        return True
    some = series.iloc[:: max(1, len(series) // _SAMPLE)]
    return bool(some.nunique() < 0.9 * len(some))


def value_types(series: pd.Series[Any]) -> list[str]:
    """The type of each value of a column of objects, "" where it is missing; empty for texts alone, which need none.

    NumPy's scalars count as Python's, and whole numbers among others as numbers, as Parquet gives them back.
    """
    if series.dtype != object or all_texts(series):
        return []
    gaps = series.isna().to_numpy() if not _nested(series) else [value is None for value in series]
    found = ["" if gap else _type(value) for value, gap in zip(series, gaps, strict=True)]
    return [] if set(found) <= {"", "str"} else _as_numbers(found)


def _as_numbers(types: list[str]) -> list[str]:
    both = {"int", "float"} <= set(types)
    return ["float" if both and kind == "int" else kind for kind in types]


def _nested(series: pd.Series[Any]) -> bool:
    return any(isinstance(value, list | dict) for value in series.head(1))


def _type(value: Any) -> str:
    from datetime import datetime

    if isinstance(value, datetime):  # pandas' Timestamp is one
        return "datetime" if value.tzinfo is None else "datetime with a zone"
    kind = type(value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value)
    return kind.__name__


def _plain(value: Any, kind: str) -> Any:
    """The value as one that is equal to it always is: 2.0 for 2 among numbers with a point, and for Decimals."""
    return float(value) if kind == "float" else value.normalize() if kind == "Decimal" else value


def fingerprint(frame: pd.DataFrame, name: str) -> Fingerprint:
    """SHA-256 of the rows' 64-bit hashes and the schema; 1 million × 10 numbers take a fraction of a second.

    A column of objects counts with the types of its values: 1, "1" and True are three. Raises `InvalidData`.
    """
    schema = {str(c): str(t) for c, t in frame.dtypes.items()}
    digest = hashlib.sha256(json.dumps([*schema.items(), nan_texts(frame)], ensure_ascii=False).encode())
    for column in frame.columns:
        digest.update(column_digest(frame[column]))
    return Fingerprint(name, digest.hexdigest(), len(frame), len(frame.columns), schema)


def column_digest(series: pd.Series[Any]) -> bytes:
    """What a fingerprint is made of, of one column. Raises `InvalidData` for a text that is no Unicode."""
    import pandas as pd

    series = flat(series)
    types = value_types(series)
    values = series.to_numpy()
    if {"Decimal", "float"} & set(types):
        values = pd.Series(map(_plain, series, types), dtype=object).to_numpy()
    try:
        hashes = pd.util.hash_array(values, categorize=_repeats(series))
    except TypeError:  # lists, dicts and mixed types have no hash of their own
        hashes = pd.util.hash_array(series.astype(str).to_numpy(dtype=object))
    except UnicodeEncodeError as problem:
        raise InvalidData(
            f"The column '{series.name}' holds the text {problem.object!r}, which is no valid Unicode.",
            "Clean the texts: they were decoded with errors.",
        ) from None
    if isinstance(series.dtype, pd.CategoricalDtype) and series.cat.categories.dtype != object:
        types = [str(series.cat.categories.dtype)]
    return hashes.tobytes() + "\0".join(types).encode()
