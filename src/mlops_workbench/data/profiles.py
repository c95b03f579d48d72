"""whylogs profiles: summaries of data that merge and travel. The only module that imports whylogs.

whylogs is frozen upstream; what the workbench needs of it goes through these three functions, so that it can
be replaced.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.errors import InvalidData


def profile(frame: pd.DataFrame) -> bytes:
    """A serialized profile: counts, types, missing, distinct values, quantiles and frequent items a column.

    Raises InvalidData for a frame without rows or columns.
    """
    if frame.empty:
        raise InvalidData("A profile needs rows and columns; the data has none.")
    whylogs = _whylogs()
    # whylogs 1.6 asks NumPy for a name that NumPy 2 removed when it meets text, dates or pandas' extension
    # types of their own; as Python objects it takes them all
    plain = frame.astype({name: object for name, kind in frame.dtypes.items() if _foreign(kind)})
    return bytes(whylogs.log(pandas=plain.rename(columns=str)).view().serialize())


def merge(blobs: Sequence[bytes]) -> bytes:
    """One profile of all rows. Raises InvalidData if there is none, or one cannot be read."""
    if not blobs:
        raise InvalidData("There is no profile to merge.")
    first, *others = [_view(blob) for blob in blobs]
    for other in others:
        first = first.merge(other)
    return bytes(first.serialize())


def summary(blob: bytes) -> dict[str, dict[str, Any]]:
    """For each column: rows, missing, distinct (estimated) and types; mean, std, extremes and quantiles of a
    number, the most frequent values of a text. Raises InvalidData if the profile cannot be read."""
    return {name: _column(column) for name, column in _view(blob).get_columns().items()}


def _column(column: Any) -> dict[str, Any]:
    raw = column.to_summary_dict()
    found: dict[str, Any] = {
        "rows": int(raw.get("counts/n", 0)),
        "missing": int(raw.get("counts/null", 0)),  # NaN is counted there too
        "distinct": round(raw.get("cardinality/est", 0)),
        "types": {
            key.removeprefix("types/"): int(value)
            for key, value in raw.items()
            if key.startswith("types/") and not key.endswith(":tensor") and value
        },
    }
    if raw.get("distribution/n"):
        names = {"mean": "mean", "std": "stddev", "min": "min", "max": "max"}
        names |= {q: q for q in ("q_05", "q_25", "median", "q_75", "q_95")}
        found |= {ours: float(raw[f"distribution/{theirs}"]) for ours, theirs in names.items()}
    elif items := raw.get("frequent_items/frequent_strings"):
        found["frequent"] = {item.value: int(item.est) for item in items[:10]}
    return found


def _foreign(kind: Any) -> bool:
    return not isinstance(kind, np.dtype) or kind.kind not in "biufO"


def _view(blob: bytes) -> Any:
    whylogs = _whylogs()
    try:
        return whylogs.DatasetProfileView.deserialize(blob)
    except Exception as error:  # protobuf, struct and whylogs' own: it declares none
        raise InvalidData(f"The profile of {len(blob):,} bytes cannot be read: {error}.") from error


def _whylogs() -> Any:
    os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in what it imports
        import whylogs
    return whylogs
