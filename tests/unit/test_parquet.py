"""What is kept comes back as it was, or is refused; a fingerprint tells types apart."""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data import parquet
from mlops_workbench.data.frames import fingerprint


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


COLUMNS = {
    "whole numbers": objects(10115, 20095, 7),
    "whole numbers and gaps": objects(1, None, 3),
    "numbers and gaps": objects(0.5, None, 1),
    "truth values and gaps": objects(True, None, False),
    "NumPy's numbers": objects(np.int64(1), np.int64(2), np.int64(3)),
    "bytes": objects(b"ab", b"cd", None),
    "decimals": objects(Decimal("1.5"), Decimal(2), None),
    "dates": objects(dt.date(2024, 1, 1), None, dt.date(2024, 1, 2)),
    "times of day": objects(dt.time(1), dt.time(2), None),
    "timestamps": objects(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02"), None),
    "lists": objects([1], [2, 3], []),
    "texts with NaN": objects("a", float("nan"), "b"),
    "texts with None": objects("a", None, "b"),
    "categories of whole numbers": pd.Series(
        pd.Categorical([3, 1, None], categories=[3, 2, 1], ordered=True)
    ),
    "categories of truth values": pd.Series(pd.Categorical([True, False, True])),
    "categories of times": pd.Series(pd.Categorical(pd.date_range("2024", periods=3))),
    "categories of texts": pd.Series(pd.Categorical(["a", "b", "a"], categories=["b", "a", "c"])),
    "intervals of qcut": pd.Series(pd.qcut([1.0, 2.0, 3.0], 2)),
    "nullable whole numbers": pd.Series([1, None, 3], dtype="Int64"),
    "times with a zone": pd.Series(pd.date_range("2024", periods=3, tz="America/New_York")),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_a_column_comes_back_as_it_was(tmp_path: Path, what: str) -> None:
    frame = pd.DataFrame({"x": COLUMNS[what]})
    parquet.write(frame, tmp_path / "x.parquet", "x")
    back = parquet.read(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(back, frame)
    assert fingerprint(back, "x").sha256 == fingerprint(frame, "x").sha256


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_mixed_values_come_back_equal_or_are_refused(values: list[Any]) -> None:
    frame = pd.DataFrame({"x": objects(*values)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        try:
            parquet.write(frame, path, "x")
        except InvalidData:
            assert not list(path.parent.iterdir())
            return
        back = parquet.read(path)["x"].tolist()
    for was, now in zip(values, back, strict=True):
        assert (was is None) == (now is None or now is pd.NaT or now != now)
        assert was is None or (was == now and (type(was) is bool) == (type(now) is bool))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([10115, 20095], ["10115", "20095"]),
        ([True, False], ["True", "False"]),
        ([True, False], [1, 0]),
        ([b"ab", b"cd"], ["ab", "cd"]),
        ([dt.date(2024, 1, 1)], ["2024-01-01"]),
        ([Decimal("1.5")], ["1.5"]),
    ],
)
def test_values_of_other_types_are_other_data(first: list[Any], second: list[Any]) -> None:
    one, two = (fingerprint(pd.DataFrame({"x": objects(*values)}), "x").sha256 for values in (first, second))
    assert one != two


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (objects(2**70), "Python int too large"),
        (objects("\ud800"), r"holds the text '\\ud800', which is no valid Unicode"),
        (objects(pd.Timestamp("2024"), pd.Timestamp("2024", tz="UTC")), "would come back as others"),
        (objects(1, "a"), "cannot be kept as Parquet"),
        (np.array([1 + 5j]), "complex"),
    ],
)
def test_what_cannot_be_kept_is_a_sentence(tmp_path: Path, values: Any, sentence: str) -> None:
    def keep() -> None:
        frame = pd.DataFrame({"x": values})
        fingerprint(frame, "x")
        parquet.write(frame, tmp_path / "x.parquet", "x")

    with pytest.raises(InvalidData, match=sentence):
        keep()
    assert not list(tmp_path.iterdir())
