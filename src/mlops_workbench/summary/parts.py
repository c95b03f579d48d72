"""One part of a reference: a column, the predictions or the scores, and in which bins its values are counted."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CountArray = NDArray[np.int64]
NumberArray = NDArray[np.float64]

PartForm = Literal["number", "category", "length", "hour", "weekday"]
"""`length`: a text by its number of characters, `hour` and `weekday`: of a time"""

NUMERIC: tuple[PartForm, ...] = ("number", "length")
CLOCK: dict[PartForm, int] = {"hour": 24, "weekday": 7}
BUCKETS = 32
"""that the categories beyond `names` share, by a hash of their names"""
NO_SUMS: tuple[float, float, float, float] = (0.0, 0.0, np.inf, -np.inf)
"""of a numeric part: Σ(x − centre), Σ(x − centre)², smallest, largest"""
SUMS = len(NO_SUMS)


@dataclass(frozen=True)
class Part:
    """Bins of one kind of value, and how the reference's rows fall into them.

    Bins of a number: `edges` in ascending order, n edges make n + 1 bins [edge, next edge), the outer ones open; so
    first and last hold what lies outside of the reference's range. Of a category: one a name in `names`, then `buckets`
    for what else the reference knew, or one for what it did not know. After the bins comes the count of missing values.
    """

    name: str
    form: PartForm
    edges: tuple[float, ...] = ()
    coarse: tuple[int, ...] = ()
    """places in `edges` of those that bound the bins of PSI and Jensen–Shannon: fewer, so that each holds some rows"""
    names: tuple[str, ...] = ()
    buckets: int = 0
    centre: float = 0.0
    """of the reference's numbers: sums are taken from here, so that a large mean does not eat the digits"""
    counts: tuple[int, ...] = ()
    """of the reference, bins and missing values"""
    sums: tuple[float, ...] = NO_SUMS
    distinct: int = 0
    """values that the reference had"""

    @property
    def numeric(self) -> bool:
        return self.form in NUMERIC

    @property
    def bins(self) -> int:
        if self.numeric:
            return len(self.edges) + 1
        return CLOCK.get(self.form) or len(self.names) + (self.buckets or 1)

    @property
    def width(self) -> int:
        """Bins and the count of missing values."""
        return self.bins + 1

    @property
    def unseen(self) -> int | None:
        """The bin of categories that the reference does not know; None where that cannot be told."""
        return len(self.names) if self.form == "category" and not self.buckets else None

    @property
    def outside(self) -> tuple[int, ...]:
        """Bins of what lies outside of the reference's range."""
        return (0, self.bins - 1) if self.numeric else ()

    @cached_property
    def _bounds(self) -> NumberArray:
        return np.array(self.edges, dtype=np.float64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def count(self, values: Sequence[Any] | NumberArray) -> tuple[CountArray, NumberArray]:
        """Bins and missing values, and the sums of a numeric part. `values`: as the runtime parses them or as the log
        gives them back; None and NaN are missing."""
        if self.numeric:
            numbers = as_lengths(values) if self.form == "length" else as_numbers(values)
            return self._counted(numbers)
        return self.tally(Counter(values)), np.array(NO_SUMS)

    def tally(self, times: Mapping[Any, int]) -> CountArray:
        """The same of a part that is not numeric, from how often each value occurs."""
        found = np.zeros(self.width, dtype=np.int64)
        for value, count in times.items():
            found[self._place(value)] += count
        return found

    def _counted(self, numbers: NumberArray) -> tuple[CountArray, NumberArray]:
        gaps = np.isnan(numbers)
        known = numbers[~gaps] if gaps.any() else numbers
        found = np.zeros(self.width, dtype=np.int64)
        found[:-1] = np.bincount(
            np.searchsorted(self._bounds, known, side="right"), minlength=len(self.edges) + 1
        )
        found[-1] = numbers.size - known.size
        finite = known[np.isfinite(known)]
        if not finite.size:
            return found, np.array(NO_SUMS)
        with np.errstate(over="ignore", invalid="ignore"):
            away = finite - self.centre
            return found, np.array([away.sum(), np.square(away).sum(), finite.min(), finite.max()])

    def _place(self, value: Any) -> int:
        if value is None or value != value:
            return self.width - 1
        if self.form in CLOCK:
            return self._clock(value)
        name = category(value)
        place = self._places.get(name)
        if place is None:
            return len(self.names) + (
                zlib.crc32(name.encode(errors="surrogatepass")) % self.buckets if self.buckets else 0
            )
        return place

    def _clock(self, value: Any) -> int:
        moment = as_time(value)
        if moment is None:
            return self.width - 1
        return moment.hour if self.form == "hour" else moment.weekday()


def category(value: Any) -> str:
    """A category by name: whole numbers without a point, and truth values as the numbers that a database keeps."""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def as_numbers(values: Sequence[Any] | NumberArray) -> NumberArray:
    """None is NaN."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values.astype(np.float64, copy=False)
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # what is no number has no place among numbers
        return np.array([_number(v) for v in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def as_lengths(values: Iterable[Any]) -> NumberArray:
    return np.array([np.nan if v is None or v != v else len(str(v)) for v in values], dtype=np.float64)


def as_time(value: Any) -> datetime | None:
    """In UTC, from a time or from text in ISO 8601; None for what is neither."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value
