"""Our runtime beside a constant FastAPI, a plain FastAPI with the pipeline, and `mlflow models serve`.

One row a request, 1, 16 and 64 clients, one worker each, the prediction log on (ours only). All servers run at once;
rounds are interleaved, and each figure is the median of its rounds. Memory is resident memory after the load.

    serving.py [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from register import data, fit

from mlops_workbench.workbench import Workbench

HERE = Path(__file__).parent
CLIENTS = (1, 16, 64)


@dataclass
class Server:
    name: str
    path: str
    body: bytes
    port: int
    process: psutil.Process
    started: float
    """seconds from the process's start to its first answer"""
    seen: dict[int, list[dict[str, float]]] = field(default_factory=dict)

    def median(self, clients: int, what: str) -> float:
        return statistics.median(seen[what] for seen in self.seen[clients])

    @property
    def memory(self) -> int:
        """Resident megabytes of the process that answers: the largest of a launcher and what it launched."""
        return max(p.memory_info().rss for p in [self.process, *self.process.children(recursive=True)]) >> 20


@contextmanager
def server(name: str, words: list[str], port: int, path: str, body: bytes, **env: str) -> Iterator[Server]:
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words,
            env=os.environ | env,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=tempfile.gettempdir(),
        )
        try:
            while True:
                try:
                    request = urllib.request.Request(
                        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"}
                    )
                    urllib.request.urlopen(request, timeout=10).read()
                    break
                except OSError:
                    if process.poll() is not None or time.perf_counter() - begun > 120:
                        log.seek(0)
                        raise SystemExit(f"{name} did not start:\n{log.read().decode()[-2000:]}") from None
                    time.sleep(0.02)
            taken = time.perf_counter() - begun
            yield Server(name, path, body, port, psutil.Process(process.pid), taken)
        finally:
            if process.poll() is None:
                launched = psutil.Process(process.pid)
                for each in [*launched.children(recursive=True), launched]:
                    each.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def asked(one: Server, clients: int, seconds: float) -> dict[str, float]:
    words = [sys.executable, str(HERE / "load.py"), str(one.port), one.path, str(clients), str(seconds)]
    done = subprocess.run(words, input=one.body, capture_output=True, check=True, timeout=seconds + 60)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def servers(stack: ExitStack, folder: Path, version: Any, model: Path, row: dict[str, Any]) -> list[Server]:
    rows, records = json.dumps({"rows": [row]}).encode(), json.dumps({"dataframe_records": [row]}).encode()
    peers, ours = str(HERE / "peers.py"), [sys.executable, "-m", "mlops_workbench.serving"]
    found = []

    def add(name: str, words: list[str], port: int, path: str, body: bytes, **env: str) -> None:
        found.append(stack.enter_context(server(name, words, port, path, body, **env)))

    port = free_port()
    add("constant FastAPI", [sys.executable, peers, "constant", str(port)], port, "/predict", rows)
    port = free_port()
    words = [sys.executable, peers, "plain", str(port), str(model / "model.skops")]
    add("plain FastAPI", words, port, "/predict", rows)
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
    (folder / "bin").mkdir()
    command = (
        folder / "bin" / "uvicorn"
    )  # mlflow starts it by its name; not every environment has the command
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m uvicorn "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ.get("PATH", "")])
    words += ["--env-manager", "local"]
    add("mlflow models serve", words, port, "/invocations", records, PATH=path)
    for name, fast in (("ours, fast path", "1"), ("ours, original path", "0")):
        port = free_port()
        env = {
            "MLOPS_MODEL_DIR": str(model),
            "MLOPS_MODEL_NAME": version.name,
            "MLOPS_MODEL_VERSION": str(version.version),
            "MLOPS_LOG_URL": f"sqlite:///{folder}/log-{fast}.db",
            "MLOPS_FAST": fast,
            "PORT": str(port),
        }
        add(name, ours, port, "/predict", rows, **env)
    return found


def main(rounds: int, seconds: float) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    frame = data(5_000)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        workbench = Workbench(folder / "project")
        workbench.init("benchmark")
        version = workbench.register(fit(frame), name="late", data=frame)
        print(version.path)
        stored = workbench.tracking.version("late", version.version)
        model = workbench.tracking.folder(stored)
        row = json.loads(frame.drop(columns="late").head(1).to_json(orient="records"))[0]
        found = servers(stack, folder, version, Path(model), row)
        for number in range(-1, rounds):  # the first warms up
            for clients in CLIENTS:
                for one in found:
                    seen = asked(one, clients, seconds if number >= 0 else 0.5)
                    if number >= 0:
                        one.seen.setdefault(clients, []).append(seen)
        show(found)
        workbench.close()


def show(found: list[Server]) -> None:
    constant, _, mlflow, *ours = found
    columns = "".join(f"{f'{c} clients':>26s}" for c in CLIENTS)
    print(f"{'requests/s, p50 / p99 in ms':24s}{columns}{'start':>9s}{'memory':>9s}")
    for one in found:
        cells = [
            f"{one.median(c, 'rate'):10,.0f} {one.median(c, 'p50'):6.1f} / {one.median(c, 'p99'):6.1f}"
            for c in CLIENTS
        ]
        print(f"{one.name:24s}{''.join(cells)}{one.started:7.1f} s{one.memory:6d} MB")
    for one in ours:
        for beside in (mlflow, constant):
            ratios = [one.median(c, "rate") / beside.median(c, "rate") for c in CLIENTS]
            print(f"{one.name} / {beside.name}: " + ", ".join(f"{r:.2g}" for r in ratios))
        p99 = one.median(64, "p99") / mlflow.median(64, "p99")
        print(
            f"{one.name}: p99 at 64 clients {p99:.3f} of MLflow's, memory {one.memory / mlflow.memory:.2f} of it"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, float(sys.argv[2]) if len(sys.argv) > 2 else 3.0)
