"""`--where` and `--sort` of `runs`: a small language, read here and answered by `ranking`.

    auc > 0.7 and estimator = 'Pipeline' and status = finished

A bare name is a metric, a parameter, a tag of the workbench, or one of `ATTRIBUTES`; a prefix (`metrics.`, `params.`,
`tags.`) says which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mlops_workbench.base.errors import UsageError
from mlops_workbench.track.ranking import RunTest

NameKind = Literal["metric", "param", "tag", "attribute"]
ATTRIBUTES = ("name", "status", "started", "seconds")
PREFIXES: dict[str, NameKind] = {"metrics": "metric", "params": "param", "tags": "tag"}
_OPERATORS = ("=", "!=", ">", ">=", "<", "<=", "like")
_EXACT = ("=", "!=", "like")
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"]*")|`(?P<quoted>[^`]*)`|(?P<operator>!=|>=|<=|==|=|>|<)|(?P<word>[^\s'"`=<>!]+))"""
)
_STATUS = ("finished", "failed", "running", "killed", "scheduled")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison as typed. `text`: the value stood in quotes."""

    name: str
    operator: str
    value: str
    text: bool


def parse(expression: str) -> tuple[Condition, ...]:
    """Comparisons that all must hold. Raises `UsageError`."""
    tokens = _tokens(expression)
    found = []
    at = 0
    while True:
        part = tokens[at : at + 3]
        if len(part) < 3 or part[0][0] not in ("word", "quoted"):
            raise _unreadable(expression, "a comparison is NAME, a sign, and a value")
        (_, name), (_, operator), (kind, value) = part
        operator = {"==": "="}.get(operator, operator.lower())
        if operator not in _OPERATORS or part[1][0] == "text":
            raise _unreadable(expression, f"'{part[1][1]}' is none of {' '.join(_OPERATORS)}")
        if kind == "operator":
            raise _unreadable(expression, f"'{value}' is no value")
        found.append(Condition(name, operator, value, kind == "text"))
        at += 3
        if at == len(tokens):
            return tuple(found)
        if tokens[at][1].lower() == "or":
            raise _unreadable(expression, "comparisons are joined by 'and' only")
        if tokens[at][1].lower() != "and":
            raise _unreadable(expression, f"'{tokens[at][1]}' stands where 'and' is expected")
        at += 1


def named(name: str) -> Condition:
    """Runs of exactly this name."""
    return Condition("name", "=", name, text=True)


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while expression[at:].strip():
        match = _TOKEN.match(expression, at)
        if match is None:
            raise _unreadable(expression, f"what begins with {expression[at:].strip()[:20]!r} is not closed")
        kind = str(match.lastgroup)
        value = match[kind]
        tokens.append((kind, value[1:-1] if kind == "text" else value))
        at = match.end()
    return tokens


def _unreadable(expression: str, why: str) -> UsageError:
    return UsageError(
        f"The condition {expression!r} cannot be read: {why}.",
        "Write it like: auc > 0.7 and estimator = 'Pipeline'.",
    )


def split(name: str) -> tuple[NameKind | None, str]:
    """A name's kind, if its prefix or the name itself says it, and the name without the prefix."""
    prefix, dot, rest = name.partition(".")
    if dot and rest and prefix in PREFIXES:
        return PREFIXES[prefix], rest
    return ("attribute" if name in ATTRIBUTES else None), name


def resolve(condition: Condition, kind_of: Callable[[str], tuple[NameKind, str]], own: str) -> RunTest:
    """What a comparison asks of a run. `own`: the prefix of the workbench's tags. Raises `UsageError`."""
    kind, name = kind_of(condition.name)
    if kind == "attribute":
        return _attribute(condition)
    if kind == "metric":
        if condition.operator == "like":
            raise UsageError(f"'{condition.name}' is a metric: it is compared with =, !=, <, <=, > and >=.")
        return RunTest(kind, name, condition.operator, _number(condition))
    if condition.operator not in _EXACT:
        what = "parameter" if kind == "param" else "tag"
        raise UsageError(
            f"'{condition.name}' is a {what}, which is kept as a text: it is compared with =, != and like only. "
            f"Got {condition.operator} instead.",
            "Sort by it instead.",
        )
    return RunTest(kind, name if kind == "param" else own + name, condition.operator, condition.value)


def _attribute(condition: Condition) -> RunTest:
    name, operator, value = condition.name, condition.operator, condition.value
    if name == "started":
        if operator == "like":
            raise UsageError("'started' is a time: it is compared with =, !=, <, <=, > and >=.")
        return RunTest("attribute", name, operator, _moment(value))
    if name == "seconds":
        raise UsageError("'seconds' cannot be a condition.", "Sort by it instead.")
    if operator not in _EXACT:
        raise UsageError(
            f"'{name}' is a text: it is compared with =, != and like only. Got {operator} instead."
        )
    if name == "status":
        if value.lower() not in _STATUS or operator == "like":
            raise UsageError(f"The status must be one of {', '.join(_STATUS)}. Got '{value}' instead.")
        value = value.upper()
    return RunTest("attribute", name, operator, value)


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'started' must be compared with a time. Got '{text}' instead.",
            "Write it like '2026-11-01' or '2026-11-01 12:00' (UTC).",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _number(condition: Condition) -> float:
    try:
        value = float(condition.value)
    except ValueError:
        value = math.nan
    if condition.text or not math.isfinite(value):
        raise UsageError(
            f"'{condition.name}' is a metric: it is compared with a number. Got '{condition.value}' instead."
        )
    return value
