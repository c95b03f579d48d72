"""The first process of a container, when no `init` was put there: it hands signals on and buries the dead.

The kernel gives a first process no default for a signal, and makes it the parent of every orphan. So the service runs
in a child of its own, as below tini; what was loaded before is shared memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

_HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def stand_aside() -> None:
    """Returns in a child that does the work; this process lives as long, and ends with its code."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches it once: through its parent
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return

    def hand_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = _wait_for(child)
    sys.stderr.flush()
    os._exit(code)


def _wait_for(child: int) -> int:
    """Wait for whatever ends, until it is the child: its exit code, or 128 and the signal that ended it."""
    while True:
        with contextlib.suppress(ChildProcessError):
            dead, status = os.wait()
            if dead == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
