"""What a key of a contract file may hold: one table, which the reader and the editor's schema both follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from mlops_workbench.base.values import is_number

TYPES = ("number", "text", "boolean", "time", "any")
LEVELS = ("warn", "error")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class ContractValueKind:
    """A kind of value: what fits, how it is called in a sentence, and its JSON Schema."""

    fits: Callable[[Any], bool]
    wanted: str
    schema: Mapping[str, Any]


def _choice(words: tuple[str, ...], wanted: str) -> ContractValueKind:
    return ContractValueKind(lambda v: v in words, wanted, {"enum": list(words)})


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except re.error:
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_keys(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(key, list) and key and all(isinstance(c, str) for c in key) for key in value
    )


KINDS: dict[str, ContractValueKind] = {
    "type": _choice(TYPES, f"one of {', '.join(TYPES)}"),
    "level": _choice(LEVELS, "warn or error"),
    "switch": ContractValueKind(lambda v: isinstance(v, bool), "true or false", {"type": "boolean"}),
    "number": ContractValueKind(is_number, "a number", {"type": "number"}),
    "share": ContractValueKind(
        lambda v: is_number(v) and 0 <= v <= 1,
        "a share from 0 to 1",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    "count": ContractValueKind(_is_count, "a whole number from 0 up", {"type": "integer", "minimum": 0}),
    "list": ContractValueKind(lambda v: isinstance(v, list), "a list", {"type": "array"}),
    "pattern": ContractValueKind(_is_pattern, "a regular expression", {"type": "string", "format": "regex"}),
    "text": ContractValueKind(lambda v: isinstance(v, str), "a text", {"type": "string"}),
    "duration": ContractValueKind(
        lambda v: isinstance(v, str) and _DURATION.fullmatch(v) is not None,
        "a duration such as 36h, 7d or 2w",
        {"type": "string", "pattern": rf"^{_DURATION.pattern}$"},
    ),
    "keys": ContractValueKind(
        _are_keys,
        "a list of lists of columns",
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    ),
}


@dataclass(frozen=True, slots=True)
class ContractKey:
    """Stands beside a dataclass field that is a key of the file: `kind` is one of KINDS, or "section" or "columns"
    for what is nested; `about` is what an editor shows."""

    kind: str
    about: str


def keys_of(kind: type) -> dict[str, ContractKey]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        f.name: next(a for a in hints[f.name].__metadata__ if isinstance(a, ContractKey))
        for f in fields(kind)
    }


def seconds(duration: str) -> float:
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"'{duration}' is no duration")
    return float(found[1]) * _SECONDS[found[2]]


def json_schema(root: type, title: str) -> dict[str, Any]:
    """JSON Schema (draft 7, which editors know best) of the file that `root` is read from."""
    body = _object(root)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title} | body


def _object(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        "type": "object",
        "properties": {name: _property(one, hints[name]) for name, one in keys_of(kind).items()},
        "additionalProperties": False,
        "required": [f.name for f in fields(kind) if f.default is MISSING],
    }


def _property(one: ContractKey, hint: Any) -> dict[str, Any]:
    about = {"description": one.about}
    if one.kind in ("section", "columns"):
        inner: Any = next(a for a in (hint, *getattr(hint, "__args__", ())) if is_dataclass(a))
        body = _object(inner)
        nested = {"type": "object", "additionalProperties": body} if one.kind == "columns" else body
        return about | nested
    return about | dict(KINDS[one.kind].schema)
