"""A Great Expectations suite (0.x or 1.x) as a contract. What has no counterpart is listed, never dropped silently.

Only the JSON file is read; Great Expectations itself is not needed. A suite demands nothing that it does not
say: columns may have gaps, further columns are allowed, and a column whose type is not given may be of any.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.base.values import is_number
from mlops_workbench.data.contracts import ColumnRule, Contract, RowCount

_TYPES = {
    "number": "int int8 int16 int32 int64 uint8 uint16 uint32 uint64 integer bigint smallint long float float32 "
    "float64 float_ double decimal numeric number real doubletype integertype longtype floattype int_",
    "text": "str string object varchar char text nvarchar stringtype str_ category",
    "boolean": "bool boolean bool_ booleantype",
    "time": "datetime datetime64 datetime64[ns] datetime64[us] timestamp timestamptype datetype date datetime_",
}
_TYPE_OF = {word: kind for kind, words in _TYPES.items() for word in words.split()}
_IGNORED = {
    "column",
    "mostly",
    "result_format",
    "catch_exceptions",
    "include_config",
    "batch_id",
    "meta",
    "severity",
}
_EMPTY: tuple[Any, ...] = (None, [], {}, "", False)


class _NotCarried(Exception):
    """Why one expectation has no counterpart."""


@dataclass
class _Draft:
    """The contract in the making. Two expectations of one column narrow each other."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    levels: dict[str, set[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    rows_levels: set[str] = field(default_factory=set)
    unique: list[tuple[str, ...]] = field(default_factory=list)
    extra: bool = True

    def narrow(self, column: str, key: str, value: Any) -> None:
        rule = self.columns.setdefault(column, {})
        if key not in rule:
            rule[key] = value
        elif key == "minimum":
            rule[key] = max(rule[key], value)
        elif key in ("maximum", "missing"):
            rule[key] = min(rule[key], value)
        elif key == "values":
            rule[key] = [one for one in rule[key] if one in value]
        elif rule[key] != value:
            raise _NotCarried(f"a contract has one {key} a column, and another is set already")


@dataclass(frozen=True)
class Imported:
    """The contract, how many expectations went into it, and those that did not, each with its reason."""

    contract: Contract
    carried: int
    left_out: tuple[str, ...]


