"""What a contract can demand, how it is inferred and written, and what is reported when it does not hold."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import trips

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.data import checking, contracts, inferring, keys
from mlops_workbench.data.contracts import ColumnRule, Contract, Freshness, RowCount
from mlops_workbench.data.verdict import Checked, ContractReport, breaches

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD = """\
# Data contract: edit it, review it, keep it in git.
contract: flights
extra_columns: false
columns:
  hour: {type: number, nullable: false, minimum: 0.0, maximum: 30.5, level: warn}
  carrier:
    type: text
    nullable: true
    values: [AA, UA]
    unique: true
    level: error
"""


def found(frame: pd.DataFrame, **parts: Any) -> list[tuple[str, str, str, int]]:
    columns = parts.pop("columns", {name: ColumnRule("any", nullable=True) for name in frame.columns})
    checks = checking.check(frame, Contract("c", columns, **parts), now=NOW)
    return [(b.column, b.check, b.level, b.count) for b in breaches(checks)]


A_RULE = [
    (ColumnRule("number", missing=0.5), [1.0, None, None], ("more than 50 % missing", "warn", 2)),
    (
        ColumnRule("number", nullable=True, maximum=3, level="error"),
        [5.0, 1.0, None],
        ("above 3", "error", 1),
    ),
    (ColumnRule("number", values=(1.0, 2.0)), [1, 2, 3], ("value is not in the list", "warn", 1)),
    (ColumnRule("text", pattern="^[A-Z]{2}$"), ["AA", "UAL", "B"], ("does not match ^[A-Z]{2}$", "warn", 2)),
    (ColumnRule("text", unique=True), ["a", "b", "a"], ("value occurs twice", "error", 2)),
    (ColumnRule("number", unique=True), [1, 1, 2], ("value occurs twice", "error", 2)),
    (ColumnRule("boolean"), ["x", "y", "z"], ("type is text, must be boolean", "error", 3)),
    (ColumnRule("text", values=("[1]",)), [[1], [2], None], ("value is missing", "error", 1)),
    (ColumnRule("text", pattern="1"), [[1], [2], [1]], ("does not match 1", "warn", 1)),
]


@pytest.mark.parametrize(("rule", "values", "wanted"), A_RULE)
def test_each_rule_finds_what_breaks_it(rule: ColumnRule, values: list[Any], wanted: tuple[Any, ...]) -> None:
    assert ("a", *wanted) in found(pd.DataFrame({"a": values}), columns={"a": rule})


KEPT = [
    (ColumnRule("number", missing=0.5), [1.0, None]),
    (ColumnRule("text", nullable=True, unique=True), ["a", None, None]),
    (ColumnRule("text", nullable=True, pattern="^a"), ["ab", None]),
    (ColumnRule("number", nullable=True, minimum=0, values=(1.0,)), pd.array([1, None], dtype="Int64")),
    (ColumnRule("text", values=("1", "x")), [1, "x"]),
    (ColumnRule("text", values=("1", "2")), pd.Categorical([1, 2])),
    (ColumnRule("number", missing=1.0), [None, None]),
    (ColumnRule("any"), [{}, 3]),
]


@pytest.mark.parametrize(("rule", "values"), KEPT)
def test_each_rule_lets_pass_what_keeps_it(rule: ColumnRule, values: Any) -> None:
    assert found(pd.DataFrame({"a": values}), columns={"a": rule}) == []


def test_the_table_as_a_whole() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2], "b": [1, 1, 1], "t": pd.to_datetime(["2026-11-19"] * 3)})
    assert found(frame, unique=(("a", "b"),)) == [("", "a + b occurs twice", "error", 2)]
    assert found(frame, unique=(("a", "b", "t"),))[0][3] == 2
    assert found(frame, rows=RowCount(4)) == [("", "fewer than 4 rows", "warn", 3)]
    assert found(frame, rows=RowCount(1, 2, "error")) == [("", "more than 2 rows", "error", 3)]
    assert found(frame, rows=RowCount(3, 3)) == []
    stale = ("", "newest t is older than 36h", "warn", 3)
    assert found(frame, freshness=Freshness("t", "36h")) == [stale]
    assert found(frame, freshness=Freshness("t", "3d")) == []
    there = frame.assign(t=frame["t"].dt.tz_localize("Asia/Tokyo"))
    assert found(there, freshness=Freshness("t", "3d")) == []


class Odd:
    """A value that cannot be looked at."""

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError("do not look")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare")


def test_a_check_that_raises_is_a_breach_and_hides_nothing() -> None:
    frame = pd.DataFrame(
        {"odd": pd.Series([Odd(), Odd(), Odd()], dtype=object), "a": [1, 2, 9], "b": ["x", "y", "x"]}
    )
    rules = {
        "odd": ColumnRule("text", values=("x",), pattern="x", unique=True),
        "a": ColumnRule("number", maximum=5),
        "b": ColumnRule("text", unique=True),
    }
    seen = found(frame, columns=rules, unique=(("odd", "a"),))
    assert {column for column, *_ in seen} == {"", "odd", "a", "b"}
    assert all("cannot be checked" in check for column, check, *_ in seen if column in ("", "odd"))


def test_doubled_row_labels_and_a_switched_off_pandera_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pandera import config

    monkeypatch.setattr(config.CONFIG, "validation_enabled", False)
    config.reset_config_context()
    try:
        frame = pd.DataFrame({"a": [1, 2, 9]}, index=[7, 7, 7])
        assert found(frame, columns={"a": ColumnRule("number", maximum=1)}) == [("a", "above 1", "warn", 2)]
    finally:
        monkeypatch.undo()
        config.reset_config_context()


def test_the_frame_is_left_as_it_was() -> None:
    frame = trips()
    before = frame.copy()
    checking.check(frame, inferring.infer_contract(frame, "c"))
    pd.testing.assert_frame_equal(frame, before)
    assert frame.pandera.schema is None


def test_examples_are_few_short_and_of_different_values() -> None:
    frame = pd.DataFrame({"a": ["long\n" * 50, "x", "x", "y", "z"] * 1000, "b": 1, "c": 2, "d": 3, "e": 4})
    (breach,) = breaches(
        checking.check(frame, Contract("c", {"a": ColumnRule("text", values=("q",))}, extra_columns=True))
    )
    assert breach.count == 5000
    assert breach.share == 1.0
    assert breach.examples[1:] == ("x", "y")
    assert len(breach.examples[0]) == checking.WIDTH
    assert "\n" not in breach.examples[0]
    assert [row.index for row in breach.rows] == ["0", "1", "2"]
    assert dict(breach.rows[1].values) == {"a": "x", "b": "1", "c": "2", "d": "3"}


def test_progress_is_told_column_by_column() -> None:
    told: list[tuple[str, float | None]] = []
    frame = trips()
    checking.check(
        frame, inferring.infer_contract(frame, "c"), progress=lambda m, f=None: told.append((m, f))
    )
    shares = [share for _, share in told if share is not None]
    assert shares == sorted(shares)
    assert [m for m, _ in told if m.startswith("column")] == [
        f"column {i + 1} of 5: {name}" for i, name in enumerate(frame.columns)
    ]


# inferring


def test_what_is_inferred() -> None:
    rows = 100
    frame = pd.DataFrame(
        {
            "id": range(rows),
            "code": [f"x{i}" for i in range(rows)],
            "size": np.linspace(0, 1, rows),
            "gaps": [None if i < 4 else 1.0 for i in range(rows)],
            "kind": ["a", "b"] * (rows // 2),
            "at": [NOW.replace(tzinfo=None) - timedelta(hours=i + 30) for i in range(rows)],
            "born": pd.to_datetime("1990-01-01"),
        }
    )
    made = inferring.infer_contract(frame, "c", now=NOW)
    assert {name for name, rule in made.columns.items() if rule.unique} == {"id", "code"}
    assert made.rows == RowCount(10, 1000, "warn")
    assert made.freshness == Freshness("at", "60h", "warn")
    assert (made.columns["gaps"].nullable, made.columns["gaps"].missing) == (True, 0.08)
    assert made.columns["kind"].values == ("a", "b")
    assert inferring.infer_contract(frame, "c", now=NOW + timedelta(days=60)).freshness is None
    assert checking.check(frame, made, now=NOW)
    assert breaches(checking.check(frame, made, now=NOW)) == ()


numbers = st.one_of(
    st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=25, max_size=25),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=1).map(
        lambda v: v * 25
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=25, max_size=25),
)
texts = st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers(0, 3)), min_size=25, max_size=25)
times = st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), min_size=25, max_size=25)


@settings(deadline=None, max_examples=60)
@given(numbers, texts, times)
def test_data_always_keep_the_contract_inferred_from_them(n: list[Any], t: list[Any], at: list[Any]) -> None:
    frame = pd.DataFrame(
        {"n": n, "t": pd.Series(t, dtype=object), "at": pd.Series(at, dtype="datetime64[us]")}
    )
    frame = frame[[c for c in frame.columns if frame[c].notna().any()]]
    made = inferring.infer_contract(frame, "c", now=NOW)
    assert breaches(checking.check(frame, made, now=NOW)) == ()


# the file

cell_texts = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8)
limits = st.one_of(st.none(), st.floats(-1e9, 1e9))


@st.composite
def rules(draw: Any) -> ColumnRule:
    kind = draw(st.sampled_from(keys.TYPES))
    nullable = draw(st.booleans())
    of = st.floats(-1e6, 1e6) if kind == "number" else cell_texts
    return ColumnRule(
        kind,
        nullable,
        draw(st.one_of(st.none(), st.floats(0.01, 1))) if nullable else None,
        draw(limits),
        draw(limits),
        draw(st.one_of(st.none(), st.lists(of, max_size=4).map(tuple))),
        draw(st.sampled_from([None, "^a+$", r"\d", "ü|:"])),
        draw(st.booleans()),
        draw(st.sampled_from(keys.LEVELS)),
    )


@st.composite
def whole_contracts(draw: Any) -> Contract:
    columns = draw(st.dictionaries(cell_texts, rules(), min_size=1, max_size=4))
    some = st.sampled_from(sorted(columns))
    count = st.one_of(st.none(), st.integers(0, 10**9))
    return Contract(
        draw(cell_texts),
        columns,
        draw(st.booleans()),
        draw(st.one_of(st.none(), st.builds(RowCount, count, count, st.sampled_from(keys.LEVELS)))),
        draw(st.one_of(st.none(), st.builds(Freshness, some, st.sampled_from(["36h", "7d", "1.5w"])))),
        draw(st.lists(st.lists(some, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple)),
    )


@settings(deadline=None, max_examples=60)
@given(whole_contracts())
def test_a_written_contract_reads_the_same_and_fits_its_schema(tmp_path_factory: Any, made: Contract) -> None:
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    contracts.write(made, path)
    assert contracts.read(path) == made
    assert contracts.read(path).digest == made.digest
    schema = json.loads(path.with_name(contracts.SCHEMA_FILE).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_the_file_says_where_its_schema_is(tmp_path: Path) -> None:
    path = tmp_path / "contracts" / "c.yaml"
    contracts.write(inferring.infer_contract(trips(), "c"), path)
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./contract.schema.json"
    assert sorted(p.name for p in path.parent.iterdir()) == ["c.yaml", "contract.schema.json"]


def test_a_file_of_before_is_still_a_contract(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(OLD)
    made = contracts.read(path)
    assert made.columns["hour"] == ColumnRule("number", minimum=0.0, maximum=30.5)
    assert made.columns["carrier"] == ColumnRule(
        "text", True, values=("AA", "UA"), unique=True, level="error"
    )
    assert (made.rows, made.freshness, made.unique) == (None, None, ())
    jsonschema.validate(yaml.safe_load(OLD), contracts.schema())


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("rows: {minimum: -1}", "minimum of rows must be a whole number from 0 up. Got -1 instead"),
        ("rows: {least: 1}", "rows has no key 'least'"),
        ("rows: many", "rows must have keys with values. Got 'many' instead"),
        ("freshness: {column: a}", "within of freshness must be a duration such as 36h"),
        (
            "freshness: {column: a, within: 36 hours}",
            "must be a duration such as 36h, 7d or 2w. Got '36 hours'",
        ),
        (
            "freshness: {column: aa, within: 36h}",
            "names a column 'aa' that is not in 'columns'. Did you mean 'a'",
        ),
        ("unique: [a]", "unique of the contract must be a list of lists of columns. Got ..a.. instead"),
        ("unique: [[a, q]]", "names a column 'q'"),
        ("columns: {a: {type: text, pattern: '['}}", "pattern of column 'a' must be a regular expression"),
        (
            "columns: {a: {type: text, missing: 2}}",
            "missing of column 'a' must be a share from 0 to 1. Got 2",
        ),
        ("columns: {a: {type: text, nullable: false, missing: 0.1}}", "but nullable is false"),
        ("columns: {a: {type: text, values: [NO, SE]}}", "put it in quotes"),
        (
            "columns: {a: {type: number, values: [x]}}",
            "each of values of column 'a' must be a number. Got 'x'",
        ),
        ("columns: {a: {nullable: true}}", "type of column 'a' must be one of"),
    ],
)
def test_a_wrong_key_names_its_place(tmp_path: Path, lines: str, sentence: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(lines + ("" if lines.startswith("columns") else "\ncolumns: {a: {type: any}}"))
    with pytest.raises(InvalidConfig, match=sentence.replace("[", r"\[")):
        contracts.read(path)
    wrong = yaml.safe_load(path.read_text())
    if not any(
        word in sentence for word in ("names a column", "nullable is false", "each of", "quotes", "regular")
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, contracts.schema())


# the report


def report(*checks: Checked) -> ContractReport:
    return ContractReport(
        "c", "data", 10, 2, False, checks, "/p/contracts/c.yaml", "d" * 64, "e" * 64, "2026"
    )


def test_the_report_reads_the_same_in_every_form() -> None:
    frame = trips().assign(hour=500)
    frame.loc[3, "carrier"] = "<b>&"
    made = report(*checking.check(frame, inferring.infer_contract(trips(), "c")))
    assert made.passed
    assert made.verdict == "warned"
    raw = made.to_dict()
    json.dumps(raw)
    assert {b["column"] for b in raw["breaches"]} == {"hour", "carrier"}
    assert raw["kept"]["hour"] == ["is of type number", "no value missing", "no value infinite", "at least 0"]
    for shown in (made._repr_html_(), made.page()):
        assert "above 30.5 (800 rows)" in shown
        assert "&lt;b&gt;&amp;" in shown
        assert "<b>&" not in shown
        assert shown.count("<details") >= 5
    assert made.page().startswith("<!doctype html>")
    assert "d" * 12 in made.page()
    lines = made.text().splitlines()
    assert ": 2 warnings" in lines[0]
    assert [line.split()[1] for line in lines[2:]] == ["carrier", "hour"]


def test_an_error_is_broken_and_nothing_amiss_is_kept() -> None:
    assert report(Checked("a", "r", "p", "error", False, 1, 0.1)).verdict == "broken"
    assert report(Checked("a", "r", "", "error", True)).verdict == "kept"
    assert report(Checked("a", "r", "p", "warn", False, 1, 0.00001)).table()[1][0][4] == "< 0.1%"


def test_many_columns_that_hold_are_folded_into_one_line() -> None:
    shown = report(*(Checked(f"c{i}", "r", "", "error", True) for i in range(60)))._repr_html_()
    assert "60 columns keep all their checks" in shown
    assert math.isclose(shown.count("<details"), 61)


def test_the_worst_columns_come_first_with_their_mark() -> None:
    shown = report(
        Checked("held", "r", "", "error", True),
        Checked("noted", "r", "p", "warn", False, 1, 0.1),
        Checked("wrong", "r", "p", "error", False, 1, 0.1),
        Checked("wrong", "r2", "p", "warn", False, 1, 0.1),
    )._repr_html_()
    places = [shown.index(name) for name in ("✗", "wrong", "noted", "✓", "held")]
    assert places == sorted(places)
