"""A version tried out on the real runtime: in a process or a container of its own that is gone afterwards.

What is asked here is no traffic: it is logged to a place that goes with the runtime, never to the project's log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.manifest import Servable
from mlops_workbench.registry.checks.check import Measured
from mlops_workbench.registry.proof import Answers
from mlops_workbench.registry.versions import Predictor
from mlops_workbench.rollout.runtime import client
from mlops_workbench.rollout.runtime.containers import start_container, stop
from mlops_workbench.rollout.runtime.deployment import Launch
from mlops_workbench.rollout.runtime.environment import without_platform
from mlops_workbench.rollout.runtime.waiting import until_ready

HOST = "127.0.0.1"
ROLE = "trial"
REQUESTS = 200
WARM_UP = 20
_SECONDS = 60
_IN_CONTAINER = "sqlite:////tmp/trial.db"
"""the container's own /tmp, which is memory"""

# The runtime is held by a keeper that ends it when the gate says so, or is no more: then its pipe is closed,
# whatever killed it. A session of its own, so that a Ctrl-C ends the gate first.
_KEEPER = """
import subprocess, sys
with open(sys.argv[1], "ab") as out:
    server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
print(server.pid, flush=True)
try:
    sys.stdin.buffer.read()
finally:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A runtime that answers at `port` of this machine as long as the trial lasts."""

    port: int
    pid: int


@contextmanager
def process(model_dir: Path, servable: Servable, *, fast: bool = True) -> Iterator[Trial]:
    """The serving runtime on a model's folder, in a process of its own, with a log as in production.

    `fast`: whether a proven fast path answers, as the policy has it.
    Raises ServingFailed with the end of its log when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-trial-") as scratch:
        log = Path(scratch) / "runtime.log"
        env = without_platform(os.environ) | {
            "MLOPS_MODEL_DIR": str(Path(model_dir).absolute()),
            "MLOPS_MODEL_NAME": servable.name,
            "MLOPS_MODEL_VERSION": servable.version,
            "MLOPS_MODEL_DIGEST": servable.digest,
            "MLOPS_ROLE": ROLE,
            "MLOPS_FAST": "1" if fast else "0",
            "MLOPS_LOG_URL": f"sqlite:///{scratch}/trial.db",
            "HOST": HOST,
            "PORT": "0",
        }
        # -P: a `random.py` beside the notebook must not be imported by the server
        words = [sys.executable, "-P", "-m", "mlops_workbench.serving"]
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, str(log), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=scratch,
            text=True,
            start_new_session=True,
        )
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        try:
            server = psutil.Process(int(keeper.stdout.readline()))
            port = _ready(log, server, servable)
            yield Trial(port, server.pid)
        finally:  # Popen's own `with` does not wait when it is left by Ctrl-C
            keeper.stdin.close()
            keeper.wait()
            keeper.stdout.close()


def _ready(log: Path, server: psutil.Process, servable: Servable) -> int:
    """The port, once the model answers there. Raises ServingFailed with the end of the log."""
    try:
        port = _port(log, server)
        url = f"http://{HOST}:{port}"
        until_ready(url, digest=servable.digest, seconds=_SECONDS, running=lambda: _runs(server))
    except ServingFailed as error:
        end = log.read_text(errors="replace")[-2_000:].strip() if log.exists() else ""
        raise ServingFailed(
            f"Version {servable.version} of '{servable.name}' did not start for a trial: {error.message} "
            f"Its log ends:\n{end}\n",
            "Correct what the log says.",
        ) from None
    return port


def _port(log: Path, server: psutil.Process) -> int:
    """The port that the system gave it, as its log says: none can be taken by somebody else meanwhile."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if not _runs(server):
            raise ServingFailed("It ended while it was starting.")
        for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == "serving":
                return int(event["port"])
        time.sleep(0.05)
    raise ServingFailed(f"It was not ready after {_SECONDS} s.")


def _runs(server: psutil.Process) -> bool:
    try:
        return server.is_running() and server.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def measure(
    model_dir: Path,
    servable: Servable,
    sample: Sequence[Mapping[str, Any]],
    rows: int,
    *,
    fast: bool = True,
) -> Measured:
    """Requests of `rows` rows, one after the other over one connection, after a warm-up; then its memory.

    Raises ServingFailed when it does not start, or refuses the rows.
    """
    import numpy as np

    asked = [dict(sample[place % len(sample)]) for place in range(rows)]
    body = json.dumps({"rows": asked}, allow_nan=False).encode()
    with process(model_dir, servable, fast=fast) as trial:
        connection = HTTPConnection(HOST, trial.port, timeout=_SECONDS)
        try:
            for _ in range(WARM_UP):
                _ask(connection, body)
            times = [_ask(connection, body) for _ in range(REQUESTS)]
            server = psutil.Process(trial.pid)
            resident = sum(p.memory_info().rss for p in (server, *server.children(recursive=True)))
        except (OSError, HTTPException, psutil.NoSuchProcess) as error:
            raise ServingFailed(
                f"Version {servable.version} of '{servable.name}' stopped answering during its trial: {error}."
            ) from error
        finally:
            connection.close()
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return Measured(REQUESTS, float(p50), float(p99), resident / 1e6)


def _ask(connection: HTTPConnection, body: bytes) -> float:
    """Milliseconds until the whole answer is here."""
    started = time.perf_counter()
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    took = time.perf_counter() - started
    if answer.status != 200:
        message = content[:300].decode(errors="replace")
        raise ServingFailed(f"The runtime answered its own sample rows with HTTP {answer.status}: {message}.")
    return took * 1000


@dataclass(frozen=True, slots=True)
class _Answered:
    values: Sequence[Any]
    probabilities: Sequence[Sequence[float]] | None


def image(tag: str, servable: Servable) -> Predictor:
    """What a container of the image answers: started for the question, and removed whatever comes.

    The question raises EngineUnavailable, NotFound (no such image here) or ServingFailed.
    """

    def ask(rows: Sequence[Mapping[str, Any]]) -> Answers:
        deployment = start_container(tag, servable, Launch(role=ROLE, log_url=_IN_CONTAINER))
        try:
            answer = client.predict(deployment, [dict(row) for row in rows])
        finally:
            stop(deployment)
        return _Answered(answer["predictions"], answer.get("probabilities"))

    return ask
