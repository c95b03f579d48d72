"""Great Expectations suites of both generations become contracts; what cannot is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.base.errors import Conflict, InvalidData, NotFound, UsageError
from mlops_workbench.data import contracts
from mlops_workbench.data.contracts import ColumnRule, RowCount
from mlops_workbench.data.expectations import _COLUMN, _WHOLE, from_suite
from mlops_workbench.workbench import Workbench

TYPED = [
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_be_unique", {"column": "id"}),
    ("expect_column_values_to_not_be_null", {"column": "wind", "mostly": 0.98}),
    ("expect_column_values_to_be_between", {"column": "wind", "min_value": 0, "max_value": 60}),
    ("expect_column_max_to_be_between", {"column": "wind", "max_value": 50, "min_value": None}),
    ("expect_column_values_to_be_in_set", {"column": "carrier", "value_set": ["AA", "UA"]}),
    ("expect_column_values_to_match_regex", {"column": "tail", "regex": "^N"}),
    ("expect_column_value_lengths_to_be_between", {"column": "dest", "min_value": 3, "max_value": 3}),
    ("expect_column_values_to_be_of_type", {"column": "at", "type_": "datetime64[ns]"}),
    ("expect_column_to_exist", {"column": "free"}),
    ("expect_table_row_count_to_be_between", {"min_value": 10, "max_value": 1000}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["id", "at"]}),
]
FOREIGN = [
    ("expect_column_mean_to_be_between", {"column": "wind", "min_value": 1}, "a contract has no such check"),
    (
        "expect_column_values_to_be_between",
        {"column": "wind", "min_value": 1, "strict_min": True},
        "strict_min",
    ),
    ("expect_column_values_to_be_between", {"column": "at", "min_value": "2020-01-01"}, "is not a number"),
    ("expect_column_values_to_be_in_set", {"column": "a", "value_set": ["x"], "mostly": 0.9}, "mostly 0.9"),
    ("expect_column_values_to_match_regex", {"column": "tail", "regex": "^X"}, "another is set already"),
    ("expect_column_values_to_be_unique", {"column": "a", "row_condition": "b > 1"}, "row_condition"),
    ("expect_column_values_to_be_between", {"column": "a", "min_value": {"$PARAMETER": "x"}}, "run time"),
]


def suite(pairs: Any, *, new: bool, **more: Any) -> dict[str, Any]:
    kind, name = ("type", "name") if new else ("expectation_type", "expectation_suite_name")
    listed = [{kind: label, "kwargs": kwargs, "meta": {}} | more for label, kwargs in pairs]
    return {name: "flights", "expectations": listed, "meta": {"great_expectations_version": "1"}}


@pytest.mark.parametrize("new", [False, True])
def test_a_suite_becomes_a_contract(workbench: Workbench, tmp_path: Path, new: bool) -> None:
    file = tmp_path / "suite.json"
    file.write_text(json.dumps(suite([*TYPED, *((a, b) for a, b, _ in FOREIGN)], new=new)))
    sheet = workbench.contract("flights", suite=str(file))
    assert sheet.contract.columns == {
        "id": ColumnRule("any", unique=True),
        "wind": ColumnRule("number", True, 0.02, 0.0, 50.0, level="error"),
        "carrier": ColumnRule("text", True, values=("AA", "UA"), level="error"),
        "tail": ColumnRule("text", True, pattern="^N", level="error"),
        "dest": ColumnRule("text", True, pattern=r"(?s)\A.{3,3}\Z", level="error"),
        "at": ColumnRule("time", True),
        "free": ColumnRule("any", True),
    }
    assert sheet.contract.rows == RowCount(10, 1000, "error")
    assert sheet.contract.unique == (("id", "at"),)
    assert sheet.contract.extra_columns
    assert len(sheet.left_out) == len(FOREIGN)
    for (label, _, reason), told in zip(FOREIGN, sheet.left_out, strict=True):
        assert told.startswith(label)
        assert reason in told
    assert contracts.read(Path(sheet.path)) == sheet.contract
    for shown in (sheet.text(), sheet._repr_html_()):
        assert "12 of 19 expectations" in shown
        assert "Not carried over (7)" in shown
        assert "strict_min has no counterpart" in shown


def test_warnings_of_the_new_generation_warn() -> None:
    imported = from_suite(suite([TYPED[5]], new=True, severity="warning")["expectations"], "c")
    assert imported.contract.columns["carrier"].level == "warn"


def test_lengths_that_exclude_each_other_are_not_carried_over() -> None:
    pair = ("expect_column_value_lengths_to_be_between", {"column": "a", "min_value": 4, "max_value": 3})
    imported = from_suite(suite([pair], new=True)["expectations"], "c")
    assert (imported.carried, len(imported.left_out)) == (0, 1)
    assert "no text is between 4 and 3 long" in str(imported.left_out)


def test_an_exact_set_of_columns_allows_no_more() -> None:
    pairs = [("expect_table_columns_to_match_set", {"column_set": ["a", "b"]})]
    made = from_suite(suite(pairs, new=True)["expectations"], "c").contract
    assert (list(made.columns), made.extra_columns) == (["a", "b"], False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not JSON"), ("[]", "has no list 'expectations'"), ('{"expectations": 3}', "has no list")],
)
def test_what_is_no_suite_says_so_and_writes_nothing(
    workbench: Workbench, tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "s.json"
    file.write_text(text)
    with pytest.raises(InvalidData, match=sentence):
        workbench.contract("c", suite=str(file))
    with pytest.raises(NotFound, match="There is no file"):
        workbench.contract("c", suite=str(tmp_path / "gone.json"))
    assert not (workbench.project.root / "contracts").exists()


def test_a_contract_that_is_there_is_replaced_only_when_asked(workbench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(suite(TYPED, new=True)))
    path = Path(workbench.contract("c", suite=str(file)).path)
    path.write_text(path.read_text().replace("maximum: 50.0", "maximum: 99.0"))
    with pytest.raises(Conflict, match="already, and people may have edited it"):
        workbench.contract("c", suite=str(file))
    assert workbench.contract("c").contract.columns["wind"].maximum == 99.0
    workbench.contract("c", suite=str(file), replace=True)
    assert workbench.contract("c").contract.columns["wind"].maximum == 50.0
    for options in ({"replace": True}, {"data": "train", "suite": str(file)}):
        with pytest.raises(UsageError):
            workbench.contract("c", **options)  # type: ignore[arg-type]


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
_KNOWN = ["column", "min_value", "max_value", "value", "value_set", "regex", "type_", "type_list"]
arguments = st.dictionaries(
    st.sampled_from(
        [
            "column",
            "mostly",
            "min_value",
            "max_value",
            "value",
            "value_set",
            "regex",
            "type_",
            "type_list",
            "column_set",
            "column_list",
            "exact_match",
            "strict_min",
            "row_condition",
        ]
    ),
    anything,
    max_size=4,
)
sensible = st.fixed_dictionaries(
    {"column": st.sampled_from("abc"), "mostly": st.sampled_from([1, 1, 0.9])},
    optional={
        "min_value": st.integers(0, 9),
        "max_value": st.integers(0, 9),
        "value_set": st.lists(st.one_of(st.integers(0, 9), st.text(max_size=2)), max_size=3),
        "regex": st.sampled_from(["a", "^b$", "["]),
        "type_": st.sampled_from(["int", "str", "float64", "struct"]),
    },
)
labels = st.sampled_from([*_COLUMN, *_WHOLE, "expect_column_mean_to_be_between"])
expectations = st.one_of(
    st.builds(lambda t, k: {"type": t, "kwargs": k}, labels, st.one_of(sensible, arguments)),
    st.builds(lambda t, k: {"expectation_type": t, "kwargs": k}, labels, st.one_of(sensible, arguments)),
    anything,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(expectations, max_size=8))
def test_any_suite_is_carried_over_or_listed_and_makes_a_valid_file(
    tmp_path_factory: Any, listed: list[Any]
) -> None:
    imported = from_suite(listed, "c")
    assert imported.carried + len(imported.left_out) == len(listed)
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    contracts.write(imported.contract, path)
    jsonschema.validate(yaml.safe_load(path.read_text()), contracts.schema())
    assert contracts.read(path) == imported.contract
