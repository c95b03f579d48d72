"""Secrets by reference: what is written down says where a secret is, never what it is."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_workbench.base.errors import UsageError

_PREFIX = "secret://"
_KINDS = "secret://env/NAME or secret://file/PATH"


def is_reference(text: str) -> bool:
    return text.startswith(_PREFIX)


def resolved(text: str) -> str:
    """The secret that `secret://env/NAME` or `secret://file/PATH` names (a file's first and last blanks left out); any
    other text as it is. Raises UsageError, which names the reference alone."""
    if not is_reference(text):
        return text
    kind, _, name = text.removeprefix(_PREFIX).partition("/")
    if not name or kind not in ("env", "file"):
        raise UsageError(f"'{text}' is no reference to a secret.", f"Write {_KINDS}.")
    if kind == "env":
        if not (value := os.environ.get(name)):
            raise UsageError(f"The environment variable of {text} is not set.", f"Set {name}.")
        return value
    path = Path("/" + name if not name.startswith("~") else name).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        said = getattr(problem, "strerror", None) or "it is no text"
        raise UsageError(f"The file of {text} cannot be read: {said}.", "Check the path.") from None
