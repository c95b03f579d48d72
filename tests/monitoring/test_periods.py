"""Periods as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.base.errors import UsageError
from mlops_workbench.monitor import periods
from mlops_workbench.monitor.periods import Period

NOW = datetime(2026, 3, 30, 12, 0, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("now", NOW),
        ("7d", NOW - timedelta(days=7)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:30", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("2026-03-29T03:00+02:00", datetime(2026, 3, 29, 3, 0, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_moment(said: str, meant: datetime) -> None:
    assert periods.moment(said, NOW) == meant.timestamp()


@pytest.mark.parametrize("said", ["yesterday", "7", "d", "0d", "2026-13-01", "", "-3d", "7 days ago"])
def test_what_is_no_moment_is_refused_in_a_sentence(said: str) -> None:
    with pytest.raises(UsageError, match="is no"):
        periods.moment(said, NOW)


def test_a_period_that_is_empty_is_refused() -> None:
    with pytest.raises(UsageError, match="from 2d to 3d is empty"):
        periods.period("2d", "3d", NOW, first=0.0)
    assert periods.period(None, None, NOW, first=5.0) == Period(5.0, NOW.timestamp())


def test_what_a_period_is_compared_with() -> None:
    asked = periods.period("2026-03-23", "2026-03-30", NOW, first=0.0)
    assert periods.against(None, asked, NOW) is None is periods.against("training", asked, NOW)
    assert periods.against("previous", asked, NOW) == asked.moved(-7 * DAY)
    assert periods.against("week", asked, NOW) == asked.moved(-7 * DAY)
    year = periods.against("year", asked, NOW)
    assert year is not None
    assert (
        datetime.fromtimestamp(year.start, UTC).weekday()
        == 0
        == datetime.fromtimestamp(asked.start, UTC).weekday()
    )
    assert periods.against("14d..7d", asked, NOW) == Period(
        NOW.timestamp() - 14 * DAY, NOW.timestamp() - 7 * DAY
    )
    with pytest.raises(UsageError, match="'last month' is nothing to compare with"):
        periods.against("last month", asked, NOW)


@given(st.floats(60, 60 * DAY))
def test_the_same_weekdays_earlier_do_not_overlap(seconds: float) -> None:
    asked = Period(1_767_225_600.0, 1_767_225_600.0 + seconds)
    other = periods.against("week", asked, NOW)
    assert other is not None
    assert other.end <= asked.start
    assert (asked.start - other.start) % (7 * DAY) == 0
    assert asked.start - other.start < seconds + 7 * DAY + 1


def test_how_a_period_is_called() -> None:
    assert periods.period("2026-03-01", "2026-03-02", NOW, first=0.0).text == "2026-03-01"
    assert periods.period("2026-03-01", "2026-03-08", NOW, first=0.0).text == "2026-03-01 to 2026-03-07"
    assert (
        periods.period("2026-03-01T10:00", "2026-03-01T11:30", NOW, first=0.0).text
        == "2026-03-01 10:00 to 11:30 UTC"
    )
