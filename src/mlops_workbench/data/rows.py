"""Rows as JSON carries them, from a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data.frames import kind_of

if TYPE_CHECKING:
    import pandas as pd


def to_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON carries them: missing as None, times as ISO 8601. Raises `InvalidData` for infinities."""
    import numpy as np
    import pandas as pd

    require_finite(frame)
    columns: dict[str, list[Any]] = {}
    for name in frame.columns:
        series = frame[name]
        kind = kind_of(series)
        gaps = series.isna().to_numpy()
        if kind == "datetime":
            values = [t.isoformat() if not gap else None for t, gap in zip(series, gaps, strict=True)]
        elif kind == "double":
            numbers = pd.to_numeric(series).to_numpy(dtype=float, na_value=np.nan)
            values = [None if gap else value for value, gap in zip(numbers.tolist(), gaps, strict=True)]
        elif kind == "boolean":
            values = [None if gap else bool(value) for value, gap in zip(series, gaps, strict=True)]
        else:
            values = [None if gap else str(value) for value, gap in zip(series, gaps, strict=True)]
        columns[name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def require_finite(frame: pd.DataFrame) -> None:
    """Raises `InvalidData` naming a column with infinities: JSON has none, so such a row could never be asked."""
    import numpy as np

    for name in frame.columns:
        if kind_of(frame[name]) == "double":
            count = int(np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan)).sum())
            if count:
                raise InvalidData(
                    f"The column '{name}' has {count} infinite values.", "Replace them: JSON has none."
                )
