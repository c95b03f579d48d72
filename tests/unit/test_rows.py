"""Rows as JSON carries them: by the model's kinds, however the frame stores them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Field, Kind


def values(column: Any, kind: Kind) -> list[Any]:
    return [row["x"] for row in to_rows(pd.DataFrame({"x": column}), [Field("x", kind)])]


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pd.Series([1, None, 2.5], dtype=object), "double", [1.0, None, 2.5]),
        (pd.Series([Decimal("1.5"), np.int64(2)], dtype=object), "double", [1.5, 2.0]),
        (pd.Categorical([3, 1, None]), "double", [3.0, 1.0, None]),
        (pd.array([1, None], dtype="Int64"), "double", [1.0, None]),
        (pd.Series([True, None, False], dtype=object), "boolean", [True, None, False]),
        ([1, 0], "boolean", [True, False]),
        ([1.0, np.nan], "boolean", [True, None]),
        (pd.date_range("2024", periods=1), "datetime", ["2024-01-01T00:00:00"]),
        (pd.Series([dt.date(2024, 1, 1), None], dtype=object), "datetime", ["2024-01-01", None]),
        (["2024-01-01"], "datetime", ["2024-01-01"]),
        (pd.Categorical([3, 1]), "string", ["3", "1"]),
        ([10115], "string", ["10115"]),
        (["a", None], "string", ["a", None]),
    ],
)
def test_a_value_is_what_the_model_reads(column: Any, kind: Kind, expected: list[Any]) -> None:
    assert values(column, kind) == expected


@pytest.mark.parametrize(("column", "kind"), [(["1"], "double"), (["yes"], "boolean"), ([2], "boolean")])
def test_what_does_not_fit_is_left_for_the_model_to_refuse(column: Any, kind: Kind) -> None:
    assert values(column, kind) == column


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ([1.0, np.inf], "has 1 infinite values"),
        (pd.Series([1.0, np.inf], dtype=object), "has 1 infinite values"),
        ([1 + 5j], "holds complex numbers"),
    ],
)
def test_what_json_has_not_is_refused(column: Any, sentence: str) -> None:
    with pytest.raises(InvalidData, match=sentence):
        values(column, "double")
