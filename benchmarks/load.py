"""A load generator on raw sockets, in a process of its own: `load.py PORT PATH CLIENTS SECONDS < body`.

Each client sends its next request when the last one is answered. Prints JSON: requests a second, p50 and p99 in
milliseconds. It understands just enough HTTP to cost less than any server that it is pointed at.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


class Client(asyncio.Protocol):
    def __init__(self, request: bytes, times: list[float], until: float, done: asyncio.Future[None]) -> None:
        self._request, self._times, self._until, self._done = request, times, until, done
        self._got = b""
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        self._got, self._wanted = b"", 0
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._wanted:
            head = self._got.find(b"\r\n\r\n")
            if head < 0:
                return
            if not self._got.startswith(b"HTTP/1.1 200"):
                self._done.set_exception(RuntimeError(self._got[:300].decode(errors="replace")))
                self._transport.close()
                return
            names = self._got[:head].lower()
            at = names.index(b"content-length:") + 15
            self._wanted = head + 4 + int(names[at:].split(b"\r\n", 1)[0])
        if len(self._got) < self._wanted:
            return
        now = time.perf_counter()
        self._times.append(now - self._sent)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def load(port: int, path: str, clients: int, seconds: float, body: bytes) -> dict[str, float]:
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    times: list[float] = []
    started = time.perf_counter()
    waits = [loop.create_future() for _ in range(clients)]
    for done in waits:
        await loop.create_connection(
            lambda done=done: Client(request, times, started + seconds, done), "127.0.0.1", port
        )
    await asyncio.gather(*waits)
    took = time.perf_counter() - started
    times.sort()
    return {
        "rate": len(times) / took,
        "p50": 1000 * times[len(times) // 2],
        "p99": 1000 * times[min(len(times) - 1, int(len(times) * 0.99))],
    }


if __name__ == "__main__":
    try:
        import uvloop

        run = uvloop.run
    except ImportError:
        run = asyncio.run
    port, path, clients, seconds = sys.argv[1:]
    print(json.dumps(run(load(int(port), path, int(clients), float(seconds), sys.stdin.buffer.read()))))
