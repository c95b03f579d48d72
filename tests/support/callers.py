"""Callers who ask again and again, in a process of their own: each notes what it was answered, and when."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import forks

_PAUSE_SECONDS = 0.02
"""so that those who move things have their turn on a small machine, too"""


@dataclass
class Said:
    """One answer: when it was sent and received (`time.monotonic`), its status and its JSON. Status 0: none came."""

    sent: float
    received: float
    status: int
    body: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.body.get("version"))


class Callers:
    """`count` connections that ask `POST /predict` until the block is left; then `said` is there."""

    def __init__(self, port: int, count: int, body: dict[str, Any]) -> None:
        context = forks.context()
        self.said: list[Said] = []
        self._answers = context.Value("i", 0)
        self._mine, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(port, count, body, self._answers, theirs))

    def __enter__(self) -> Callers:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.send("stop")
        self.said = self._mine.recv()
        self._process.join()

    def wait_for(self, more: int, seconds: float = 60) -> None:
        """Until so many further answers are there."""
        wanted, end = self._answers.value + more, time.monotonic() + seconds
        while self._answers.value < wanted:
            assert time.monotonic() < end, "nobody is answered"
            time.sleep(0.005)


def _work(port: int, count: int, body: dict[str, Any], answers: Any, pipe: Any) -> None:
    said: list[Said] = []
    stop = threading.Event()

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        raw = json.dumps(body)
        while not stop.is_set():
            sent = time.monotonic()
            try:
                connection.request("POST", "/predict", raw, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                found, status = json.loads(answer.read()), answer.status
            except (OSError, http.client.HTTPException, ValueError) as problem:
                connection.close()
                found, status = {"error": repr(problem)}, 0
            said.append(Said(sent, time.monotonic(), status, found))
            with answers.get_lock():
                answers.value += 1
            time.sleep(_PAUSE_SECONDS)
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    pipe.recv()
    stop.set()
    for thread in threads:
        thread.join()
    pipe.send(said)
