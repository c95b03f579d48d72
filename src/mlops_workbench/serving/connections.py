"""What a connection may cost before anybody knows who is there: size, number and time of headers, connections at once.

Everything else (bodies, their time, their memory) is limited where requests are read (`intake`).
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32 << 10
"""request line and headers"""
HEADERS = 100
FRAME_BYTES = 64 << 10
"""of a message besides its body: chunk sizes and their extensions, trailers"""
FRAME_SHARE = 8
"""further such bytes for each byte of the body: a chunk of one byte needs six"""
HEAD_SECONDS = 10.0
MESSAGE_SECONDS = 120.0
"""for a body, also one that nobody reads any more; requests that are answered have a shorter limit of their own"""
IDLE_SECONDS = 65.0
"""without a first byte"""
CONNECTIONS = 1000

_CLOSING = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class _Refused(Exception):
    pass


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, within limits."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._open = False  # a message has begun and not ended
        self._head = True  # its headers are not there yet
        self._read = self._body = 0  # bytes of this message
        self._passed = 0.0  # seconds for which its body has been awaited
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(IDLE_SECONDS, self._expired)
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, b"Too many connections are open. Ask again in a second.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._read += len(data)
        super().data_received(data)
        if not self._open:
            if self._timer is not None:
                self._stop_timer()
            return
        if self._read - self._body > self._allowed() or len(self.headers) > 2 * HEADERS:
            self._refuse(431, b"The request's headers, chunks or trailers are too large.")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._expired)

    def _allowed(self) -> int:
        return HEAD_BYTES if self._head else HEAD_BYTES + FRAME_BYTES + FRAME_SHARE * self._body

    def on_message_begin(self) -> None:
        self._open = self._head = True
        self._body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._head_is_large():
            raise _Refused
        self._head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._open = False
        self._read = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Also what a callback raised comes to this."""
        if self._open and self._head and self._head_is_large():
            self._refuse(431, b"The request has too many or too large headers.")
        else:
            super().send_400_response(msg)

    def _head_is_large(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return len(self.headers) > HEADERS or size > HEAD_BYTES

    def _expired(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._open and not self._head and self._passed < MESSAGE_SECONDS:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._expired)
            self._passed += HEAD_SECONDS
            return
        if self._open:
            self._refuse(408, b"The request did not arrive in time.")
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        self._passed = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, sentence: bytes) -> None:
        """An answer, and the connection is closed: nothing more of it is read."""
        self._stop_timer()
        if self.cycle is None or self.cycle.response_complete:
            head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, _CLOSING[status], len(sentence)) + sentence)
            self.transport.close()
        else:  # an answer is under way: it cannot be given whole
            self.transport.abort()


def raise_limits() -> None:
    """As many open files as this process may have, up to 65,536: each connection is one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
