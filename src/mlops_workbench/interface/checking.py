"""The options of a verb, from any face, checked by its description: typed words, JSON, and arguments in Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.interface.description import Arg, Verb


def checked(verb: Verb, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Every option with a value of its type: what is not given (None, an empty text) has its default.

    Raises `UsageError` on an unknown or missing option, or a value of the wrong kind.
    """
    known = {arg.name: arg for arg in verb.args}
    for name in raw:
        if name not in known:
            raise UsageError(f"The verb '{verb.name}' has no option '{name}'.", closest(name, known))
    return {arg.name: _value(verb, arg, raw.get(arg.name)) for arg in verb.args}


def _value(verb: Verb, arg: Arg, value: Any) -> Any:
    if value is None or (isinstance(value, str) and value == ""):
        if arg.required:
            raise UsageError(f"The verb '{verb.name}' needs '{arg.name}': {arg.help}.")
        return [] if arg.repeat else arg.default
    if arg.switch:
        if not isinstance(value, bool):
            raise UsageError(f"The option '{arg.name}' must be true or false. Got {value!r:.80} instead.")
        return value
    return [_one(arg, one) for one in _list(arg, value)] if arg.repeat else _one(arg, value)


def _list(arg: Arg, value: Any) -> Iterable[Any]:
    """A text, or an object where objects may be given, is a list of one."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) or not (arg.text or arg.choices or arg.parse is not str):
        return [value]
    raise UsageError(f"The option '{arg.name}' must be a list. Got {value!r:.80} instead.")


def _one(arg: Arg, value: Any) -> Any:
    if arg.choices:
        if value not in arg.choices:
            raise UsageError(
                f"The option '{arg.name}' must be one of {', '.join(arg.choices)}. Got {_shown(value)} instead.",
                closest(str(value), arg.choices),
            )
        return value
    if arg.parse is str:
        if isinstance(value, Path):
            return str(value)
        if arg.text and not isinstance(value, str):
            raise UsageError(f"The option '{arg.name}' must be a text. Got {_shown(value)} instead.")
        return value
    if isinstance(value, tuple | list) and len(value) == 2:  # NAME=VALUE, its value as it is
        return str(value[0]), value[1]
    try:
        return arg.parse(value if isinstance(value, str) else f"{value!s:.80}")
    except argparse.ArgumentTypeError as problem:
        raise UsageError(f"The option '{arg.name}' {problem}") from None


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else f"{value!r:.80}"
