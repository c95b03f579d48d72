"""What can go wrong: one class a situation, one sentence with the value, then the next step.

Every face maps these in one place: a notebook shows the sentence instead of a traceback and fails the
cell, the command line exits with `exit_code`, HTTP answers with `status`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, ClassVar


class MlopsError(Exception):
    """Base of all errors that are meant for a person.

    A verb to type stands between backticks, `gate NAME --first`; a face puts before it how it is called there.
    """

    status: ClassVar[int] = 400
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".rstrip()

    @property
    def kind(self) -> str:
        return type(self).__name__

    def to_dict(self) -> dict[str, Any]:
        return {"error": self.kind, "message": self.message, "next_step": self.next_step}

    def lines(self, prog: str) -> list[str]:
        """What a face shows that is typed after `prog`."""
        lines = [f"{self.kind}: {spelled(self.message, prog)}"]
        if self.next_step:
            lines.append(f"→ {spelled(self.next_step, prog)}")
        return lines

    def _render_traceback_(self) -> list[str]:
        """IPython shows exactly these lines, and the cell still fails."""
        return self.lines("%mlops")


class UsageError(MlopsError):
    """A verb, option or value that does not exist or does not fit."""

    exit_code = 2


class NotFound(MlopsError):
    """A name that does not exist: model, version, run, deployment, job, file, variable."""

    status = 404


class Conflict(MlopsError):
    """The present state does not allow it, or someone else is changing the same thing."""

    status = 409


class InvalidConfig(MlopsError):
    """`mlops.toml` has a key or a value that is not known."""


class Damaged(InvalidConfig):
    """A database's file is not as it was written; the sentence names it and the way back."""

    status = 500


class InvalidData(MlopsError):
    """A DataFrame that does not fit: missing, extra or empty columns, wrong types, no rows."""

    status = 422


class NotPassed(MlopsError):
    """Base of verdicts: `report` is the value that holds the evidence, and faces show it above the sentence."""

    def __init__(self, message: str, next_step: str = "", report: Any = None) -> None:
        super().__init__(message, next_step)
        self.report = report


class ContractViolation(NotPassed, InvalidData):
    """Data broke its contract; `report` says which checks, columns and rows."""


class InvalidModel(MlopsError):
    """An object that cannot be registered or loaded: it does not predict, or is of an untrusted type."""

    status = 422


class GateFailed(NotPassed):
    """The gate is red, or could not be evaluated; `report` holds the evidence."""

    status = 409


class Drifted(NotPassed):
    """Features have drifted, and the caller asked to be failed for that; `report` says which and how far."""

    status = 409


class EngineUnavailable(MlopsError):
    """No Docker (or compatible) engine answers."""

    status = 503


class StoreUnavailable(MlopsError):
    """The server that keeps runs and models does not answer."""

    status = 503


class BuildFailed(MlopsError):
    """An image could not be built; the sentence ends with the tail of the log."""

    status = 502


class BaseImageUnavailable(BuildFailed):
    """The base image is not on this machine and cannot be pulled."""


class ServingFailed(MlopsError):
    """A deployment did not become ready, or does not answer."""

    status = 502


class JobFailed(MlopsError):
    """A job ended without success; its log and notebook say why."""

    status = 502


class MissingDependency(MlopsError):
    """An optional part is not installed."""

    status = 501


class UnexpectedError(MlopsError):
    """A fault of the workbench itself; the log that the sentence names holds the traceback."""

    status = 500
    exit_code = 70  # EX_SOFTWARE


_TYPED = re.compile(
    r"`(?!(?:pip|uv|git|docker|python|mlops|jupyter) )(?=[a-z]+ [^`]*`|(?:doctor|jobs|runs|models|status)`)"
)


_OPTION = re.compile(r"\bthe option ([a-z_]+)")


def spelled(text: str, prog: str) -> str:
    """The text as it is typed after `prog`: `gate NAME` is `%mlops gate NAME` in a notebook, the option target
    --target."""
    return _OPTION.sub(lambda m: f"--{m[1].replace('_', '-')}", _TYPED.sub(f"`{prog} ", text))


def closest(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` or the first few names that exist, for the second half of an error."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean '{near[0]}'?"
    if not known:
        return ""
    shown = ", ".join(f"'{k}'" for k in known[:8])
    return f"There {'is' if len(known) == 1 else 'are'}: {shown}{' …' if len(known) > 8 else ''}."
