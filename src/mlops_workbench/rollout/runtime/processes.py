"""Serving as a process of this machine, which outlives the notebook that started it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import psutil

from mlops_workbench.base.errors import Conflict, ServingFailed
from mlops_workbench.manifest import Servable
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch
from mlops_workbench.rollout.runtime.environment import without_platform
from mlops_workbench.rollout.runtime.waiting import GRACE_SECONDS, until_ready

_HOST = "127.0.0.1"
_ID = "MLOPS_DEPLOYMENT"
_SAME_START = 2.0
"""seconds by which two readings of a process's start may differ when the clock was set"""

# Started by an intermediate process that ends at once: so the server is no child of the notebook's kernel,
# is not left as a zombie of it, and does not get its Ctrl-C.
_LAUNCHER = """
import os, subprocess, sys
log, cwd, *words = sys.argv[1:]
with open(log, "ab") as out:
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, start_new_session=True
    )
print(process.pid, flush=True)
os._exit(0)
"""


def start_local(model_dir: Path, servable: Servable, launch: Launch, *, log_file: Path) -> Deployment:
    """Serve a model's folder from a process of its own on 127.0.0.1, and wait until it is ready.

    Log lines are appended to `log_file`. Raises Conflict if the port is in use, ServingFailed with the end of the log.
    """
    name, version, digest = servable.name, servable.version, servable.digest
    port = _free_port(launch.port)
    model_dir, log_file = Path(model_dir).absolute(), Path(log_file).absolute()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    before = log_file.stat().st_size if log_file.exists() else 0
    env = without_platform(os.environ) | {
        **launch.environment,
        **servable.variables(),
        "MLOPS_MODEL_DIR": str(model_dir),
        "MLOPS_ROLE": launch.role,
        "MLOPS_LOG_URL": launch.log_url or "",
        "HOST": _HOST,
        "PORT": str(port),
        "MLOPS_TAKE_PORT": str(launch.takes or ""),
        _ID: launch.id,
    }
    process = _launch(log_file, Path("/"), env)  # a file beside the model is no part of it
    deployment = Deployment(
        id=launch.id,
        model=name,
        version=version,
        kind="process",
        url=f"http://{_HOST}:{port}",
        port=port,
        role=launch.role,
        digest=digest,
        pid=process.pid,
        pid_started=process.create_time(),
        log_file=str(log_file),
    )
    try:
        until_ready(deployment.url, digest=digest, seconds=launch.seconds, running=lambda: _running(process))
    except BaseException as error:
        # Also when the wait was interrupted: nothing may be left that no record knows.
        stop(deployment)
        if not isinstance(error, ServingFailed):
            raise
        raise ServingFailed(
            f"'{name}' version {version} did not start: {error.message} Its log ends:\n"
            f"{_text(log_file, before)}\n",
            error.next_step or "Correct what the log says, then start it again.",
        ) from None
    return deployment


def moved_to(deployment: Deployment, port: int, *, seconds: float = 15) -> Deployment:
    """The deployment at the port that it takes; as it was if that is not free in time."""
    url = f"http://{_HOST}:{port}"
    try:
        until_ready(
            url, digest=deployment.digest, seconds=seconds, running=lambda: _ours(deployment) is not None
        )
    except ServingFailed:
        return deployment
    return replace(deployment, url=url, port=port)


def is_free(port: int) -> bool:
    """Whether nothing listens there."""
    try:
        return bool(_free_port(port))
    except Conflict:
        return False


def ended(deployment: Deployment) -> Literal["stopped", "failed"] | None:
    """None while it runs; else whether it ended cleanly, by the last line of its log."""
    if _ours(deployment) is not None:
        return None
    lines = tail(deployment, 1)
    try:
        last = json.loads(lines)
    except ValueError:
        return "failed"
    return "stopped" if isinstance(last, dict) and last.get("event") == "stopped" else "failed"


def stop(deployment: Deployment) -> None:
    process = _ours(deployment)
    if process is None:
        return
    try:
        process.terminate()
        if not _gone(process, GRACE_SECONDS):
            process.kill()
            _gone(process, 5)
    except psutil.NoSuchProcess:
        return  # it went by itself meanwhile


def stop_unrecorded(deployment: str) -> str | None:
    """End the process of a deployment, and the one that starts it, by what they were started with."""
    ended = None
    while found := [p for p in psutil.process_iter() if _carries(p, deployment)]:
        for process in found:
            ended = f"The process {process.pid}"
            try:
                process.kill()  # nobody was given its address
                _gone(process, 5)
            except psutil.NoSuchProcess:
                continue
    return ended


def _carries(process: psutil.Process, deployment: str) -> bool:
    try:
        return (
            process.uids().real == os.getuid()
            and process.environ().get(_ID) == deployment
            and "mlops_workbench.serving" in process.cmdline()
            and _running(process)
        )
    except (psutil.Error, OSError):
        return False


def tail(deployment: Deployment, lines: int) -> str:
    path = Path(deployment.log_file or "")
    if not path.is_file():
        return ""
    return "\n".join(_text(path, 0).splitlines()[-lines:])


def _launch(log_file: Path, cwd: Path, env: dict[str, str]) -> psutil.Process:
    # -P: a `random.py` beside the notebook must not be imported by the server
    server = [sys.executable, "-P", "-m", "mlops_workbench.serving"]
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(log_file), str(cwd), *server]
    started = subprocess.run(launcher, env=env, capture_output=True, text=True, check=False)
    if started.returncode:
        raise ServingFailed(f"No process could be started: {started.stderr.strip().splitlines()[-1]}")
    try:
        return psutil.Process(int(started.stdout))
    except psutil.NoSuchProcess:
        raise ServingFailed(f"The process ended at once. Its log ends:\n{_text(log_file, 0)}") from None


def _ours(deployment: Deployment) -> psutil.Process | None:
    """The process, if it still runs and is the one that was started."""
    if deployment.pid is None or deployment.pid_started is None:
        return None
    try:
        process = psutil.Process(deployment.pid)
        same = abs(process.create_time() - deployment.pid_started) < _SAME_START
    except psutil.NoSuchProcess:
        return None
    return process if same and _running(process) else None


def _gone(process: psutil.Process, seconds: float) -> bool:
    """Whether it ends within `seconds`. Not `wait()`: that also waits for the parent to collect a zombie."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not _running(process):
            return True
        time.sleep(0.02)
    return False


def _running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_port(port: int | None) -> int:
    """`port` if nothing listens there, else any free one. Raises Conflict."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port or 0))
            probe.listen(1)
        except OSError as error:
            raise Conflict(
                f"The port {port} of {_HOST} cannot be used: {error.strerror}.",
                "Choose another port, or none.",
            ) from None
        return int(probe.getsockname()[1])


def _text(log_file: Path, start: int, most: int = 4_000) -> str:
    """The end of what was written to a log after byte `start`."""
    with log_file.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - most))
        return file.read().decode(errors="replace").strip()
