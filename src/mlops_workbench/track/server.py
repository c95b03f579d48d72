"""Whether a tracking server answers, asked in seconds: MLflow by itself tries for four minutes."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from mlops_workbench.base.errors import StoreUnavailable

SECONDS = 5.0
"""that it may take to answer"""
_FRESH = 10.0
"""seconds for which one that answered is not asked again"""

_answered: dict[str, float] = {}
_asking = threading.Lock()


def require_answer(url: str) -> None:
    """Raises `StoreUnavailable` with the address. What is no server, and any answer, is fine."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return
    with _asking:
        if time.monotonic() - _answered.get(url, -_FRESH) < _FRESH:
            return
        _answered.pop(url, None)
        try:
            _ask(parts.scheme, parts.hostname or "", parts.port)
        except ssl.SSLError:
            pass  # it is there; what MLflow is configured to trust is MLflow's question
        except (OSError, http.client.HTTPException, ValueError) as problem:
            said = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            reason = "it took too long" if isinstance(problem, TimeoutError) else said
            raise StoreUnavailable(
                f"The tracking server {_shown(url)} does not answer: {reason}.",
                "Start it, or correct [stores] tracking in mlops.toml (or MLOPS_TRACKING_URL).",
            ) from None
        _answered[url] = time.monotonic()


def _ask(scheme: str, host: str, port: int | None) -> None:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except socket.gaierror:
        raise OSError(f"there is no host '{host}'") from None
    finally:
        connection.close()


def _shown(url: str) -> str:
    """Without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
