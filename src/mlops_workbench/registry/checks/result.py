"""What a check found, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING = "–"


@dataclass(frozen=True)
class Check:
    """One check. `passed` None: it could not be evaluated, which is not a pass (unless it does not apply)."""

    name: str
    passed: bool | None
    figure: str
    limit: str
    detail: str = ""
    applies: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """facts by name; a list of mappings is a table. Shown folded"""
    next_step: str = ""
    """what to look at or do when this is what keeps the gate red"""


def unknown(name: str, detail: str, limit: str = NOTHING, next_step: str = "", **more: Any) -> Check:
    """A check that could not be evaluated."""
    return Check(name, None, NOTHING, limit, detail, next_step=next_step, **more)
