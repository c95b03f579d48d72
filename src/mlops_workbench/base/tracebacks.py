"""Whose fault an error is, read from its traceback: what a person's own code raised is theirs, and is shown as theirs.

What runs that code keeps a local variable `__mlops_runs_code__`; the frames below it, without ours, are the person's.
"""

from __future__ import annotations

import ast
import os
import traceback
from pathlib import Path
from types import TracebackType

MARK = "__mlops_runs_code__"
_OURS = (f"{Path(__file__).parents[1]}{os.sep}", "/mlops_magics/", ast.__file__)


def from_code(problem: BaseException) -> bool:
    """Whether a person's own code raised it, in a tracked cell or a script."""
    return _below_mark(problem.__traceback__) is not None


def sentence(problem: BaseException) -> str:
    """What is said below the person's frames."""
    found = _below_mark(problem.__traceback__)
    return "" if found is None else str(found[0])


def frames_of_code(problem: BaseException) -> TracebackType | None:
    """The traceback from the person's first frame on; None where there is none (a syntax error)."""
    found = _below_mark(problem.__traceback__)
    below = None if found is None else found[1]
    while below is not None and _ours(below):
        below = below.tb_next
    return below


def lines(problem: BaseException) -> list[str]:
    """The person's frames and the error, as Python prints them."""
    return traceback.format_exception(type(problem), problem, frames_of_code(problem))


def _below_mark(frames: TracebackType | None) -> tuple[object, TracebackType | None] | None:
    found = None
    while frames is not None:
        if (said := frames.tb_frame.f_locals.get(MARK)) is not None:
            found = said, frames.tb_next
        frames = frames.tb_next
    return found


def _ours(frame: TracebackType) -> bool:
    file = frame.tb_frame.f_code.co_filename
    return any(part in file for part in _OURS)
