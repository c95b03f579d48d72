"""The process that `fresh.py` starts: it imports what every model needs, and forks a child for each that is asked.

Nothing of the notebook is here: neither its folder nor PYTHONPATH on the import path, nor what it has set in its
libraries. It ends when it has been idle for a while, and with its children when its parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

IDLE_SECONDS = 300
_PRELOADED = (
    *("mlops_workbench.serving.dataplane", "mlops_workbench.serving.fast.evaluator"),
    *("pandas", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline"),
    *("skops.io", "cloudpickle", "threadpoolctl"),
)
PLAIN, PYFUNC = b"0", b"1"
"""what a request says: whether the model is MLflow's, which takes another second of imports"""


def main() -> None:
    parent = os.getppid()
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            import_module(name)
    children: set[int] = set()
    used = time.monotonic()
    while os.getppid() == parent:
        _collect(children)
        readable, _, _ = select.select([control], [], [], 1.0)
        if not readable:
            if not children and time.monotonic() - used > IDLE_SECONDS:
                break
            continue
        said, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            break
        used = time.monotonic()
        if said == PYFUNC:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            with contextlib.suppress(ImportError):
                import_module("mlflow.pyfunc")
        child = os.fork()
        if child == 0:
            control.close()
            try:
                _answer(Connection(descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])
        children.add(child)
    for child in children:  # one may be in the middle of a calculation
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _collect(children: set[int]) -> None:
    for child in [*children]:
        if os.waitpid(child, os.WNOHANG)[0]:
            children.discard(child)


def _answer(asked: Connection) -> None:
    """Load a folder, then answer rows until the other end is closed. Everything that fails is an answer, too."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from mlops_workbench.serving.dataplane import DataPlane
    from mlops_workbench.serving.errors import ModelRefused

    asked.send(os.getpid())
    plane: Any = None
    while True:
        try:
            what, given = asked.recv()
        except (EOFError, OSError):
            return
        try:
            match what:
                case "load":
                    os.chdir(given)
                    plane = DataPlane.load(Path(given), name=Path(given).name, version="0")
                    said: tuple[Any, ...] = ("loaded",)
                case "rows":
                    found = plane.predict([plane.from_json(row) for row in given])
                    said = ("answers", found.values, found.probabilities)
                case "frame":
                    # threads that wait for each other cost more than these rows
                    with threadpool_limits(1, "openmp"):
                        found = plane.original.answer(given)
                    said = ("answers", found.values, found.probabilities)
        except ModelRefused as problem:
            said = ("refused", problem.message, problem.next_step)
        except BaseException as problem:  # whatever a model raises, an exit too
            said = ("raised", type(problem).__name__, " ".join(str(problem).split())[:300])
        try:
            asked.send(said)
        except (TypeError, AttributeError, ValueError) as problem:  # an answer that cannot be pickled
            asked.send(("raised", type(problem).__name__, str(problem)[:300]))
