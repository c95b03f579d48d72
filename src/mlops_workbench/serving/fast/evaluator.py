"""Rows → features → answers, for the rows that a plan is proven for; the others are named and left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_workbench.serving.answers import Row
from mlops_workbench.serving.fast.estimators import KINDS, LABELS, LINKS, Floats
from mlops_workbench.serving.fast.plan import Plan

_NONE = type(None)
_TAKES: dict[str, frozenset[type]] = {
    "double": frozenset({float, int, _NONE}),
    "long": frozenset({float, int, _NONE}),
    "boolean": frozenset({bool, _NONE}),
    "string": frozenset({str, _NONE}),
    "datetime": frozenset({datetime, _NONE}),
}
_INT64 = 2**63
_HUGE = 1e100
"""numbers beyond it, infinities too, go to the original: a step of it may overflow, and refuse them then"""


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers to the rows that are not `left`, in their order; `left`: positions of rows for the original."""

    values: list[Any]
    probabilities: list[list[float]] | None
    left: list[int]


class Evaluator:
    """A plan that is ready to answer. Holds no state between calls."""

    def __init__(self, plan: Plan) -> None:
        spec, arrays = plan.header, plan.arrays
        self._inputs = [(str(c["name"]), str(c["kind"]), bool(c["nullable"])) for c in spec["inputs"]]
        self._numbers = [str(name) for name in spec["numbers"]]
        self._whole = frozenset(
            name for name, kind, nullable in self._inputs if kind == "long" and not nullable
        )
        self._width = int(spec["features"])
        self._programs = [_Program(p, arrays) for p in spec["programs"]]
        self._tables = [_Table(t, arrays) for t in spec["tables"]]
        last = spec["estimator"]
        own = {k.removeprefix("estimator."): v for k, v in arrays.items() if k.startswith("estimator.")}
        self._estimator = KINDS[last["kind"]](own, last)
        self._link = LINKS[last["link"]] if last["link"] else None
        self._label = LABELS[last["label"]] if last["label"] else None
        self._classes: list[Any] = last["classes"]
        self.gives_probabilities = self._label is not None and self._link is not None

    def answer(self, rows: Sequence[Row]) -> Answered:
        """What it answers itself, and which rows are not its own."""
        try:
            columns = self._columns(rows)
            fits = columns is not None
        except (OverflowError, ValueError, TypeError):
            fits = False
        if not fits:
            return self._part(rows, self._fitting(rows))
        assert columns is not None
        features, wrong = self._features(columns, len(rows))
        if wrong.any():
            return self._part(rows, np.flatnonzero(~wrong).tolist())
        scores, doubtful = self._estimator.scores(features)
        if doubtful.any():
            return self._part(rows, np.flatnonzero(~doubtful).tolist())
        if self._label is None:
            assert self._link is not None
            with np.errstate(over="ignore"):
                return Answered(self._link(scores)[:, 0].tolist(), None, [])
        classes = self._classes
        values = [classes[i] for i in self._label(scores).tolist()]
        return Answered(values, None if self._link is None else self._link(scores).tolist(), [])

    def _part(self, rows: Sequence[Row], own: list[int]) -> Answered:
        """The answers to some rows only. Fewer at each call, so this ends."""
        if len(own) == len(rows):
            raise RuntimeError("A row was refused and accepted.")
        if not own:
            return Answered([], None, list(range(len(rows))))
        found = self.answer([rows[i] for i in own])
        lost = set(found.left)
        kept = {i for place, i in enumerate(own) if place not in lost}
        return Answered(found.values, found.probabilities, [i for i in range(len(rows)) if i not in kept])

    def _columns(self, rows: Sequence[Row]) -> dict[str, list[Any]] | None:
        """Values by column; None if a value is of a type that the plan was not proven for."""
        columns = {}
        for name, kind, nullable in self._inputs:
            column = [row.get(name) for row in rows]
            types = set(map(type, column))
            if not types <= _TAKES[kind] or (not nullable and _NONE in types):
                return None
            if name in self._whole and not all(type(v) is int and -_INT64 <= v < _INT64 for v in column):
                return None
            columns[name] = column
        return columns

    def _fitting(self, rows: Sequence[Row]) -> list[int]:
        """Positions of the rows whose values are of types that the plan was proven for: column by column, since a wide
        model has thousands."""
        wrong: set[int] = set()
        for name, kind, nullable in self._inputs:
            column = [row.get(name) for row in rows]
            takes = _TAKES[kind] if nullable else _TAKES[kind] - {_NONE}
            if not set(map(type, column)) <= takes:
                wrong.update(i for i, v in enumerate(column) if type(v) not in takes)
            if name in self._whole:
                wrong.update(
                    i for i, v in enumerate(column) if not (type(v) is int and -_INT64 <= v < _INT64)
                )
            elif int in map(type, column):
                wrong.update(i for i, v in enumerate(column) if type(v) is int and not _is_float(v))
        return [i for i in range(len(rows)) if i not in wrong]

    def _features(self, columns: dict[str, list[Any]], rows: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Features (rows × width), and which rows some step of the original might refuse."""
        features = np.empty((rows, self._width))
        wrong = np.zeros(rows, dtype=bool)
        if self._numbers:
            numbers = np.array([columns[n] for n in self._numbers], dtype=np.float64)
            huge = np.abs(numbers) > _HUGE
            if huge.any():
                wrong |= huge.any(axis=0)
            with np.errstate(all="ignore"):
                for program in self._programs:
                    program.run(numbers, features, wrong)
        for table in self._tables:
            table.look_up(columns[table.column], features, wrong)
        fine = np.isfinite(features)
        if not fine.all():
            if self._estimator.allows_missing:
                fine |= np.isnan(features)
            wrong |= ~fine.all(axis=1)
        return features, wrong


def _is_float(number: int) -> bool:
    try:
        float(number)
    except OverflowError:
        return False
    return True


class _Program:
    """The same steps for several numbers side by side."""

    def __init__(self, spec: dict[str, Any], arrays: dict[str, Any]) -> None:
        self._from = np.array(spec["from"], dtype=np.intp)
        self._to = _positions(spec["to"])
        self._steps = [(str(step[0]), [arrays[a] for a in step[1:]]) for step in spec["steps"]]

    def run(self, numbers: Floats, features: Floats, wrong: NDArray[np.bool_]) -> None:
        x = numbers[self._from].T
        for name, given in self._steps:
            match name:
                case "impute":
                    x = np.where(np.isnan(x), given[0], x)
                case "missing":
                    x = np.isnan(x).astype(np.float64)
                case "subtract":
                    x = x - given[0]
                case "divide":
                    x = x / given[0]
                case "multiply":
                    x = x * given[0]
                case "add":
                    x = x + given[0]
                case "clip":
                    x = np.clip(x, given[0], given[1])
                case "finite":  # the next step of the original refuses infinities
                    wrong |= np.isinf(x).any(axis=1)
                case "present":  # the next step of the original refuses missing values
                    wrong |= ~np.isfinite(x).all(axis=1)
                case _:
                    x = UFUNCS[name](x)
        features[:, self._to] = x


class _Table:
    """A column of few values: each value's features, computed by the original when the plan was made."""

    def __init__(self, spec: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.column = str(spec["column"])
        self._unknown = int(spec["unknown"])
        self._missing = int(spec["missing"])
        self._number = bool(spec["number"])
        self._codes: dict[Any, int] = {key: code for code, key in enumerate(spec["keys"]) if key is not None}
        self._codes[None] = self._missing
        self._rows = arrays[spec["values"]]
        self._to = _positions(spec["to"])

    def look_up(self, column: list[Any], features: Floats, wrong: NDArray[np.bool_]) -> None:
        get, unknown, missing = self._codes.get, self._unknown, self._missing
        if self._number:
            codes = [get(v, unknown) if v == v else missing for v in column]
        else:
            codes = [get(v, unknown) for v in column]
        if -1 in codes:
            wrong |= np.array(codes) < 0
        features[:, self._to] = self._rows[codes]


UFUNCS: dict[str, Any] = {
    name: getattr(np, name)
    for name in (
        *(
            "absolute",
            "arccos",
            "arccosh",
            "arcsin",
            "arcsinh",
            "arctan",
            "arctanh",
            "cbrt",
            "ceil",
            "conjugate",
        ),
        *(
            "cos",
            "cosh",
            "deg2rad",
            "degrees",
            "exp",
            "exp2",
            "expm1",
            "fabs",
            "floor",
            "log",
            "log10",
            "log1p",
        ),
        *("log2", "negative", "positive", "rad2deg", "radians", "reciprocal", "rint", "sign", "sin", "sinh"),
        *("spacing", "sqrt", "square", "tan", "tanh", "trunc"),
    )
}
"""functions of one number that a plan may name; the same that FunctionTransformer called"""


def _positions(given: list[int]) -> Any:
    """A slice where the places follow each other: writing there is several times quicker."""
    first, count = given[0] if given else 0, len(given)
    return (
        slice(first, first + count)
        if given == list(range(first, first + count))
        else np.array(given, np.intp)
    )
