"""Asking a deployment over HTTP, with the standard library alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from mlops_workbench.base import errors
from mlops_workbench.base.values import plain
from mlops_workbench.rollout.runtime.deployment import Deployment

_BY_KIND: dict[str, type[errors.MlopsError]] = {
    "Conflict": errors.Conflict,
    "InvalidData": errors.InvalidData,
    "NotFound": errors.NotFound,
}


def predict(
    deployment: Deployment,
    rows: Sequence[dict[str, Any]],
    request_id: str | None = None,
    *,
    key: str | None = None,
    seconds: float = 30,
) -> dict[str, Any]:
    """The answer to `POST /predict`: model, version, request_id, predictions, probabilities, classes.

    Values may be NumPy's or pandas'; what is missing there is sent as null. Raises InvalidData, Conflict (the
    request id stands for other rows), UsageError, or ServingFailed if it does not answer within `seconds`.
    """
    body: dict[str, Any] = {"rows": [{str(k): _sendable(v) for k, v in row.items()} for row in rows]}
    if request_id is not None:
        body["request_id"] = request_id
    status, answer = call(f"{deployment.url}/predict", body, key=key, seconds=seconds)
    if status == 200:
        return answer
    message, step = answer.get("message", f"HTTP {status}"), answer.get("next_step", "")
    kind = _BY_KIND.get(answer.get("error", ""))
    if kind is None:
        kind = errors.UsageError if status < 500 else errors.ServingFailed
    raise kind(message, step)


def call(
    url: str, body: dict[str, Any] | None = None, *, key: str | None = None, seconds: float
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a GET, or of a POST if there is a body. Raises ServingFailed if nothing answers."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    data = None if body is None else json.dumps(body, allow_nan=False).encode()
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    request = urllib.request.Request(url, data, headers)  # noqa: S310 (http only)
    try:
        with _opener().open(request, timeout=seconds) as answer:
            return answer.status, _object(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _object(error.read())
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise errors.ServingFailed(
            f"{url} does not answer: {reason}.", "See whether it still runs."
        ) from error


@cache
def _opener() -> Any:
    """Deployments are on this machine: a proxy of the environment must not be asked for them.

    urllib is imported late: with TLS it is a fifth of what a reading verb loads, and often nothing is deployed.
    """
    import urllib.request

    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty if it is something else (then another program answers there)."""
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _sendable(value: Any) -> Any:
    # pandas' NaT is a datetime that says "NaT", and its NA compares to nothing
    return None if type(value).__name__ in ("NaTType", "NAType") else plain(value)
