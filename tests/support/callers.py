"""Callers who never pause: each keeps its connection, and notes what it was answered, and when."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Said:
    """One answer: when it was sent and received (`time.monotonic`), its status and its JSON."""

    sent: float
    received: float
    status: int
    body: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.body.get("version"))


class Callers:
    """`count` threads that ask `POST /predict` until the block is left. What fails is an answer, too: status 0."""

    def __init__(self, port: int, count: int, body: Callable[[int], dict[str, Any]]) -> None:
        self.said: list[Said] = []
        self._port = port
        self._body = body
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(count)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, seconds: float = 60) -> None:
        """Until so many further answers are there."""
        wanted, end = len(self.said) + more, time.monotonic() + seconds
        while len(self.said) < wanted:
            assert time.monotonic() < end, "nobody is answered"
            time.sleep(0.005)

    def _call(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            raw = json.dumps(self._body(number))
            sent = time.monotonic()
            try:
                connection.request("POST", "/predict", raw, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
                status = answer.status
            except (OSError, http.client.HTTPException, ValueError) as problem:
                connection.close()
                body, status = {"error": repr(problem)}, 0
            self.said.append(Said(sent, time.monotonic(), status, body))
        connection.close()
