"""A process beside the server that carries out verbs: what they import and compute never holds up the event loop.

A thread is not enough: importing MLflow or pandas, a garbage collection, or a report of Evidently keep the interpreter
for up to seconds. The process is started when the first such verb is asked for, and ends with the server; what it is
doing then is finished. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from mlops_workbench.base.errors import MlopsError


class Refused(MlopsError):
    """What a verb raised in the other process, in its words."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(str(said.get("message")), str(said.get("next_step") or ""))
        self.status = status  # type: ignore[misc]  # of the error that this one stands for
        self._said = said

    @property
    def kind(self) -> str:
        return str(self._said.get("error"))

    def to_dict(self) -> dict[str, Any]:
        return self._said


class Ended(MlopsError):
    """The process that carried verbs out is gone."""

    status = 500


class VerbProcess:
    """`run` may be called from any thread; as many requests as there are threads are worked on at once."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._asked: dict[int, Future[dict[str, Any]]] = {}
        self._number = 0

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verb's JSON. Raises `Refused` for what it raised, and `Ended`."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            process = self._running()
            self._number += 1
            self._asked[number := self._number] = answer
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps([number, request]) + "\n")
                process.stdin.flush()
            except OSError:  # it has just ended: whoever reads its answers says so
                pass
        said = answer.result()
        if (refused := said.get("refused")) is not None:
            raise Refused(said["status"], refused)
        value: dict[str, Any] = said["value"]
        return value

    def close(self) -> None:
        """It ends when it has done what it is doing; nobody waits for that."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()

    def _running(self) -> subprocess.Popen[str]:
        """The lock is held."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mlops_jupyter.beside", str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
            self._asked = {}
            reader = threading.Thread(
                target=self._read, args=(self._process, self._asked), name="mlops-beside", daemon=True
            )
            reader.start()
        return self._process

    def _read(self, process: subprocess.Popen[str], asked: dict[int, Future[dict[str, Any]]]) -> None:
        """Until the process has ended: then what it has not answered never will be."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                number, said = json.loads(line)
                with self._lock:
                    answer = asked.pop(number)
                answer.set_result(said)
        code = process.wait()
        if process.stdin is not None:
            with suppress(OSError):  # of what could not be written to it any more
                process.stdin.close()
        with self._lock:
            left = [*asked.values()]
            asked.clear()
            if self._process is process:
                self._process = None
        for answer in left:
            answer.set_exception(
                Ended(
                    f"The process that carried this verb out ended before it was done (exit code {code}).",
                    "See what the records say (`status`), then ask again.",
                )
            )


def main(threads: int, perform: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """In the process: each line is a request. Ends with its input, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    writing = threading.Lock()

    def work(number: int, request: dict[str, Any]) -> None:
        line = json.dumps([number, perform(request)])
        with writing:
            answers.write(line + "\n")
            answers.flush()

    with ThreadPoolExecutor(threads, thread_name_prefix="mlops") as pool:
        for line in sys.stdin:
            pool.submit(work, *json.loads(line))


if __name__ == "__main__":
    from mlops_jupyter.performing import perform_in_words

    main(int(sys.argv[1]), perform_in_words)
