"""Models asked in a fresh process, as the serving runtime will load them: by their shipped files alone.

The notebook's process holds more than the files: modules beside the notebook, settings of libraries, patches. A model
that needs any of it would be proven here and not start where it is served.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import mlops_workbench
from mlops_workbench.base.errors import InvalidModel, ServingFailed
from mlops_workbench.rollout.runtime.environment import without_platform
from mlops_workbench.rollout.runtime.fresh_process import PLAIN, PYFUNC
from mlops_workbench.serving.answers import Prediction

if TYPE_CHECKING:
    import pandas as pd

START_SECONDS = 120
LOAD_SECONDS = 180
ANSWER_SECONDS = 900

# Our package may lie where only PYTHONPATH says; nothing else that lies there may be found.
_START = """
import sys
sys.path.append(sys.argv[2])
from mlops_workbench.rollout.runtime.fresh_process import main
main()
"""


class _Raised(InvalidModel):
    """A model that was loaded raised for rows. `raised`: the class of what it raised."""

    def __init__(self, raised: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.raised = raised

    @property
    def kind(self) -> str:
        return InvalidModel.__name__


class _Server:
    """The warm process, one for each process of ours: started early, it imports while others work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._errors: IO[bytes] | None = None
        self._owner = 0

    def warm(self) -> None:
        """Start it, if it does not run. Returns at once."""
        with self._lock:
            self._ensure()

    def connect(self, kind: bytes) -> tuple[Connection, int]:
        """A connection to a new child of it, and that child's process id. Raises `ServingFailed`."""
        for attempt in (1, 2):
            ours, theirs = socket.socketpair()
            connection = Connection(ours.detach())
            with theirs, self._lock:
                control = self._ensure()
                with contextlib.suppress(OSError):  # it ends when it was idle for long
                    socket.send_fds(control, [kind], [theirs.fileno()])
            try:
                if not connection.poll(START_SECONDS):
                    raise ServingFailed(f"No process to ask the model in after {START_SECONDS} s.")
                return connection, int(connection.recv())
            except (EOFError, OSError):
                connection.close()
                said = self._said()
                self.stop()
                if attempt == 2:
                    raise ServingFailed(
                        f"No process to ask the model in could be started: {said}",
                        "Correct what it says: a fresh Python must be able to import the serving runtime.",
                    ) from None
            except BaseException:
                connection.close()
                raise
        raise AssertionError("two attempts are made")

    def stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            self._close()
            if process is None or self._owner != os.getpid():
                return
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:  # still importing: it has no children
                process.kill()
                process.wait()

    def _ensure(self) -> socket.socket:
        running = self._process is not None and self._owner == os.getpid() and self._process.poll() is None
        if not running:
            self._start()
        assert self._control is not None
        return self._control

    def _start(self) -> None:
        self._close()
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when it ends too early
        environment = without_platform(os.environ)
        environment.pop("PYTHONPATH", None)
        package = Path(mlops_workbench.__file__).parent.parent
        with theirs:
            # -P: nothing of the folder it is started in. A session of its own: a Ctrl-C is not meant for it.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-c", _START, str(theirs.fileno()), str(package)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=tempfile.gettempdir(),
                start_new_session=True,
            )
        self._control, self._owner = ours, os.getpid()

    def _close(self) -> None:
        for used in (self._control, self._errors):
            if used is not None:
                used.close()
        self._control = self._errors = None

    def _said(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@cache
def server() -> _Server:
    found = _Server()
    atexit.register(found.stop)
    return found


@dataclass(frozen=True, slots=True)
class Served:
    """A model's folder, loaded in a process of its own that ends with this object."""

    connection: Connection
    pid: int

    @classmethod
    def load(cls, folder: Path, *, pyfunc: bool = False) -> Served:
        """Raises `InvalidModel` with the reason, `ServingFailed` if no process can be started."""
        served = cls(*server().connect(PYFUNC if pyfunc else PLAIN))
        try:
            served._ask("load", str(Path(folder).absolute()), LOAD_SECONDS)
        except BaseException:
            served.close()
            raise
        return served

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Prediction:
        _, values, probabilities = self._ask("rows", [dict(row) for row in rows], ANSWER_SECONDS)
        return Prediction(values, probabilities)

    def frame(self, rows: pd.DataFrame) -> Prediction:
        """Many rows as the model itself reads them (`serving.original.as_frame`), without its fast path."""
        _, values, probabilities = self._ask("frame", rows, ANSWER_SECONDS)
        return Prediction(values, probabilities)

    def close(self) -> None:
        self.connection.close()

    def _ask(self, what: str, given: Any, seconds: float) -> tuple[Any, ...]:
        done = "loaded" if what == "load" else "asked"
        try:
            self.connection.send((what, given))
            if not self.connection.poll(seconds):
                self._kill()
                raise InvalidModel(
                    f"The model was not {done} within {seconds:.0f} s in a fresh process, which was ended.",
                    "Make it quicker, or give fewer rows.",
                )
            found: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            raise InvalidModel(
                f"The fresh process ended before the model was {done}: its library crashed, or memory was short.",
                "Look at what the model does when it is loaded, and at the free memory.",
            ) from None
        except KeyboardInterrupt:
            self._kill()
            raise
        match found:
            case "refused", message, next_step:
                raise InvalidModel(f"In a fresh process, as it will be served: {message}", next_step)
            case "raised", kind, sentence:
                raise _Raised(
                    kind,
                    f"Loaded from its file, the model cannot answer: {kind}: {sentence.rstrip('.')}.",
                    _remedy(),
                )
        return found

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _remedy() -> str:
    """What to do about a model that answers here and not there."""
    if settings := changed_settings():
        return (
            f"This notebook has set {settings} with sklearn.set_config, which is not set where it is served: say it on "
            "the model itself (set_output on the pipeline) and fit it again."
        )
    return "A served column holds numbers, texts, booleans or times: fit the model on such columns."


def changed_settings() -> str:
    """What scikit-learn is configured with here that a fresh process is not, as `name='value'`; empty if nothing."""
    sklearn = sys.modules.get("sklearn")
    if sklearn is None:
        return ""
    named = {"transform_output": "default", "enable_metadata_routing": False, "array_api_dispatch": False}
    now = sklearn.get_config()
    return ", ".join(f"{name}={now.get(name)!r}" for name, usual in named.items() if now.get(name) != usual)
