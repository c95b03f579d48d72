"""The runtime's addresses: its own, and that of what it replaces once that is free."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import logging
import socket
from types import FrameType

import uvicorn

logger = logging.getLogger("mlops_workbench.serving")

_LOOK_SECONDS = 0.002
_BACKLOG = 2048


class AddressTaken(Exception):
    """Nothing can listen there."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens already: the port is ours before the model is loaded, and early callers wait."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(f"The port {port} of {host} is in use. Choose another one.") from None
        raise AddressTaken(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from None
    return listening


class RuntimeServer(uvicorn.Server):
    """Listens on `takes` as well, from the moment when what it replaces has let go of it: so a new version is ready
    before the old one ends, and its callers need no new address."""

    def __init__(self, config: uvicorn.Config, takes: tuple[str, int] | None, *, grace: float) -> None:
        super().__init__(config)
        self._takes = takes
        self._grace = grace
        self._taking: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end. A thread of the C library ends the process when the grace is over, also if a model call or
        a driver holds the interpreter then."""
        faulthandler.dump_traceback_later(self._grace, exit=True)
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._takes is not None:
            self._taking = asyncio.create_task(self._take(*self._takes))

    async def _take(self, host: str, port: int) -> None:
        while not self.should_exit:
            try:
                listening = bound(host, port)
            except AddressTaken:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_server(self._protocol, sock=listening, backlog=_BACKLOG))
            logger.info("listening too", extra={"facts": {"port": port}})
            return

    def _protocol(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        assert not isinstance(protocol, str), "loaded with the configuration"
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]
