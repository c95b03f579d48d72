"""Periods as people say them: `7d`, `2026-03-01`, `2026-03-01T12:00`, `now`; and what a period is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlops_workbench.base.errors import UsageError

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,6})\s*([mhdw])")
SAID = "Say a time such as 2026-03-01, 2026-03-01T12:00, now, or how long ago: 7d, 24h, 30m."
TRAINING = "training"
AGAINST = ("training", "previous", "week", "year")


@dataclass(frozen=True, slots=True)
class Words:
    """A period as it was asked for."""

    start: str | None = None
    end: str | None = None
    against: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) in Unix seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def moved(self, seconds: float) -> Period:
        return Period(self.start + seconds, self.end + seconds)

    @property
    def text(self) -> str:
        """To the day where both ends are midnights, else to the minute; in UTC."""
        ends = [datetime.fromtimestamp(at, UTC) for at in (self.start, self.end)]
        if all(m.hour == m.minute == 0 for m in ends):
            last = ends[1] - timedelta(days=1)
            return f"{ends[0]:%Y-%m-%d}" if last <= ends[0] else f"{ends[0]:%Y-%m-%d} to {last:%Y-%m-%d}"
        same = ends[0].date() == ends[1].date()
        return f"{ends[0]:%Y-%m-%d %H:%M} to {ends[1].strftime('%H:%M' if same else '%Y-%m-%d %H:%M')} UTC"


def length(text: str) -> float:
    """Seconds of `7d`, `24h`, `30m`, `2w`. Raises UsageError."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise UsageError(
            f"'{text}' is no length of time.", "Say a number and m, h, d or w, such as 7d or 24h."
        )
    return int(found[1]) * float(_UNITS[found[2]])


def moment(text: str, now: datetime) -> float:
    """Unix seconds; a time without a zone is in UTC. Raises UsageError."""
    word = text.strip()
    if word == "now":
        return now.timestamp()
    if _LENGTH.fullmatch(word):
        return now.timestamp() - length(word)
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise UsageError(f"'{text}' is no time.", SAID) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def period(start: str | None, end: str | None, now: datetime, *, first: float) -> Period:
    """`first`: where it begins if nothing is said. Raises UsageError for one that ends before it begins."""
    found = Period(
        first if start is None else moment(start, now), now.timestamp() if end is None else moment(end, now)
    )
    if found.end <= found.start:
        raise UsageError(f"The period from {start or 'the first row'} to {end or 'now'} is empty.", SAID)
    return found


def against(text: str | None, asked: Period, now: datetime) -> Period | None:
    """The period that `asked` is compared with; None: the rows that the model was fitted on.

    `previous` is as long and ends where `asked` begins, `week` is the same a week earlier (as many weeks as it is
    long), `year` the same 52 weeks earlier, so that weekdays match; or FROM..TO. Raises UsageError.
    """
    if text is None or text == TRAINING:
        return None
    if text == "previous":
        return asked.moved(-asked.seconds)
    week = float(_UNITS["w"])
    if text == "week":
        return asked.moved(-week * max(1, -int(-asked.seconds // week)))
    if text == "year":
        return asked.moved(-52 * week)
    start, dots, end = text.partition("..")
    if not dots:
        raise UsageError(
            f"'{text}' is nothing to compare with.",
            f"Say {', '.join(AGAINST)}, or a period: FROM..TO, such as 14d..7d.",
        )
    return period(start, end or None, now, first=0.0)
