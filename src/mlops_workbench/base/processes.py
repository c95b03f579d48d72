"""Whether a process that was written down still runs: a number alone may be another process by now."""

from __future__ import annotations


def me() -> tuple[int, float]:
    """This process: its number, and when it started (seconds since 1970)."""
    import psutil

    process = psutil.Process()
    return process.pid, float(process.create_time())


def alive(pid: int, started: float) -> bool:
    """Whether that very process still runs on this machine."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
