"""What can be seen while a cell runs: what it prints, the pictures it shows, its memory and time."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO, cast

from mlops_workbench.track.printed import PrintedReader

INTERVAL = 0.05
"""seconds between two looks at the memory"""
MOST_FIGURES = 50
LARGEST_FIGURE = 10_000_000
_KINDS = {
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/jpeg": "jpg",
    "application/vnd.plotly.v1+json": "plotly.json",
    "application/vnd.vegalite.v5+json": "vl.json",
}
"""what counts as a figure, the first that a shown thing has; ordinary HTML (tables) does not"""


class Figures:
    """Pictures that were shown, each once, in order: file name → bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._seen: set[str] = set()

    def shown(self, data: Mapping[str, Any]) -> None:
        """A MIME bundle that was displayed."""
        kind = next((k for k in _KINDS if data.get(k)), None)
        if kind is not None:
            self.add(_bytes(kind, data[kind]), _KINDS[kind])

    def add(self, content: bytes, suffix: str) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if digest in self._seen or len(self.files) >= MOST_FIGURES or len(content) > LARGEST_FIGURE:
            return
        self._seen.add(digest)
        self.files[f"{len(self.files) + 1}.{suffix}"] = content


def _bytes(kind: str, content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        return json.dumps(content, default=str).encode()
    return content.encode() if kind == "image/svg+xml" else base64.b64decode(content)


def open_figures() -> dict[int, Any]:
    """matplotlib's open figures by number; nothing is imported for it, and which is the current one stays."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    managers = helpers.Gcf.get_all_fig_managers() if helpers else ()
    return {manager.num: manager.canvas.figure for manager in managers}


def picture_of(figure: Any) -> bytes:
    """A matplotlib figure as PNG, whatever it is drawn on."""
    written = io.BytesIO()
    figure.savefig(written, format="png", bbox_inches="tight")
    return written.getvalue()


class _Tee:
    """Writes on to where the text belongs, at once, and lets the reader see it too.

    No `io` class: one that is collected would close what it writes to.
    """

    def __init__(self, stream: TextIO, reader: PrintedReader) -> None:
        self._stream, self._reader, self._lock = stream, reader, threading.Lock()

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        with self._lock:
            self._reader.feed(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Observed:
    """What was seen of some code. Memory is all of the process's, which a cell shares with the notebook before it."""

    def __init__(self) -> None:
        import psutil

        self.reader = PrintedReader()
        self.figures = Figures()
        self.open_before = set(open_figures())
        self.seconds = self.cpu_seconds = 0.0
        self._process = psutil.Process(os.getpid())
        self.memory_before = self.peak_memory = self._held()
        self._highest = _highest()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="mlops-memory", daemon=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While the code runs."""
        self._watcher.start()
        started, cpu = time.perf_counter(), time.process_time()
        try:
            with contextlib.redirect_stdout(cast("TextIO", _Tee(sys.stdout, self.reader))):
                yield
        finally:
            self.seconds = time.perf_counter() - started
            self.cpu_seconds = time.process_time() - cpu
            self.reader.close()
            self._ended.set()
            self._watcher.join()
            self.peak_memory = max(self.peak_memory, self._held())
            if (
                now := _highest()
            ) > self._highest:  # the kernel saw every moment, but reports a new record only
                self.peak_memory = max(self.peak_memory, now)

    def _held(self) -> int:
        return int(self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self.peak_memory = max(self.peak_memory, self._held())

    @property
    def tags(self) -> dict[str, str]:
        return {
            "system.seconds": f"{self.seconds:.3f}",
            "system.cpu_seconds": f"{self.cpu_seconds:.3f}",
            "system.memory_before_mb": f"{self.memory_before / 1e6:.1f}",
            "system.peak_memory_mb": f"{self.peak_memory / 1e6:.1f}",
        }


def _highest() -> int:
    """The most memory that this process ever held, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
