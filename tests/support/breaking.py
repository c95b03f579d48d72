"""What can break a log under a running runtime: a disk that fills, a server that goes away, the log moved aside."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_PART = 1 << 16


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int = 3) -> Iterator[Path]:
    """A file system of its own, of so many megabytes. Needs the right to mount."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is left on the disk."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def files_at_most(pid: int, size: int) -> Iterator[None]:
    """The process may write no file beyond `size` bytes: as a full disk, or a quota, for anybody."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


class Proxy:
    """A TCP proxy that can be cut off: `gone` refuses and resets, `stalled` keeps what comes to itself."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self.before_reply: Callable[[bytes], bool] = lambda _sent: False
        """asked about what a client has sent; True: it is handed on, and the connection is cut before the reply"""
        self.port = 0
        self._listen()

    def close(self) -> None:
        self._flows.set()
        self._cut()

    @contextlib.contextmanager
    def gone(self) -> Iterator[None]:
        """Every connection is reset, and none is taken."""
        self._cut()
        try:
            yield
        finally:
            self._listen()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Connections stay, nothing passes."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def reset(self) -> None:
        """Every connection is reset; new ones are taken."""
        with self._lock:
            there, self._open = self._open, []
        for one in there:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _cut(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # else the one who waits in accept would keep it open
            listening.close()
        self.reset()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, target, client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        try:
            while part := source.recv(_PART):
                self._flows.wait()
                if source is client and self.before_reply(part):
                    client.shutdown(
                        socket.SHUT_RDWR
                    )  # nothing comes back: the server's answer has nowhere to go
                target.sendall(part)
        except OSError:
            pass
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def may_mount() -> bool:
    return os.geteuid() == 0
