"""`python -m mlops_workbench.serving`: one process that serves the model of the environment variables.

Exit codes: 0 after SIGTERM or SIGINT, 1 when the model or its log is refused, 3 when the address is taken.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.first import stand_aside
from mlops_workbench.serving.logs import configure

logger = logging.getLogger("mlops_workbench.serving")

REFUSED = 1
ADDRESS_TAKEN = 3
_TURN_SECONDS = 0.0005
_CLOSING_SECONDS = 3
"""of the grace, for the log and the batcher"""
_LAST_SECONDS = 2.0
"""beyond the grace, after which the process ends whatever it does"""


def main() -> int:
    if os.getpid() == 1:  # the first process of a container
        stand_aside()
    # uvicorn hands a signal on when it has shut down; without these the exit code would be the signal's.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    configure()
    # Two threads take turns here. Python's 5 ms before one may interrupt the other are longer than most answers take.
    sys.setswitchinterval(_TURN_SECONDS)
    # Imported here, so that a signal during these seconds of imports already ends the process cleanly.
    import uvicorn

    from mlops_workbench.serving.connections import IDLE_SECONDS, LimitedProtocol, raise_limits
    from mlops_workbench.serving.listening import AddressTaken, RuntimeServer, bound
    from mlops_workbench.serving.predlog import LogRefused
    from mlops_workbench.serving.settings import Settings, app_from

    try:
        raise_limits()
        settings = Settings.from_env(os.environ)
        listening = bound(settings.host, settings.port)
        app = app_from(settings)
    except AddressTaken as error:
        return _refuse(str(error), ADDRESS_TAKEN)
    except (ModelRefused, LogRefused) as error:
        return _refuse(str(error), REFUSED)
    server = RuntimeServer(
        uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_keep_alive=int(IDLE_SECONDS),  # longer than the usual 60 s of the proxies in front
            timeout_graceful_shutdown=max(1, int(settings.grace_seconds) - _CLOSING_SECONDS),
        ),
        (settings.host, settings.take_port) if settings.take_port else None,
        grace=settings.grace_seconds + _LAST_SECONDS,
    )
    facts = {"model": settings.name, "version": app.version, "port": listening.getsockname()[1]}
    logger.info("serving", extra={"facts": facts})
    try:
        server.run(sockets=[listening])
    finally:  # uvicorn hands the signal on to `_leave`, which raises
        if server.started:
            logger.info("stopped", extra={"facts": facts})
    return 0 if server.started else REFUSED


def _refuse(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
