"""Waiting until what was started answers, and is what was started."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.rollout.runtime.client import call

GRACE_SECONDS = 35
"""the runtime gives requests in flight 30 s"""


def until_ready(url: str, *, digest: str, seconds: float, running: Callable[[], bool]) -> None:
    """Return when `url` is ready and serves the model of `digest`.

    Raises ServingFailed when `running()` is false, when the time is over, or when something else answers
    there (another program may have taken the port meanwhile).
    """
    end = time.monotonic() + seconds
    last = "nothing answered"
    while time.monotonic() < end:
        if not running():
            raise ServingFailed("It ended while it was starting.")
        try:
            status, answer = call(f"{url}/health/ready", seconds=2)
        except ServingFailed as error:
            last = error.message
        else:
            if status == 200:
                if answer.get("digest") != digest:
                    raise ServingFailed(f"Something else answers at {url}.", "Choose another port.")
                return
            last = str(answer.get("message", f"HTTP {status}"))
        time.sleep(0.1)
    raise ServingFailed(f"It was not ready after {seconds:.0f} s: {last}")
