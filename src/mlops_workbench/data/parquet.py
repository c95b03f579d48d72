"""A DataFrame as a Parquet file that gives back what was kept: the values, their types, and the categories.

Parquet keeps a column of objects as what its values look like, and forgets whole numbers beside gaps, categories that
are no texts, and which missing values were NaN. These are noted in the file's metadata, where pandas keeps `attrs`.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data.frames import column_digest, nan_texts, value_types

if TYPE_CHECKING:
    import pandas as pd

NAN_TEXTS = "mlops.nan_texts"
OBJECTS = "mlops.objects"
"""columns of objects that are no texts"""
SPARSE = "mlops.sparse"
"""column of sparse values → what it leaves out (None for NaN)"""
CATEGORIES = "mlops.categories"
"""column → its categories (a Parquet file of one column, base64) and whether they are ordered"""


def write(frame: pd.DataFrame, path: Path, name: str) -> None:
    """Without its index; seen whole or not at all. Raises `InvalidData` for a column that would come back otherwise."""
    import pandas as pd

    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        bare = frame.copy(deep=False)
        objects = [column for column in frame.columns if value_types(frame[column])]
        categories = [column for column in frame.columns if _odd_categories(frame[column])]
        sparse = [column for column in frame.columns if isinstance(frame[column].dtype, pd.SparseDtype)]
        bare.attrs = {
            SPARSE: {column: _fill(frame[column]) for column in sparse},
            NAN_TEXTS: nan_texts(frame),
            OBJECTS: objects,
            CATEGORIES: {column: _packed(frame[column]) for column in categories},
        }
        for column in sparse:
            bare[column] = frame[column].to_numpy()
        for column in categories:
            dtype = frame[column].cat.categories.dtype
            bare[column] = frame[column].astype(dtype if "interval" in str(dtype) else object)
        bare.to_parquet(draft, index=False)
        _compare(frame, read(draft, [*objects, *categories, *sparse]), name)
        draft.replace(path)
    except (
        TypeError,
        ValueError,
        NotImplementedError,
        OverflowError,
    ) as problem:  # pyarrow's derive from these
        raise InvalidData(
            f"'{name}' cannot be kept as Parquet: {' '.join(str(problem).split())}.",
            "Give each column one type, of NumPy's or pandas' own.",
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """What `write` was given, or some columns of it."""
    import pandas as pd
    import pyarrow.parquet as pq

    frame = pd.read_parquet(path, columns=columns)
    notes = frame.attrs
    frame.attrs = {}
    for name in _of(notes.get(OBJECTS, ()), frame):
        values = pq.read_table(path, columns=[name]).column(0).to_pylist()  # pandas would make them numbers
        frame[name] = pd.Series(values, dtype=object, index=frame.index)
    for name in _of(notes.get(CATEGORIES, {}), frame):
        packed, ordered = notes[CATEGORIES][name]
        categories = pd.read_parquet(io.BytesIO(base64.b64decode(packed)))["c"]
        frame[name] = pd.Categorical(
            frame[name], categories=pd.Index(categories).rename(None), ordered=ordered
        )
    for name in _of(notes.get(SPARSE, {}), frame):
        fill = notes[SPARSE][name]
        frame[name] = frame[name].astype(
            pd.SparseDtype(frame[name].dtype, float("nan") if fill is None else fill)
        )
    for name in _of(notes.get(NAN_TEXTS, ()), frame):
        frame[name] = frame[name].where(frame[name].notna(), float("nan"))
    return frame


def _of(names: Any, frame: pd.DataFrame) -> list[str]:
    return [name for name in names if name in frame.columns]


def _fill(series: pd.Series[Any]) -> Any:
    import pandas as pd

    dtype: Any = series.dtype
    fill = dtype.fill_value
    return None if pd.isna(fill) else getattr(fill, "item", lambda: fill)()


def _odd_categories(series: pd.Series[Any]) -> bool:
    """Whether it has categories that are no texts: Parquet gives back the values alone."""
    import pandas as pd

    return isinstance(series.dtype, pd.CategoricalDtype) and series.cat.categories.dtype != object


def _packed(series: pd.Series[Any]) -> list[Any]:
    import pandas as pd

    file = io.BytesIO()
    pd.DataFrame({"c": series.cat.categories}).to_parquet(file, index=False)
    return [base64.b64encode(file.getvalue()).decode(), bool(series.cat.ordered)]


def _compare(given: pd.DataFrame, kept: pd.DataFrame, name: str) -> None:
    for column in kept.columns:
        before, after = given[column].reset_index(drop=True), kept[column]
        if before.dtype != after.dtype or column_digest(before) != column_digest(after):
            raise InvalidData(
                f"The column '{column}' of '{name}' cannot be kept as it is: its values would come back as others.",
                "Give all its values one type.",
            )
