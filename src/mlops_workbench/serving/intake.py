"""From a request to its answer, alike for every contract: parse, choose a version, predict and log, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from mlops_workbench.serving.batcher import Limits, Pending
from mlops_workbench.serving.direct import new_id
from mlops_workbench.serving.envelope import METRICS
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.form import Body
from mlops_workbench.serving.parsers import ParserProcesses
from mlops_workbench.serving.predlog import LogEntry
from mlops_workbench.serving.protocols.requests import PARQUET, PARSERS
from mlops_workbench.serving.schema import ParsedRequest, checked_id
from mlops_workbench.serving.version import ServingVersion

REQUEST_ID = "X-Request-ID"
JSON = "application/json"
_LONG_WORK = 1 << 18
"""bytes from which a body is parsed in another process, so that health checks are answered meanwhile"""


@dataclass(frozen=True, slots=True)
class Choice:
    """The version that answers a request, and the role and variant that its rows are logged with."""

    version: ServingVersion
    role: str
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, who answered, and the entry that is in the log."""

    request: ParsedRequest
    version: ServingVersion
    entry: LogEntry


class RequestIntake:
    """Takes requests in and gives answers out, within the limits."""

    def __init__(self, version: ServingVersion, limits: Limits, *, role: str) -> None:
        self.limits = limits
        self._choice = Choice(version, role)
        self._held = 0
        self._gate: asyncio.Event | None = None
        self._parsers = ParserProcesses()

    def close(self) -> None:
        """End what takes bodies apart."""
        self._parsers.close()

    @property
    def current(self) -> ServingVersion:
        """The version that answers now."""
        return self._choice.version

    def switch(self, version: ServingVersion) -> None:
        """Requests that are chosen for from now on are answered by this version."""
        self._choice = Choice(version, self._choice.role)

    def choose(self, request: ParsedRequest) -> Choice:
        """Who answers this request: the current version, whatever it holds. A table of routes belongs here.

        Raises ServingError NotFound for a request that names another version.
        """
        choice = self._choice
        if request.version not in (None, choice.version.version):
            raise choice.version.not_here(choice.version.dataplane.name, request.version)
        return choice

    def pause(self, paused: bool) -> None:
        """Let parsed requests wait before a version is chosen for them; or let them go on."""
        if self._gate is not None:
            self._gate.set()
        self._gate = asyncio.Event() if paused else None

    async def answer(
        self,
        request: Request,
        kinds: tuple[str, ...],
        way: str,
        *,
        context: Mapping[str, str] | None = None,
        require: Callable[[ServingVersion], None] = lambda _version: None,
    ) -> Answer:
        """Read a request's body, parse it, choose a version, and have that predict and log it.

        `kinds` are the media types that may come; "" stands for none given. `way`: which of `PARSERS` reads it, with
        `context`; `require` raises ServingError for a version that is not meant. Raises ServingError also for a body
        that does not fit the version's columns and for whatever else keeps it from being answered:
        UnsupportedMediaType, TooLarge, Overloaded, RequestTimeout, TimedOut, and those of the batcher.
        """
        media = _media_type(request.headers.get("content-type", ""))
        _acceptable(request, media[0], kinds)
        data, arrived = bytearray(), False
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                await self._read(request, data)
                arrived = True
                body = Body(bytes(data), *media, context or {})
                parsed, form = await self._parsed(body, way, require)
                choice = self.choose(parsed)
                version = choice.version
                version.users += 1
                try:
                    request.scope[METRICS] = version.metrics
                    if not version.same_form(form):
                        parsed = await self._parse(body, way, version)
                    return Answer(parsed, version, await _predicted(request, parsed, choice))
                finally:
                    version.users -= 1
        except TimeoutError:
            raise _late(self.limits.request_seconds, arrived) from None
        finally:
            self._held -= len(data)

    async def _read(self, request: Request, data: bytearray) -> None:
        """The body into `data`. What is there counts as held until the request is answered."""
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

    async def _parsed(
        self, body: Body, way: str, require: Callable[[ServingVersion], None]
    ) -> tuple[ParsedRequest, ServingVersion]:
        """The request, and the version whose form it was parsed by; returns when no pause is on.

        Versions of one deployment nearly always share their form, hence the current one's. A body that does not fit
        it is refused only if no other version has taken over meanwhile: that may have other columns.
        """
        while True:
            form = self.current
            try:
                require(form)
                parsed = await self._parse(body, way, form)
            except ServingError:
                await self._unpaused()
                if self.current is form:
                    raise
            else:
                await self._unpaused()
                return parsed, form

    async def _parse(self, body: Body, way: str, version: ServingVersion) -> ParsedRequest:
        """In a process of its own if the body is long, or what reads it could crash."""
        if len(body.data) < _LONG_WORK and body.kind not in PARQUET:
            return PARSERS[way](body, version.form)
        return await self._parsers.parse(way, body, version.form)

    async def _unpaused(self) -> None:
        while self._gate is not None:
            await self._gate.wait()

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


async def _predicted(request: Request, parsed: ParsedRequest, choice: Choice) -> LogEntry:
    """Predicted and logged under the request's id, the header's, or one that is made."""
    wanted = checked_id(parsed.request_id or request.headers.get(REQUEST_ID) or None)
    pending = Pending(wanted or new_id(), parsed.rows, time.perf_counter(), choice.role, choice.variant)
    return await asyncio.wrap_future(choice.version.batcher.submit(pending))


def entry_response(value: Any, entry: LogEntry) -> Response:
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


def _late(seconds: float, arrived: bool) -> ServingError:
    if arrived:
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
        headers={"Connection": "close"},  # a client that sends drop by drop must not keep the connection
    )
