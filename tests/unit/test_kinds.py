"""A column is of the kind of its values, however a frame stores them: contracts, rows and files agree on that."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError
from mlops_workbench.data import checking, files, frames, inferring, parquet
from mlops_workbench.data.contracts import Contract, read, write
from mlops_workbench.data.hints import hints
from mlops_workbench.data.kinds import as_kind, kind_of, misfits, numbers_of
from mlops_workbench.data.verdict import breaches
from mlops_workbench.manifest import Kind

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series(pd.Categorical([1, 2, None])), "double"),
        (pd.Series(pd.Categorical([True, False])), "boolean"),
        (pd.Series(pd.Categorical(["a"])), "string"),
        (pd.Series(pd.qcut([1.0, 2.0, 3.0], 2)), "string"),
        (objects(True, None, False), "boolean"),
        (objects(1, None, 2.5), "double"),
        (objects(Decimal("1.5"), 1, None), "double"),
        (objects(dt.date(2024, 1, 1), None), "datetime"),
        (objects(dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)), "datetime"),
        (objects(1, "a", True), "string"),
        (objects(True, 1), "string"),
        (objects(None, None), "string"),
        (pd.Series(pd.arrays.SparseArray([True, False])), "boolean"),
        (pd.Series([dt.date(2024, 1, 1)], dtype=pd.ArrowDtype(pa.date32())), "datetime"),
        (pd.Series([Decimal("1.5")], dtype=pd.ArrowDtype(pa.decimal128(5, 2))), "double"),
        (pd.Series([[1]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "string"),
    ],
)
def test_a_column_is_of_the_kind_of_its_values(column: pd.Series[Any], kind: Kind) -> None:
    assert kind_of(column) == kind


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (objects(1, 0, None), "boolean", [True, False, None]),
        (pd.Series([1.0, np.nan]), "boolean", [True, None]),
        (objects("true", "FALSE"), "boolean", [True, False]),
        (pd.Series([10115.0, np.nan]), "string", ["10115", None]),
        (pd.Series([True, False]), "double", [1.0, 0.0]),
        (objects("1.5", "2"), "double", [1.5, 2.0]),
        (
            objects("2024-01-01", "2024-01-02T03:00"),
            "datetime",
            [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02 03:00")],
        ),
        (objects("a", "1"), "double", ["a", "1"]),
        (objects("yes"), "boolean", ["yes"]),
        (pd.Series([1, 2]), "datetime", [1, 2]),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "double", [pd.Timestamp("2024-01-01")]),
    ],
)
def test_values_are_taken_as_another_kind_or_left_alone(
    column: pd.Series[Any], kind: Kind, expected: list[Any]
) -> None:
    column.index = pd.Index([7] * len(column))
    taken = as_kind(column, kind)
    assert taken.tolist() == expected
    assert taken.index.equals(column.index)
    assert misfits(column, kind).any() == (kind_of(taken) != kind)


# files


def test_a_file_is_read_by_the_kinds_of_its_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "zip": ["01067", None, "20095"],
            "member": [True, False, True],
            "n": [1.5, None, 3.0],
            "id": ["1e5", "007", "0"],
        }
    )
    kinds: dict[str, Kind] = {
        "zip": "string",
        "member": "boolean",
        "n": "double",
        "id": "string",
        "other": "string",
    }
    stored = frame.assign(member=frame["member"].astype(int))
    for name in ("rows.csv", "ROWS.CSV", "rows.csv.gz", "rows.tsv.bz2", "rows.jsonl", "rows.ndjson.gz"):
        files.write(stored, tmp_path / name)
        found = files.read(tmp_path / name, kinds)
        assert found["zip"].tolist()[::2] == ["01067", "20095"], name
        assert found["zip"].isna().tolist() == [False, True, False]
        assert found["member"].tolist() == [True, False, True], name
        assert numbers_of(found["n"]).tolist()[::2] == [1.5, 3.0]
        assert found["id"].tolist() == ["1e5", "007", "0"], name
    stored.to_parquet(tmp_path / "rows.parquet")
    assert files.read(tmp_path / "rows.parquet", kinds)["member"].tolist() == [True, False, True]


def test_names_of_tables() -> None:
    for name in ("a.csv", "A.CSV", "x/a.csv.gz", "a.parquet", "a.tsv.zip", "a.jsonl"):
        assert files.is_table(name), name
    for name in ("a", "csv", "a.gz", "a.parquet.gz", "a.txt", "train@2"):
        assert not files.is_table(name), name
    assert files.stem("data/Flights.CSV.gz") == "Flights"


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_text("a\n1\n")
    with pytest.raises(InvalidData, match=r"rows.csv.gz' cannot be read as CSV: Not a gzipped file"):
        files.read(tmp_path / "rows.csv.gz")
    with pytest.raises(NotFound, match=r"no file"):
        files.read(tmp_path / "none.csv.gz")
    with pytest.raises(NotFound, match=r"\.csv, \.tsv"):
        frames.resolve("rows.txt", {})


def test_tables_of_polars_and_arrow_are_data() -> None:
    for table in (pl.DataFrame({"a": [1, 2]}), pa.table({"a": [1, 2]})):
        found, name = frames.resolve("table", {"table": table})
        assert name == "table"
        assert found["a"].tolist() == [1, 2]
    with pytest.raises(UsageError, match="Got list instead"):
        frames.resolve("s", {"s": [1]})


def test_sparse_columns_and_lists_of_arrow_are_kept_or_refused(tmp_path: Path) -> None:
    for values in ([0.0, 1.0, 0.0], [True, False, True], [3, 0, 0]):
        frame = pd.DataFrame({"x": pd.arrays.SparseArray(values)})
        parquet.write(frame, tmp_path / "x.parquet", "x")
        pd.testing.assert_frame_equal(parquet.read(tmp_path / "x.parquet"), frame)
    lists = pd.DataFrame({"x": pd.Series([[1], [2, 3]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))})
    assert frames.fingerprint(lists, "x").sha256 != frames.fingerprint(lists[::-1], "x").sha256
    with pytest.raises(InvalidData, match="cannot be kept as Parquet"):
        parquet.write(lists, tmp_path / "y.parquet", "x")


# contracts


def kept(frame: pd.DataFrame, contract: Contract) -> list[str]:
    return [f"{one.column}: {one.check}" for one in breaches(checking.check(frame, contract, now=NOW))]


VALUES: dict[str, Any] = {
    "numbers": st.floats(allow_nan=False, allow_infinity=False),
    "whole numbers": st.integers(-(2**63), 2**63 - 1),
    "small numbers": st.integers(0, 3),
    "truth values": st.booleans(),
    "texts": st.text(max_size=3),
    "numbers and texts": st.one_of(st.integers(0, 3), st.text("01 ?", max_size=2), st.booleans()),
    "decimals": st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9
    ),
    "dates": st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1)),
    "bytes": st.binary(max_size=2),
    "lists": st.lists(st.integers(0, 3), max_size=2),
}
STORED: dict[str, Any] = {
    "as objects": lambda values: pd.Series(values, dtype=object),
    "as pandas has them": lambda values: pd.Series(values),
    "as categories": lambda values: pd.Series(pd.Categorical(values)),
    "as nullable": lambda values: pd.Series(values).convert_dtypes(),
    "of Arrow": lambda values: pd.Series(pa.array(values), dtype=pd.ArrowDtype(pa.array(values).type)),
    "in bins": lambda values: pd.Series(pd.qcut(pd.Series(values, dtype=float), 3, duplicates="drop")),
    "with a zone": lambda values: pd.Series(pd.to_datetime(values)).dt.tz_localize(
        "America/New_York", ambiguous="NaT", nonexistent="NaT"
    ),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_data_keep_the_contract_that_was_inferred_from_them(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    values = data.draw(st.sampled_from(sorted(VALUES)))
    size = data.draw(st.sampled_from([1, 2, 5, 25, 60]))
    gaps = data.draw(st.booleans())
    one = st.one_of(st.none(), VALUES[values]) if gaps else VALUES[values]
    drawn = data.draw(st.lists(one, min_size=size, max_size=size))
    try:
        column = STORED[data.draw(st.sampled_from(sorted(STORED)))](drawn)
    except (
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        Warning,
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
    ):
        return  # pandas itself does not store these so
    frame = pd.DataFrame(
        {"x": column.to_numpy() if column.dtype == object else column.array, "": range(size)}
    )
    try:
        contract = inferring.infer_usable(frame, "x", "c", now=NOW)
    except InvalidData:
        return  # an empty column, or infinities
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    write(contract, path)
    contract = read(path)
    assert kept(frame, contract) == []
    hints(frame)
    try:
        frame.to_parquet(path.with_suffix(".parquet"))
    except (TypeError, ValueError, NotImplementedError, OverflowError, pa.ArrowInvalid):
        return
    assert kept(files.read(path.with_suffix(".parquet")), contract) == []


def test_values_that_equal_each_other_are_told_apart() -> None:
    frame = pd.DataFrame({"x": objects(1, "a", True, "b").repeat(10).reset_index(drop=True)})
    contract = inferring.infer_contract(frame, "c", now=NOW)
    assert contract.columns["x"].values == ("1", "True", "a", "b")
    assert kept(frame, contract) == []


def test_whole_numbers_of_a_database_are_booleans_where_the_contract_says_so() -> None:
    contract = inferring.infer_contract(pd.DataFrame({"x": [True, False]}), "c", now=NOW)
    assert kept(pd.DataFrame({"x": [1, 0, 1]}), contract) == []
    assert kept(pd.DataFrame({"x": objects(1, 0)}), contract) == []
    assert kept(pd.DataFrame({"x": [2, 0]}), contract) == ["x: text in a column of type boolean"]


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (list(range(10, 70)), (0.0, 98.5)),
        ([*np.linspace(0, 1, 50)], (0.0, 1.0)),
        ([0, 1] * 20, (0.0, 1.0)),
        ([*-np.linspace(1, 3, 50)], (-4.0, 0.0)),
        ([5.0] * 50, (5.0, 5.0)),
        ([5.0] * 5, (None, None)),
        ([1.0, 3.0, 2.0], (0.0, 5.0)),
    ],
)
def test_ranges_are_neither_loose_nor_tight(
    values: list[float], limits: tuple[float | None, float | None]
) -> None:
    rule = inferring.infer_contract(pd.DataFrame({"x": values}), "c", now=NOW).columns["x"]
    assert (rule.minimum, rule.maximum) == limits


def test_a_wrong_type_names_the_values_that_are_wrong() -> None:
    charges = objects(*[" "] * 11, *["19.5"] * 7032)
    contract = inferring.infer_contract(pd.DataFrame({"x": [1.0, 2.0] * 20}), "c", now=NOW)
    (found,) = (
        one
        for one in breaches(checking.check(pd.DataFrame({"x": charges}), contract))
        if one.level == "error"
    )
    assert (found.check, found.count) == ("blank text in a column of type number", 11)
    assert found.examples == ("' '",)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([" "] * 11 + ["19.5"] * 90, "11 of 101 values are blank text; all others are numbers"),
        (["?"] * 9 + ["a", "b"] * 20, "'?' in 9 of 49 values: missing"),
        ([" a", " b"] * 20, "40 of 40 values begin or end with a space, such as ' a'"),
        ([""] * 5 + ["a", "b"] * 20, "5 of 45 values are blank text"),
        (["Y"] * 30, "has the value 'Y' in every row"),
        ([7] * 30, "has the value '7' in every row"),
        ([f"{i:04}-X" for i in range(30)], "an id, which no model should read"),
        (list(range(100, 130)), "an id, which no model should read"),
        (["01067", "20095"] * 20, "holds numbers as texts"),
    ],
)
def test_hints_name_what_a_person_should_look_at(values: list[Any], sentence: str) -> None:
    assert sentence in "\n".join(hints(pd.DataFrame({"x": values})))


@pytest.mark.parametrize("values", [["a", "b"] * 20, [1.5, 2.5] * 20, [True, False] * 20, [3, 9, 1] * 20])
def test_ordinary_columns_get_no_hint(values: list[Any]) -> None:
    assert hints(pd.DataFrame({"x": values})) == ()
