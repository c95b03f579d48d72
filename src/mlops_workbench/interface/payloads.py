"""Options that come as JSON, over REST and from forms, checked by the same types as typed words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.base.values import plain
from mlops_workbench.interface.spec import Arg, Verb


def from_json(verb: Verb, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Options that came as JSON (REST), checked by the same types as a typed line.

    Raises `UsageError` on an unknown or missing option, or a value of the wrong kind.
    """
    known = {arg.name: arg for arg in verb.args}
    for name in raw:
        if name not in known:
            raise UsageError(f"The verb '{verb.name}' has no option '{name}'.", closest(name, known))
    options: dict[str, Any] = {}
    for arg in verb.args:
        value = raw.get(arg.name)
        if value is None or value == "":
            if arg.required:
                raise UsageError(f"The verb '{verb.name}' needs '{arg.name}': {arg.help}.")
            options[arg.name] = [] if arg.repeat else arg.default
        elif arg.switch:
            if not isinstance(value, bool):
                raise UsageError(f"The option '{arg.name}' must be true or false. Got {value!r} instead.")
            options[arg.name] = value
        elif arg.repeat:
            pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
            if not isinstance(pairs, list):
                raise UsageError(f"The option '{arg.name}' must be a list. Got {value!r} instead.")
            options[arg.name] = [_typed(arg, str(one)) for one in pairs]
        else:
            options[arg.name] = _typed(arg, str(value))
    return options


def _typed(arg: Arg, text: str) -> Any:
    try:
        value = arg.parse(text)
    except argparse.ArgumentTypeError as problem:
        raise UsageError(f"The option '{arg.name}' {problem}") from None
    if arg.choices and value not in arg.choices:
        raise UsageError(
            f"The option '{arg.name}' must be one of {', '.join(arg.choices)}. Got '{text}' instead.",
            closest(text, arg.choices),
        )
    return value


def changes(verb: Verb, raw: Mapping[str, Any]) -> str | None:
    """Why this call would change something, as the subject of a sentence; None when it only reads.

    What only reads may be sent with GET; a change needs POST, which cannot be forged from another page.
    """
    if verb.effect != "reads":
        return f"The verb '{verb.name}'"
    for arg in verb.args:
        value = raw.get(arg.name)
        if value in (None, "", False, []):
            continue
        if arg.writes is True or (arg.writes and value in arg.writes):
            return f"The option '{arg.name}' of '{verb.name}'"
    return None


def describe(verb: Verb) -> dict[str, Any]:
    """A verb as JSON: what a form, a menu or a client needs to know."""
    return {
        "name": verb.name,
        "stage": verb.stage,
        "summary": verb.summary,
        "effect": verb.effect,
        "in_kernel": verb.in_kernel,
        "long": verb.long,
        "example": verb.example,
        "args": [
            {
                "name": arg.name,
                "help": arg.help,
                "flag": arg.flag,
                "type": arg.kind,
                "default": plain(arg.default),
                "required": arg.required,
                "switch": arg.switch,
                "repeat": arg.repeat,
                "choices": list(arg.choices) if arg.choices else None,
                "offer": arg.offer,
            }
            for arg in verb.args
        ],
    }
