"""The errors that a caller can get: one table of situations, each JSON `{"error", "message", "next_step"}`.

The kinds are the names that the workbench's own errors have, so that its client can raise the same class.
The runtime runs without the workbench, hence this table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATUS: dict[str, int] = {
    "InvalidJson": 400,
    "Unauthorized": 401,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTimeout": 408,
    "Conflict": 409,
    "TooLarge": 413,
    "UnsupportedMediaType": 415,
    "InvalidData": 422,
    "ServingFailed": 500,
    "Overloaded": 503,
    "LogUnavailable": 503,
    "NotReady": 503,
    "TimedOut": 503,
}


class ServingError(Exception):
    """A request that is refused or failed. `kind` is a key of `STATUS`; the message holds no stack trace."""

    def __init__(
        self, kind: str, message: str, next_step: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = STATUS[kind]
        self.message = message
        self.next_step = next_step
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        return {"error": self.kind, "message": self.message, "next_step": self.next_step}


class ModelRefused(Exception):
    """A model folder that must not be served: damaged, of another digest, or unable to answer its sample."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(f"{message} {next_step}".rstrip())
        self.message = message
        self.next_step = next_step


class LogRefused(Exception):
    """The log cannot be opened, or its table does not fit this model."""


def shown(value: object, limit: int = 60) -> str:
    """A value as it may stand in a sentence: short, on one line."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
