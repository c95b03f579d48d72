"""Verbs as JSON: their descriptions, and what of a request changes something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.values import plain
from mlops_workbench.interface.spec import Verb


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
