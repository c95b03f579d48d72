"""Errors that nobody put into words: one sentence for the person, the traceback in a log without secrets."""

from __future__ import annotations

import errno
import os
import re
import traceback
from datetime import datetime
from pathlib import Path

from mlops_workbench.base.errors import Conflict, MlopsError, UnexpectedError

LOG = "errors.log"
_LARGEST = 5_000_000
"""bytes after which the log begins again, its old content beside it"""
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)")
_NAMED = re.compile(
    r"(?i)\b([\w.-]*(?:passw|secret|token|api_?key|credential)[\w.-]*\s*[=:]\s*)(['\"]?)[^\s'\",;&]+"
)
_SECRET_NAMES = re.compile(r"(?i)passw|secret|token|key|credential")
_NO_ROOM = {errno.ENOSPC: "no space is left", errno.EDQUOT: "the disk quota is used up"}
_NO_RIGHT = {
    errno.EROFS: "it is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
}


def known(problem: BaseException) -> MlopsError | None:
    """The sentence for what is nobody's mistake in code: no right to write, no room, no memory; else None."""
    if isinstance(problem, MemoryError):
        return Conflict("There is not enough memory.", "Give fewer rows, or use a larger machine.")
    if not isinstance(problem, OSError):
        return None
    file = f"'{problem.filename}'" if problem.filename else "A file"
    if problem.errno in _NO_RIGHT:
        return Conflict(
            f"{file} cannot be written or read: {_NO_RIGHT[problem.errno]}.", "Check who may write there."
        )
    if problem.errno in _NO_ROOM:
        return Conflict(f"{file} cannot be written: {_NO_ROOM[problem.errno]}.", "Make room.")
    return None


def unexpected(what: str, problem: BaseException, folders: tuple[Path, ...], at: datetime) -> UnexpectedError:
    """The sentence for a fault of ours; its traceback is in the first of these folders that can be written."""
    trace = without_secrets("".join(traceback.format_exception(problem)))
    log = _write(f"{at.isoformat(timespec='seconds')} {what}\n{trace}\n", folders)
    said = without_secrets(" ".join(f"{type(problem).__name__}: {problem}".split()))[:200]
    return UnexpectedError(
        f"'{what}' failed by a fault of the workbench, not of yours: {said}.",
        f"The traceback is in {log}: please report it." if log else "Please report it.",
    )


def without_secrets(text: str) -> str:
    """The text without passwords in addresses, values called like secrets, and those of such variables."""
    text = _PASSWORD.sub(r"\1:***", text)
    text = _NAMED.sub(r"\1\2***", text)
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name):
            text = text.replace(value, "***")
    return text


def _write(text: str, folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            log = folder / LOG
            if log.exists() and log.stat().st_size > _LARGEST:
                log.replace(folder / f"{LOG}.1")
            with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return log
        except OSError:
            continue
    return None
