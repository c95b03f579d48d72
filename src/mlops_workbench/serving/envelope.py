"""Around every request: it is counted, and what nobody expected becomes a plain 500."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Set

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.logs import report
from mlops_workbench.serving.metrics import Metrics

logger = logging.getLogger("mlops_workbench.serving")

METRICS = "mlops.metrics"
"""in the scope of a request: the metrics of the version that it was given to"""
_OTHER = "other"
_SERVER_ERROR = 500
_CLIENT_WENT_AWAY = 499  # nginx's number for it; there is no official one


class Envelope:
    """ASGI middleware. `paths` are the known ones: others are counted together, so that a scan of addresses
    does not fill the memory with counters. `metrics` gives those of the version that answers now; a request that
    was given to another one carries them in its scope."""

    def __init__(self, app: ASGIApp, *, metrics: Callable[[], Metrics], paths: Set[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except ClientDisconnect:
            status = _CLIENT_WENT_AWAY
        except Exception as error:
            report(logger, "request failed", error)
            if status:  # too late for another answer: let the server cut the connection
                raise
            failed = ServingError("ServingFailed", "The service failed on this request.", "See its log.")
            await error_response(failed, scope["path"])(scope, receive, seen)
        finally:
            path = scope["path"] if scope["path"] in self._paths else _OTHER
            metrics = scope.get(METRICS) or self._metrics()
            metrics.answered(path, status or _CLIENT_WENT_AWAY, time.perf_counter() - started)
            if status >= _SERVER_ERROR and scope["method"] == "POST" and path != _OTHER:
                metrics.failed(status)


def error_response(error: ServingError, path: str = "") -> Response:
    """Below `/v2` in the words of the Open Inference Protocol."""
    content = error.to_dict()
    if path == "/v2" or path.startswith("/v2/"):
        content = {"error": f"{error.message} {error.next_step}".rstrip()}
    return Response(
        orjson.dumps(content),
        status_code=error.status,
        media_type="application/json",
        headers=error.headers,
    )
