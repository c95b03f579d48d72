"""`mlops.toml` read into its typed sections by msgspec; a fault is reported with file, section, key and value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from mlops_workbench.base.errors import InvalidConfig, closest
from mlops_workbench.config.policy import Policy

_WANTED = {
    bool: "be true or false",
    int: "be a whole number",
    float: "be a number",
    str: "be a text",
    tuple: "be a list of texts",
    Mapping: "map names to numbers",
}


def read(path: Path) -> Policy:
    """Raises `InvalidConfig`."""
    raw = _parse(path)
    head = raw.pop("project", None)
    if not isinstance(head, dict) or set(head) - {"name"} or not isinstance(head.get("name"), str):
        raise InvalidConfig(f'{path} must have [project] with name = "…" alone. Got {head!r} instead.')
    _refuse_unknown(path, Policy, raw)
    try:
        return msgspec.convert({**raw, **head}, Policy)
    except msgspec.ValidationError as problem:
        raise InvalidConfig(f"{path}: {_sentence(raw, str(problem))}.") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise InvalidConfig(f"{path} is not TOML: {problem}.", "Fix that line.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidConfig(
            f"{path} cannot be read: {problem}.", "Make it a readable file in UTF-8."
        ) from None


def _refuse_unknown(path: Path, kind: type, content: Mapping[str, Any], section: str = "") -> None:
    """msgspec leaves out the keys that a dataclass does not have; here they are most likely misspelled."""
    known = get_type_hints(kind)
    if kind is Policy:
        del known["name"]
    for name, value in content.items():
        if name not in known:
            what = (
                f": [{section}] has no key '{name}'"
                if section
                else f" has a section [{name}] that is not known"
            )
            raise InvalidConfig(f"{path}{what}.", closest(name, known))
        if is_dataclass(known[name]):
            inner = f"{section}.{name}".lstrip(".")
            if not isinstance(value, dict):
                raise InvalidConfig(f"{path}: '{inner}' must be a section. Got {value!r} instead.")
            _refuse_unknown(path, known[name], value, inner)


def _sentence(raw: Mapping[str, Any], problem: str) -> str:
    """msgspec's `WHAT - at `$.gate.slices.tolerance``, in words."""
    what, _, where = problem.rpartition(" - at `$")
    trail = re.findall(r"\.(\w+)", where)
    hint: Any = Policy
    value: Any = raw
    for name in trail:
        hint, value = get_type_hints(hint, include_extras=True)[name], value[name]
    if is_dataclass(hint):  # what its `__post_init__` said
        return f"[{'.'.join(trail)}] {what}"
    *sections, name = trail
    return f"[{'.'.join(sections)}] {name} must {_must(hint, what)}. Got {value!r} instead"


def _must(hint: Any, what: str) -> str:
    """What a key must be, so far as `what` says that it is not."""
    kind, meta = get_args(hint)
    wrong_kind = ", got `" in what or not what.startswith("Expected")
    if get_origin(kind) is Literal:
        return f"be {' or '.join(map(repr, get_args(kind)))}"
    if wrong_kind and get_origin(kind) is Mapping and get_args(kind)[1] is str:
        return "map names to texts"
    if wrong_kind:
        return _WANTED[get_origin(kind) or kind]
    return str(meta.extra["must"]) or _within(meta)


def _within(meta: msgspec.Meta) -> str:
    if meta.gt is not None and meta.lt is not None:
        return f"lie between {meta.gt:g} and {meta.lt:g}"
    if meta.ge is not None and meta.le is not None:
        return f"lie between {meta.ge:g} and {meta.le:g}"
    if meta.gt is not None:
        return f"be above {meta.gt:g}" + (f" and at most {meta.le:g}" if meta.le is not None else "")
    return "not be negative" if meta.ge == 0 else f"be {meta.ge:g} or more"
