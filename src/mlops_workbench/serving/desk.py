"""What every contract does alike: a bounded body, rows that fit the model, an answer from the batcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from mlops_workbench.serving.batcher import Limits, Pending
from mlops_workbench.serving.direct import new_id
from mlops_workbench.serving.envelope import METRICS
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.predlog import Entry
from mlops_workbench.serving.schema import checked_id
from mlops_workbench.serving.served import Served

REQUEST_ID = "X-Request-ID"
JSON = "application/json"
_LONG_WORK = 1 << 18
"""bytes from which a body is parsed beside the event loop, so that health checks are answered meanwhile"""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Body:
    data: bytes
    kind: str
    """media type, in lower case"""
    parameters: dict[str, str]
    """of the media type: `header=absent`"""
    model: Served
    """what answers it: the version that answered when the body had arrived"""


class Desk:
    """Takes bodies in and hands answers out, within the limits. `model` is what answers now."""

    def __init__(self, model: Served, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self._held = 0
        self._gate: asyncio.Event | None = None

    def hold(self, holding: bool) -> None:
        """Let requests wait before one more is given to the present version; or let them go on."""
        if self._gate is not None:
            self._gate.set()
        self._gate = asyncio.Event() if holding else None

    @asynccontextmanager
    async def reading(self, request: Request, *kinds: str) -> AsyncIterator[Body]:
        """A request's body, until the block is left: so long it counts as held, and its time runs.

        `kinds` are the media types that may come; "" stands for none said. Raises ServingError:
        UnsupportedMediaType, TooLarge, Overloaded, RequestTimeout, TimedOut.
        """
        kind, parameters = _media_type(request.headers.get("content-type", ""))
        _acceptable(request, kind, kinds)
        data = bytearray()
        there = False
        model: Served | None = None
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                stream = request.stream()
                try:
                    self._room_for(int(request.headers.get("content-length") or 0))
                    async for chunk in stream:
                        data += chunk
                        self._held += len(chunk)
                        self._room_for(0, len(data))
                except ServingError:
                    await _drop(stream, request)
                    raise
                there = True
                while self._gate is not None:
                    await self._gate.wait()
                model = self.model
                model.users += 1
                request.scope[METRICS] = model.metrics
                yield Body(bytes(data), kind, parameters, model)
        except TimeoutError:
            raise _late(self.limits.request_seconds, there) from None
        finally:
            self._held -= len(data)
            if model is not None:
                model.users -= 1

    async def parsed(self, body: Body, work: Callable[..., Parsed], *more: Any) -> Parsed:
        """`work(body.data, *more)`, beside the event loop if the body is long."""
        if len(body.data) < _LONG_WORK:
            return work(body.data, *more)
        return await asyncio.to_thread(work, body.data, *more)

    async def answer(
        self, body: Body, rows: list[dict[str, Any]], request_id: str | None, request: Request
    ) -> Entry:
        """Predicted and logged. `rows` fit the schema; the id is `request_id`, the header's, or made."""
        wanted = checked_id(request_id or request.headers.get(REQUEST_ID) or None)
        pending = Pending(wanted or new_id(), rows, time.perf_counter())
        return await asyncio.wrap_future(body.model.batcher.submit(pending))

    def _room_for(self, announced: int, read: int = 0) -> None:
        if max(announced, read) > self.limits.body_bytes:
            raise ServingError(
                "TooLarge",
                f"The body is larger than {self.limits.body_bytes / (1 << 20):g} MB.",
                "Send the rows in several requests.",
            )
        if self._held + announced > self.limits.held_bytes:
            raise ServingError(
                "Overloaded",
                f"{self._held >> 20} MB of requests are being worked on already.",
                "Send the request again in a second, or start more replicas.",
                headers={"Retry-After": "1"},
            )


def answered(value: Any, entry: Entry) -> Response:
    return json_response(value, headers={REQUEST_ID: entry.request_id})


def json_response(value: Any, headers: dict[str, str] | None = None) -> Response:
    # orjson writes NaN and infinities as null, which is what JSON has for them
    return Response(orjson.dumps(value, default=str), media_type=JSON, headers=headers)


@lru_cache(maxsize=64)  # clients say the same every time, and taking it apart costs as much as a prediction
def _media_type(header: str) -> tuple[str, dict[str, str]]:
    message = Message()
    message["Content-Type"] = header
    parts = message.get_params(failobj=[])
    kind = parts[0][0].strip().lower() if parts else ""
    return kind, {name.lower(): value.lower() for name, value in parts[1:]}


def _acceptable(request: Request, kind: str, kinds: tuple[str, ...]) -> None:
    # Also keeps a page of another site from posting rows here: these types need its permission.
    if kind not in kinds:
        known = ", ".join(k for k in kinds if k)
        raise ServingError(
            "UnsupportedMediaType",
            f"The body must be {known}. Got Content-Type '{kind[:60]}' instead.",
            f"Send the header Content-Type: {next(k for k in kinds if k)}.",
        )
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise ServingError(
            "UnsupportedMediaType",
            f"The body must not be compressed. Got Content-Encoding '{coding[:60]}' instead.",
            "Send it as it is.",
        )


async def _drop(stream: AsyncIterator[bytes], request: Request) -> None:
    """Read what else comes and forget it: most clients read no answer before they have sent everything."""
    if request.headers.get("expect", "").lower() != "100-continue":
        async for _ in stream:
            pass


def _late(seconds: float, there: bool) -> ServingError:
    if there:
        return ServingError(
            "TimedOut",
            f"The request was not answered within {seconds:g} s.",
            "Send it again with the same request id.",
            headers={"Retry-After": "1"},
        )
    return ServingError(
        "RequestTimeout",
        f"The body had not arrived after {seconds:g} s.",
        "Send it again, in smaller parts.",
        headers={"Connection": "close"},  # whoever sends drop by drop must not keep the connection
    )
