"""API keys: who asks for predictions must show one, if any is set. Health and metrics stay open."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_workbench.serving.envelope import error_response
from mlops_workbench.serving.errors import ModelRefused, ServingError
from mlops_workbench.serving.logs import report

logger = logging.getLogger("mlops_workbench.serving")

_SHORTEST = 16
_Stamp = tuple[int, int, int]


class Keys:
    """The keys that count now: fixed ones, and those of a file that is read again whenever it changes.

    A file that is gone or cannot be read leaves the keys as they were; an empty one admits nobody.
    """

    def __init__(self, fixed: frozenset[str] = frozenset(), file: Path | None = None) -> None:
        """Raises ModelRefused if there is no key at all, or a short one, or the file cannot be read."""
        self._fixed = _digests(fixed)
        self._file = file
        self._stamp: _Stamp | None = None
        self._from_file: tuple[bytes, ...] = ()
        if file is not None:
            try:
                self._read(file)
            except (OSError, UnicodeDecodeError) as error:
                raise ModelRefused(
                    f"The file of API keys '{file}' cannot be read: {getattr(error, 'strerror', 'not UTF-8')}.",
                    "Make it readable for the one who serves, a key a line.",
                ) from None
        if not self._fixed and not self._from_file:
            raise ModelRefused("API keys are asked for, but there is none.", "Write a key a line.")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Keys | None:
        """`MLOPS_API_KEYS` (commas between) and `MLOPS_API_KEYS_FILE`; None without both: everybody may ask."""
        listed, file = env.get("MLOPS_API_KEYS", ""), env.get("MLOPS_API_KEYS_FILE", "")
        if not listed and not file:
            return None
        return cls(_keys_in(listed.replace(",", "\n")), Path(file) if file else None)

    def admit(self, shown: str) -> bool:
        """Every key is compared, each in constant time, so that the time reveals nothing."""
        self._refresh()
        digest = hashlib.sha256(shown.encode()).digest()
        matches = [hmac.compare_digest(digest, key) for key in (*self._fixed, *self._from_file)]
        return any(matches)

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            if _stamp(self._file) != self._stamp:
                self._read(self._file)
        except (OSError, UnicodeDecodeError, ModelRefused) as error:
            report(logger, "api keys not read again", error)

    def _read(self, file: Path) -> None:
        stamp = _stamp(file)
        self._from_file = _digests(_keys_in(file.read_text("utf-8")))
        self._stamp = stamp


def _keys_in(text: str) -> frozenset[str]:
    """A key a line; blank lines and `# …` say nothing."""
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _digests(keys: frozenset[str]) -> tuple[bytes, ...]:
    if any(len(key) < _SHORTEST for key in keys):
        raise ModelRefused(
            f"An API key has fewer than {_SHORTEST} characters.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return tuple(sorted(hashlib.sha256(key.encode()).digest() for key in keys))


def _stamp(file: Path) -> _Stamp:
    there = file.stat()
    return there.st_mtime_ns, there.st_size, there.st_ino


class Guard:
    """ASGI middleware: 401 without a key, except for the `open_paths`."""

    def __init__(self, app: ASGIApp, *, keys: Keys, open_paths: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open:
            key = _shown(Headers(scope=scope))
            if key is None or not self._keys.admit(key):
                await error_response(_refusal(key), scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _shown(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def _refusal(key: str | None) -> ServingError:
    return ServingError(
        "Unauthorized",
        "The API key is not valid." if key else "This service wants an API key.",
        "Send it as Authorization: Bearer … or as X-API-Key.",
        headers={"WWW-Authenticate": "Bearer"},
    )