def read_suite(path: Path, name: str) -> Imported:
    """Raises `NotFound`, or `InvalidData` for what is no suite."""
    if not path.is_file():
        raise NotFound(f"There is no file '{path}'.", "Check the path.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as problem:
        raise InvalidData(f"'{path}' is not JSON: {problem}.", "Give the suite's JSON file.") from None
    listed = raw.get("expectations") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise InvalidData(f"'{path}' has no list 'expectations'.", "Give a Great Expectations suite.")
    return from_suite(listed, name)


def from_suite(expectations: list[Any], name: str) -> Imported:
    draft = _Draft()
    left_out = []
    for one in expectations:
        label, kwargs = _told(one)
        try:
            _carry(draft, one, label, kwargs)
        except _NotCarried as reason:
            place = f" of '{kwargs['column']}'" if isinstance(kwargs.get("column"), str) else ""
            left_out.append(f"{label}{place}: {reason}")
    columns = {c: _rule(rule, draft.levels.get(c, set())) for c, rule in draft.columns.items()}
    rows = RowCount(**draft.rows, level=_level(draft.rows_levels)) if draft.rows else None
    made = Contract(name, columns, extra_columns=draft.extra, rows=rows, unique=tuple(draft.unique))
    return Imported(made, len(expectations) - len(left_out), tuple(left_out))


def _told(one: Any) -> tuple[str, Mapping[str, Any]]:
    """Its type (named `expectation_type` in 0.x, `type` in 1.x) and its arguments."""
    if not isinstance(one, dict):
        return repr(one)[:60], {}
    kwargs = one.get("kwargs")
    return str(one.get("expectation_type") or one.get("type") or "?"), kwargs if isinstance(
        kwargs, dict
    ) else {}


def _carry(draft: _Draft, one: Any, label: str, kwargs: Mapping[str, Any]) -> None:
    if label in _WHOLE:
        level = _WHOLE[label](draft, kwargs)
        if level:
            draft.rows_levels.add(_severity(one, kwargs))
        return
    if label not in _COLUMN:
        raise _NotCarried("a contract has no such check")
    column = kwargs.get("column")
    if not isinstance(column, str):
        raise _NotCarried("it names no column")
    mostly = kwargs.get("mostly", 1)
    if not is_number(mostly) or (mostly != 1 and label not in _WITH_SHARE):
        raise _NotCarried(f"mostly {mostly}: a contract's check is of all values")
    convert, known = _COLUMN[label]
    _only(kwargs, known)
    limits = convert(kwargs)
    probe = {k: dict(v) for k, v in draft.columns.items()}
    try:
        for key, value in limits.items():
            draft.narrow(column, key, value)
    except _NotCarried:
        draft.columns = probe  # all of an expectation, or nothing of it
        raise
    draft.columns.setdefault(column, {})
    if set(limits) & {"missing", "minimum", "maximum", "values", "pattern"}:
        draft.levels.setdefault(column, set()).add(_severity(one, kwargs))


def _only(kwargs: Mapping[str, Any], known: set[str]) -> None:
    """An argument that changes the meaning must not get lost: a condition on rows, strict limits."""
    for key, value in kwargs.items():
        if key not in known | _IGNORED and value not in _EMPTY:
            raise _NotCarried(f"{key} has no counterpart")
        if isinstance(value, dict) and "$PARAMETER" in value:
            raise _NotCarried(f"{key} is a parameter that is set at run time")


def _severity(one: Any, kwargs: Mapping[str, Any]) -> str:
    """1.x knows critical, warning and info; in 0.x what fails fails."""
    severity = (
        str(one.get("severity") or kwargs.get("severity") or "critical") if isinstance(one, dict) else ""
    )
    return "warn" if severity in ("warning", "info") else "error"


def _level(levels: set[str]) -> str:
    return "warn" if levels == {"warn"} else "error"


def _rule(limits: Mapping[str, Any], levels: set[str]) -> ColumnRule:
    given = dict(limits)
    values = given.pop("values", None)
    kind = given.pop("type", None) or _guess(given, values)
    if kind == "number" and values is not None and not all(map(is_number, values)):
        kind = "any"  # texts in a column of numbers: the suite means what is written there
    if given.get("nullable") is False:
        given.pop("missing", None)
    if values is not None:
        values = tuple(float(v) for v in values) if kind == "number" else tuple(str(v) for v in values)
    given.setdefault("nullable", True)
    return ColumnRule(type=kind, values=values, level=_level(levels) if levels else "warn", **given)


def _guess(limits: Mapping[str, Any], values: list[Any] | None) -> str:
    """What the limits say of the type; `any` where they say nothing."""
    if "minimum" in limits or "maximum" in limits or (values and all(map(is_number, values))):
        return "number"
    return "text" if "pattern" in limits or (values and all(isinstance(v, str) for v in values)) else "any"


# expectations of one column: their arguments to keys of its rule


def _between(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for theirs, ours in (("min_value", "minimum"), ("max_value", "maximum")):
        value = kwargs.get(theirs)
        if value is None:
            continue
        if not is_number(value):
            raise _NotCarried(f"{theirs} {value!r} is not a number")
        found[ours] = float(value)
    if not found:
        raise _NotCarried("it has no limit")
    return found


def _one_side(theirs: str, other: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """`min_value` of a column's smallest value is its minimum; a limit on the other side is another thing."""

    def convert(kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if kwargs.get(other) is not None:
            raise _NotCarried(f"{other} of an extreme has no counterpart")
        return _between({theirs: kwargs.get(theirs)})

    return convert


def _values(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    values = kwargs.get("value_set")
    if not isinstance(values, list):
        raise _NotCarried("value_set is no list")
    if not values or any(isinstance(v, bool) or not (is_number(v) or isinstance(v, str)) for v in values):
        raise _NotCarried("value_set must hold texts or numbers")
    return {"values": values}


def _pattern(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"pattern": re.compile(kwargs["regex"]).pattern}
    except (KeyError, TypeError, re.error):
        raise _NotCarried("its regex cannot be read") from None


def _lengths(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    least, most = kwargs.get("min_value"), kwargs.get("max_value")
    if "value" in kwargs:
        least = most = kwargs["value"]
    _whole_numbers(least, most)
    if least is not None and most is not None and least > most:
        raise _NotCarried(f"no text is between {least} and {most} long")
    return {"pattern": rf"(?s)\A.{{{least or 0},{'' if most is None else most}}}\Z"}


def _whole_numbers(*limits: Any) -> None:
    given = [limit for limit in limits if limit is not None]
    if not given or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given):
        raise _NotCarried("its limits are no whole numbers")


def _not_null(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    mostly = kwargs.get("mostly", 1)
    if not 0 <= mostly <= 1:
        raise _NotCarried(f"mostly {mostly} is no share")
    return {"missing": round(1 - mostly, 12)} if mostly < 1 else {"nullable": False}


def _present(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    least = kwargs.get("min_value")
    if kwargs.get("max_value") not in (None, 1) or not is_number(least):
        raise _NotCarried("only a smallest share of values has a counterpart")
    return _not_null({"mostly": least})


def _type(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    named = kwargs.get("type_") or kwargs.get("type_list")
    words = named if isinstance(named, list) else [named]
    kinds = {_TYPE_OF.get(str(word).lower()) for word in words}
    if len(kinds) != 1 or None in kinds:
        raise _NotCarried(f"{', '.join(map(str, words))} is not one type of a contract")
    return {"type": kinds.pop()}


_LIMITS = {"min_value", "max_value"}
_COLUMN: dict[str, tuple[Callable[[Mapping[str, Any]], dict[str, Any]], set[str]]] = {
    "expect_column_to_exist": (lambda _: {}, set()),
    "expect_column_values_to_not_be_null": (_not_null, set()),
    "expect_column_proportion_of_non_null_values_to_be_between": (_present, _LIMITS),
    "expect_column_values_to_be_unique": (lambda _: {"unique": True}, set()),
    "expect_column_values_to_be_between": (_between, _LIMITS),
    "expect_column_min_to_be_between": (_one_side("min_value", "max_value"), _LIMITS),
    "expect_column_max_to_be_between": (_one_side("max_value", "min_value"), _LIMITS),
    "expect_column_values_to_be_in_set": (_values, {"value_set"}),
    "expect_column_distinct_values_to_be_in_set": (_values, {"value_set"}),
    "expect_column_values_to_match_regex": (_pattern, {"regex"}),
    "expect_column_value_lengths_to_be_between": (_lengths, _LIMITS),
    "expect_column_value_lengths_to_equal": (_lengths, {"value"}),
    "expect_column_values_to_be_of_type": (_type, {"type_"}),
    "expect_column_values_to_be_in_type_list": (_type, {"type_list"}),
}
_WITH_SHARE = {"expect_column_values_to_not_be_null"}


# expectations of the table: whether they limit the number of rows


def _row_count(draft: _Draft, kwargs: Mapping[str, Any]) -> bool:
    _only(kwargs, _LIMITS | {"value"})
    exact = kwargs.get("value")
    least, most = kwargs.get("min_value", exact), kwargs.get("max_value", exact)
    _whole_numbers(least, most)
    if least is not None:
        draft.rows["minimum"] = max(draft.rows.get("minimum", least), least)
    if most is not None:
        draft.rows["maximum"] = min(draft.rows.get("maximum", most), most)
    return True


def _column_set(draft: _Draft, kwargs: Mapping[str, Any]) -> bool:
    _only(kwargs, {"column_set", "exact_match"})
    columns = kwargs.get("column_set")
    if not isinstance(columns, list) or not all(isinstance(c, str) for c in columns):
        raise _NotCarried("column_set is no list of names")
    for column in columns:
        draft.columns.setdefault(column, {})
    if kwargs.get("exact_match", True) is not False:
        draft.extra = False
    return False


def _compound(draft: _Draft, kwargs: Mapping[str, Any]) -> bool:
    columns = kwargs.get("column_list")
    if not isinstance(columns, list) or not columns or not all(isinstance(c, str) for c in columns):
        raise _NotCarried("column_list is no list of names")
    if kwargs.get("mostly", 1) != 1:
        raise _NotCarried(f"mostly {kwargs['mostly']}: a contract's check is of all rows")
    _only(kwargs, {"column_list", "ignore_row_if"})
    if kwargs.get("ignore_row_if") not in (None, "never", "all_values_are_missing"):
        raise _NotCarried("ignore_row_if has no counterpart")
    for column in columns:
        draft.columns.setdefault(column, {})
    if tuple(columns) not in draft.unique:
        draft.unique.append(tuple(columns))
    return False


_WHOLE: dict[str, Callable[[_Draft, Mapping[str, Any]], bool]] = {
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": _row_count,
    "expect_table_columns_to_match_set": _column_set,
    "expect_compound_columns_to_be_unique": _compound,
}
