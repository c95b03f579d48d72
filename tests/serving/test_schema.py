"""What a request may be: rows in every legal form pass unchanged, all else is told with row and column."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import model_folders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.schema import ParsedRequest, PredictSchema, as_text

GOOD = {"dep delay": 1.5, "größe": 2, "seats": 100, "carrier": "AA", "night": True, "sched": "2026-01-01"}


def _manifest(inputs: tuple[Field, ...], **values: Any) -> Manifest:
    return Manifest(
        name="m",
        task="classification",
        inputs=inputs,
        model_file="model.skops",
        serialization="skops",
        trusted=(),
        sha256="0",
        python="3.11",
        requirements=(),
        **values,
    )


SCHEMA = PredictSchema(model_folders.INPUTS, max_rows=3)


def _parse(body: Any, schema: PredictSchema = SCHEMA) -> ParsedRequest:
    return schema.parse(body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_good_row() -> None:
    call = _parse({"rows": [GOOD], "request_id": "r-1"})
    assert call.request_id == "r-1"
    assert call.rows == [GOOD | {"sched": datetime(2026, 1, 1)}]


def test_nullable_columns_may_be_null_or_absent() -> None:
    assert _parse({"rows": [{"seats": 1, "night": False, "carrier": None}]}).rows == [
        {"seats": 1, "night": False, "carrier": None}
    ]


def test_a_whole_number_may_have_a_point() -> None:
    (row,) = _parse({"rows": [GOOD | {"seats": 100.0}]}).rows
    assert row["seats"] == 100
    assert type(row["seats"]) is int


def test_times_with_a_zone_are_kept_and_logged_in_utc() -> None:
    (row,) = _parse({"rows": [GOOD | {"sched": "2026-01-01T02:00:00+02:00"}]}).rows
    assert row["sched"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert as_text(row["sched"]) == "2026-01-01T00:00:00"


BAD_BODIES = [
    (b"", "InvalidJson", "not JSON"),
    (b"{", "InvalidJson", "not JSON"),
    (b"\xff\xfe", "InvalidJson", "not JSON"),
    (b"[" * 100_000, "InvalidJson", "recursion"),
    (rb'{"rows": [{"carrier": "\ud800"}]}', "InvalidJson", "not JSON"),
    ([GOOD], "InvalidData", "must be an object"),
    ({}, "InvalidData", "has no 'rows'"),
    ({"rows": []}, "InvalidData", "'rows' is empty"),
    ({"rows": GOOD}, "InvalidData", "'rows' must be a list"),
    ({"rows": [GOOD] * 4}, "InvalidData", "more than 3 rows"),
    ({"rows": [[1, 2]]}, "InvalidData", "Row 0 must be an object"),
    ({"rows": [GOOD], "id": 1}, "InvalidData", "The body has 'id'"),
    ({"rows": [GOOD], "request_id": 5}, "InvalidData", "'request_id' must be a text"),
    ({"rows": [GOOD], "request_id": "a b"}, "InvalidData", "visible ASCII"),
    ({"rows": [GOOD], "request_id": "ä"}, "InvalidData", "visible ASCII"),
    ({"rows": [GOOD], "request_id": "x" * 201}, "InvalidData", "1 to 200"),
]

BAD_CELLS = [
    ("dep delay", "1.5", "a finite number"),
    ("dep delay", True, "a finite number"),
    ("dep delay", [1], "a finite number"),
    ("dep delay", math.nan, "a finite number"),
    ("dep delay", math.inf, "a finite number"),
    ("größe", -math.inf, "a finite number"),
    ("größe", 10**400, "a finite number"),
    ("seats", 1.5, "a whole number"),
    ("seats", 2**63, "a whole number"),
    ("seats", True, "a whole number"),
    ("seats", "1", "a whole number"),
    ("seats", None, "a whole number"),
    ("carrier", 1, "a text"),
    ("carrier", "A\x00A", "NUL"),
    ("night", 1, "true or false"),
    ("night", "true", "true or false"),
    ("night", None, "true or false"),
    ("sched", 1767225600, "ISO 8601"),
    ("sched", "yesterday", "ISO 8601"),
    ("sched", "9999-12-31T00:00:00", "between the years 1678"),
    ("sched", "0001-01-01", "between the years 1678"),
]


@pytest.mark.parametrize(("body", "kind", "says"), BAD_BODIES)
def test_bad_bodies(body: Any, kind: str, says: str) -> None:
    with pytest.raises(ServingError) as caught:
        _parse(body)
    assert caught.value.kind == kind
    assert 400 <= caught.value.status < 500
    assert says in caught.value.message


@pytest.mark.parametrize(("column", "value", "says"), BAD_CELLS)
def test_bad_cells_name_row_and_column(column: str, value: Any, says: str) -> None:
    with pytest.raises(ServingError) as caught:
        _parse({"rows": [GOOD, GOOD | {column: value}]})
    assert caught.value.status == 422
    assert caught.value.message.startswith(f"Row 1: the column '{column}' must be")
    assert says in caught.value.message
    assert len(caught.value.message) < 300


def test_a_missing_column_that_must_be_there() -> None:
    with pytest.raises(ServingError, match="Row 0 has no 'seats', which must have a value"):
        _parse({"rows": [{"night": True}]})


def test_an_unknown_column_gets_a_suggestion() -> None:
    with pytest.raises(
        ServingError, match=r"'dep_delay', which this model does not take\. Did you mean 'dep delay'"
    ):
        _parse({"rows": [GOOD | {"dep_delay": 1}]})


def test_many_errors_are_counted() -> None:
    with pytest.raises(ServingError, match="And 4 more"):
        _parse({"rows": [GOOD | {f"u{i}": 1 for i in range(7)}]})


def test_any_column_name_works() -> None:
    names = [
        "class",
        "a b",
        "ümläut",
        "x.y",
        "__class__",
        "model_x",
        "_p",
        'q"',
        "100%",
        "日本",
        "rows",
        "self",
    ]
    schema = PredictSchema(tuple(Field(n, "double") for n in names), max_rows=3)
    row = {n: float(i) for i, n in enumerate(names)}
    assert _parse({"rows": [row]}, schema).rows == [row]


_CELLS = st.fixed_dictionaries(
    {"seats": st.integers(-(2**63), 2**63 - 1), "night": st.booleans()},
    optional={
        "dep delay": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "carrier": st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        "sched": st.none()
        | st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31)).map(datetime.isoformat),
    },
)


@given(st.lists(_CELLS, min_size=1, max_size=3))
def test_every_legal_row_passes_unchanged(rows: list[dict[str, Any]]) -> None:
    parsed = _parse({"rows": rows}).rows
    times = [r | {"sched": r["sched"].isoformat()} if r.get("sched") else r for r in parsed]
    assert times == rows


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_no_json_at_all_is_an_unexpected_error(body: Any) -> None:
    with pytest.raises(ServingError):
        _parse(json.dumps({"rows": body}).encode())


def test_openapi_example_is_the_sample() -> None:
    manifest = _manifest(model_folders.INPUTS, sample=(GOOD,), classes=("late", "on time"))
    schema = PredictSchema(manifest.inputs, max_rows=3)
    described = schema.request_schema(manifest.sample)
    assert described["examples"] == [{"rows": [GOOD]}]
    assert described["$defs"]["Row"]["required"] == ["seats", "night"]
    assert schema.response_schema(manifest)["properties"]["predictions"]["items"] == {"type": "string"}
