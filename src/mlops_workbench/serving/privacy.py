"""Columns whose values must not stand in the inference log: left out, or hashed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.manifest import Manifest
from mlops_workbench.serving.errors import ModelRefused

_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Privacy:
    """Names of columns; those that a model does not have say nothing (one policy for several models)."""

    excluded: frozenset[str] = frozenset()
    """logged as NULL"""
    hashed: frozenset[str] = frozenset()
    """logged as HMAC-SHA256, 32 hexadecimal digits: equal values stay equal"""
    key: bytes = b""
    """secret of the HMAC; without one, values of a small set can be found out by trying them all"""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Privacy:
        return cls(
            _names(env.get("MLOPS_LOG_EXCLUDE", "")),
            _names(env.get("MLOPS_LOG_HASH", "")),
            env.get("MLOPS_LOG_HASH_KEY", "").encode(),
        )

    def fits(self, manifest: Manifest) -> None:
        """Raises ModelRefused for a column of numbers that is to be hashed: its column of the log holds numbers."""
        for field in manifest.inputs:
            if field.name in self.hashed - self.excluded and field.kind not in ("string", "datetime"):
                raise ModelRefused(
                    f"The column '{field.name}' is {field.kind} and cannot be logged as a hash.",
                    "Hash columns of texts only; exclude this one.",
                )

    def kept(self, column: str, value: Any) -> Any:
        """What is logged for a value; None (missing) stays None."""
        if column in self.excluded or value is None:
            return None
        if column not in self.hashed:
            return value
        return hmac.new(self.key, str(value).encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _names(text: str) -> frozenset[str]:
    """A name a line: names may hold blanks and commas."""
    return frozenset(line for line in text.split("\n") if line)
