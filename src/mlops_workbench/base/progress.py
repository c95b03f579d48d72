"""Progress of long work: a core verb reports, each face decides how it is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """`step("pip install", 0.4)`: what is done now, and how far (0..1; None when that cannot be known)."""

    def __call__(self, message: str, fraction: float | None = None) -> None: ...


def silent(message: str, fraction: float | None = None) -> None:
    """Shows nothing."""
