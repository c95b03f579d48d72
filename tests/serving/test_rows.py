"""A value that is taken as text is taken as the same value from Parquet."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_workbench.manifest import Field, Kind
from mlops_workbench.serving.protocols import rows as forms

UTC = dt.UTC


def of_parquet(values: list[Any], kind: Kind, arrow: pa.DataType | None = None) -> list[Any]:
    file = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(values, type=arrow)}), file)
    found = forms.from_parquet(file.getvalue(), [Field("x", kind)], most_rows=10, most_bytes=1 << 20)
    return [row["x"] for row in found]


@pytest.mark.parametrize(
    ("value", "arrow", "kind", "text"),
    [
        (dt.date(2024, 1, 1), pa.date32(), "datetime", "2024-01-01"),
        (dt.datetime(2024, 1, 1, 5), pa.timestamp("ns"), "datetime", "2024-01-01T05:00:00"),
        (
            dt.datetime(2024, 1, 1, tzinfo=UTC),
            pa.timestamp("us", tz="UTC"),
            "datetime",
            "2024-01-01T00:00:00+00:00",
        ),
        ("2024-01-01", pa.string(), "datetime", "2024-01-01"),
        (Decimal("1.50"), pa.decimal128(6, 2), "double", "1.50"),
        (Decimal("3.00"), pa.decimal128(6, 2), "long", "3.00"),
        (7, pa.int8(), "double", "7"),
        ("1.5", pa.string(), "double", "1.5"),
        (1, pa.int64(), "boolean", "1"),
        (0.0, pa.float64(), "boolean", "0"),
        (True, pa.bool_(), "boolean", "true"),
        ("True", pa.large_string(), "boolean", "True"),
        (10115, pa.int64(), "string", "10115"),
        (10115.0, pa.float64(), "string", "10115"),
        ("01067", pa.string(), "string", "01067"),
    ],
)
def test_parquet_gives_the_value_that_its_text_gives(value: Any, arrow: Any, kind: Kind, text: str) -> None:
    (taken,) = of_parquet([value], kind, arrow)
    ((row),) = forms.from_csv(f"x\n{text}\n".encode(), [Field("x", kind)], header=True)
    assert (taken, isinstance(taken, bool)) == (row["x"], isinstance(row["x"], bool))
    assert of_parquet([value, None], kind, arrow)[1] is None


def test_categories_are_their_values() -> None:
    assert of_parquet([3, 1, None], "double", pa.dictionary(pa.int8(), pa.int64())) == [3, 1, None]
    assert of_parquet(["a", None], "string", pa.dictionary(pa.int8(), pa.string())) == ["a", None]


def test_what_is_no_value_of_the_kind_is_left_for_the_check() -> None:
    assert of_parquet([2], "boolean") == [2]
    assert of_parquet([b"a"], "string") == [b"a"]
    assert of_parquet([[1]], "double") == [[1]]
