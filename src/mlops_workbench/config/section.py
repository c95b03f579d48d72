"""How a section of `mlops.toml` declares its keys: kind, limits and description of each, written once.

A section is a frozen dataclass whose docstring (one line) describes it and whose keys are `Annotated[kind, key(…)]`.
From that come the check when the file is read, the sentence when it fails, the JSON Schema for editors, the comments
of the template and `docs/settings.md`. What no single key can say, `__post_init__` refuses with a ValueError that
names the key; the reader adds file and section.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from msgspec import Meta


def key(
    description: str,
    *,
    written: bool = False,
    example: Any = None,
    must: str = "",
    **limits: float | str,
) -> Meta:
    """Stands beside a key's kind.

    `written`: the template sets the key to its default. `example`: a value that the template shows commented out.
    `must`: how the sentence "KEY must …" goes on where the limits would not read well.
    `limits`: `gt`, `ge`, `lt`, `le` of a number, `pattern` of a text.
    """
    bounds: dict[str, Any] = limits
    return Meta(
        description=description,
        examples=None if example is None else [example],
        extra={"written": written, "must": must},
        **bounds,
    )


def sets_something(section: Any) -> bool:
    """Whether any key differs from its default."""
    return any(getattr(section, f.name) != f.default for f in fields(section))
