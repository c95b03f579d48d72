"""A fast path's record in one sentence. Apart from the proof, which needs NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentence(record: Mapping[str, Any] | None) -> str:
    """Which path a version has and why, for people."""
    if not record:
        return "original path: registered before there was a fast one"
    if not record["proven"]:
        return f"original path: {record['reason']}"
    tried = sum(record["rows"].values())
    difference = f"{record['difference']:.0e}" if record["difference"] else "0"
    return f"fast path: proven on {tried:,} rows, largest difference {difference}"
