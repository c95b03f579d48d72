"""A round of monitoring: what is due for each model, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops_workbench.base.errors import MlopsError, NotFound
from mlops_workbench.base.values import Value
from mlops_workbench.monitor import retention, sealing, watching, windowed
from mlops_workbench.track.context import TrackedContext

_DAY = 86_400.0


@dataclass(frozen=True)
class Watched(Value):
    """One model. `counted_until`: what was answered before is in windows; `again`: minutes that had to be counted from
    the log."""

    model: str
    counted_until: str
    minutes: int
    again: int
    deleted_rows: int
    deleted_windows: int
    failed: int = 0
    """requests of the last 24 hours that were answered by an error of the service"""
    problem: str = ""


@dataclass(frozen=True)
class Round(Value):
    """One round, by model."""

    models: tuple[Watched, ...]

    @property
    def title(self) -> str:
        if not self.models:
            return "Nothing was answered yet."
        failed = [m.model for m in self.models if m.problem]
        said = f"{len(self.models)} model{'s' * (len(self.models) != 1)} looked at"
        return f"{said}, {', '.join(failed)} with a problem." if failed else f"{said}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        heads = [
            "model",
            "counted until",
            "minutes",
            "from the log",
            "rows deleted",
            "windows deleted",
            "failed, 24 h",
        ]
        problems = any(m.problem for m in self.models)
        return [*heads, *["problem"] * problems], [
            [
                *(m.model, m.counted_until, m.minutes, m.again, m.deleted_rows, m.deleted_windows, m.failed),
                *[m.problem] * problems,
            ]
            for m in self.models
        ]


def round_of(context: TrackedContext, models: Sequence[str] | None, now: datetime) -> Round:
    """One that fails never keeps another from being looked at."""
    names = models if models is not None else context.tracking.model_names()
    found = []
    for name in names:
        try:
            found.append(_watched(context, name, now))
        except NotFound:  # nothing was answered yet
            continue
        except MlopsError as problem:
            found.append(Watched(name, "", 0, 0, 0, 0, problem=str(problem)))
    return Round(tuple(found))


def _watched(context: TrackedContext, name: str, now: datetime) -> Watched:
    log = watching.window_log(context, name)
    context.progress(f"counting what '{name}' answered")
    sealed = sealing.seal(log, now.timestamp(), context.progress)
    gone = retention.prune(log, context.project.policy.monitor, now.timestamp(), context.progress)
    until = datetime.fromtimestamp(sealed.until, UTC).isoformat(timespec="minutes")
    failed = windowed.failures(log, now.timestamp() - _DAY, now.timestamp())
    return Watched(name, until, sealed.minutes, sealed.again, gone.rows, gone.windows, failed)
