"""A served application over a real socket, and the runtime as a real process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

KSERVE = os.environ.get("MLOPS_TEST_KSERVE")
"""a Python that has kserve: it wants another protobuf and psutil than the workbench has"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, body: Any = None, *, headers: dict[str, str] | None = None, method: str | None = None
) -> Answer:
    """One request over a real socket; `body` is sent as it is if it is bytes, else as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application behind a real socket, in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        assert thread.is_alive(), "the application did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def process(folder: Path, *, code: str = "", **env: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m mlops_workbench.serving` (or `code`) as a real process; killed at the end if it still runs."""
    variables = os.environ | {
        "MLOPS_MODEL_DIR": str(folder),
        "MLOPS_MODEL_NAME": "flights",
        "MLOPS_MODEL_VERSION": "3",
        "MLOPS_LOG_URL": "",
        **env,
    }
    running = subprocess.Popen(
        [sys.executable, *(["-c", code] if code else ["-m", "mlops_workbench.serving"])],
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait()
        assert running.stderr is not None
        running.stderr.close()


def wait_ready(url: str, seconds: float = 60) -> None:
    _wait_for(f"{url}/health/ready", seconds)


def wait_live(url: str, seconds: float = 60) -> None:
    _wait_for(f"{url}/health/live", seconds)


def _wait_for(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ask(url).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} did not become ready")


def serve_here(folder: Path, output: Path, **env: str) -> None:
    """What a forked process runs: the runtime as `python -m` starts it, with its imports done already."""
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    names = {"MLOPS_MODEL_DIR": str(folder), "MLOPS_MODEL_NAME": "flights", "MLOPS_MODEL_VERSION": "3"}
    os.environ.update(names | env)
    from mlops_workbench.serving.__main__ import main

    sys.exit(main())
