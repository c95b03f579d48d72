"""Exact ranks, quantiles and Kolmogorov–Smirnov statistics of long columns without sorting them.

Sorting half a million floats costs about 27 ms, twice per column. What a comparison needs from the order is
little: the ranks of some bin edges, a few quantiles, and the one place where two cumulative distributions are
farthest apart. So values are counted in a grid of cells in one pass (1 ms), and only the few cells that can
hold an answer are opened, that is, their values are picked out and sorted. The results are exact, not
approximations: a cell that is not opened is proven not to matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_workbench.monitor.statistics import FloatArray

Ints = NDArray[np.int64]

CELLS = 1 << 14
"""cells of the grid: fine enough to open few values, small enough for the counts to stay in the cache"""

TABLE_RANGE = 1 << 20
"""whole numbers that span no more than this are counted by value"""

SAMPLE = 2048
"""values looked at, evenly spaced, to choose the grid and to guess whether few values are distinct"""


class Pair(Protocol):
    """Two numeric samples, reference and current, as the questions a comparison asks."""

    @property
    def ks(self) -> float: ...

    @property
    def distinct(self) -> tuple[int, FloatArray, Ints, Ints] | None:
        """(distinct values in the reference, all values, reference counts, current counts), if tabled."""

    def histogram(self, edges: FloatArray) -> tuple[Ints, Ints]:
        """Counts in bins as `numpy.histogram`: closed on the left, the last one on both sides."""

    def quantiles(self, shares: Sequence[float]) -> tuple[list[float], list[float]]:
        """As `numpy.quantile` with its default, linear interpolation."""


def pair(
    reference: FloatArray, current: FloatArray, edges: Sequence[FloatArray], shares: Sequence[float]
) -> Pair:
    """The quicker of both forms. Only these `edges` and `shares` may be asked for later."""
    if whole(reference) and whole(current):
        low = min(reference.min(), current.min())
        span = max(reference.max(), current.max()) - low
        if span < TABLE_RANGE:
            size = int(span) + 1
            r = np.bincount((reference - low).astype(np.int64), minlength=size)
            c = np.bincount((current - low).astype(np.int64), minlength=size)
            some = np.flatnonzero(r + c)
            return Table(some + low, r[some], c[some])
    if few(reference) and few(current):
        return _tabled(reference, current)
    return Cells(reference, current, edges, shares)


def whole(values: FloatArray) -> bool:
    """Whether all values are whole numbers. Looks at a few first: most float columns fail there."""
    head = values[:SAMPLE]
    return bool((np.floor(head) == head).all()) and bool((np.floor(values) == values).all())


def sample(values: FloatArray) -> FloatArray:
    """Evenly spaced rows: deterministic, and unlike the first rows not misled by sorted data."""
    return values[:: max(1, values.size // SAMPLE)]


def few(values: FloatArray) -> bool:
    return np.unique(sample(values)).size <= 256


def _tabled(reference: FloatArray, current: FloatArray) -> Table:
    import pandas as pd

    codes, values = pd.factorize(np.concatenate([reference, current]))
    values = np.asarray(values, dtype=np.float64)
    r = np.bincount(codes[: reference.size], minlength=values.size)
    c = np.bincount(codes[reference.size :], minlength=values.size)
    order = np.argsort(values)
    return Table(values[order], r[order], c[order])


class Table:
    """Counts by distinct value."""

    def __init__(self, values: FloatArray, reference: Ints, current: Ints) -> None:
        self.values = values
        self.counts = (reference, current)
        self._upto = (_running(reference), _running(current))

    @property
    def ks(self) -> float:
        r, c = self._upto
        return float(np.max(np.abs(r / r[-1] - c / c[-1])))

    @property
    def distinct(self) -> tuple[int, FloatArray, Ints, Ints]:
        r, c = self.counts
        return int(np.count_nonzero(r)), self.values, r, c

    def histogram(self, edges: FloatArray) -> tuple[Ints, Ints]:
        place = np.searchsorted(self.values, edges, side="left")
        place[-1] = np.searchsorted(self.values, edges[-1], side="right")
        r, c = self._upto
        r, c = r[place], c[place]
        return r[1:] - r[:-1], c[1:] - c[:-1]

    def quantiles(self, shares: Sequence[float]) -> tuple[list[float], list[float]]:
        r, c = (
            _interpolate(
                upto[-1], shares, lambda rank, u=upto: self.values[np.searchsorted(u[1:], rank, "right")]
            )
            for upto in self._upto
        )
        return r, c


class Cells:
    """Counts in a grid, with the cells opened that can hold an answer."""

    def __init__(
        self, reference: FloatArray, current: FloatArray, edges: Sequence[FloatArray], shares: Sequence[float]
    ) -> None:
        self._low, self._scale, self._log = _grid(reference, current)
        self._cells = (self._cell(reference), self._cell(current))
        counts = [np.bincount(cells, minlength=CELLS) for cells in self._cells]
        self._before = [_running(count) for count in counts]
        wanted = np.zeros(CELLS, dtype=bool)
        for some in edges:
            wanted[self._cell(some)] = True
        for before in self._before:
            wanted[self._cell_of_rank(before, _ranks(before[-1], shares).ravel())] = True
        wanted |= self._may_hold_ks()
        self._opened = [
            np.sort(values[wanted[cells]])
            for values, cells in zip((reference, current), self._cells, strict=True)
        ]
        self._opened_before = [_running(np.where(wanted, count, 0)) for count in counts]
        del self._cells  # 4 bytes a row, of no use any more

    @property
    def distinct(self) -> None:
        return None

    @property
    def ks(self) -> float:
        r, c = (before / before[-1] for before in self._before)
        best = float(np.max(np.abs(r - c)))
        every = np.concatenate(self._opened)
        if every.size:
            r, c = (self._below(i, every, "right") / self._before[i][-1] for i in (0, 1))
            best = max(best, float(np.max(np.abs(r - c))))
        return best

    def histogram(self, edges: FloatArray) -> tuple[Ints, Ints]:
        return self._histogram(0, edges), self._histogram(1, edges)

    def _histogram(self, i: int, edges: FloatArray) -> Ints:
        below = np.append(self._below(i, edges[:-1], "left"), self._below(i, edges[-1:], "right"))
        return below[1:] - below[:-1]

    def quantiles(self, shares: Sequence[float]) -> tuple[list[float], list[float]]:
        r, c = (
            _interpolate(before[-1], shares, lambda rank, i=i: self._at(i, rank))
            for i, before in enumerate(self._before)
        )
        return r, c

    def _cell(self, values: FloatArray) -> NDArray[np.int32]:
        # each step is monotone also in floating point, so a smaller value never lands in a later cell
        place = (_logarithmic(values) if self._log else values) - self._low
        place *= self._scale
        np.clip(place, 0, CELLS - 1, out=place)
        return place.astype(np.int32)

    def _cell_of_rank(self, before: Ints, rank: Ints) -> Ints:
        return np.searchsorted(before, rank, side="right") - 1

    def _may_hold_ks(self) -> NDArray[np.bool_]:
        """Cells inside which the distance could exceed the largest one that is seen at the cells' borders."""
        r, c = (before / before[-1] for before in self._before)
        best = np.max(np.abs(r - c))
        found: NDArray[np.bool_] = np.maximum(r[1:] - c[:-1], c[1:] - r[:-1]) > best
        return found

    def _below(self, i: int, values: FloatArray, side: str) -> Ints:
        """How many values of sample `i` are smaller (`left`) or not larger (`right`), in opened cells."""
        cell = self._cell(values)
        inside: Ints = np.searchsorted(self._opened[i], values, side=side)  # type: ignore[call-overload]
        return self._before[i][cell] + inside - self._opened_before[i][cell]

    def _at(self, i: int, rank: Ints) -> FloatArray:
        cell = self._cell_of_rank(self._before[i], rank)
        found: FloatArray = self._opened[i][self._opened_before[i][cell] + rank - self._before[i][cell]]
        return found


def _running(counts: Ints) -> Ints:
    """Counts before each place, and the total at the end."""
    return np.concatenate([[0], np.cumsum(counts)])


def _grid(reference: FloatArray, current: FloatArray) -> tuple[float, float, bool]:
    """Lowest place, cells per unit, and whether places are logarithmic: what spreads the values better."""
    some = np.concatenate([sample(reference), sample(current)])
    grids = [(*_bulk(places), log) for log, places in ((False, some), (True, _logarithmic(some)))]

    def fullest(grid: tuple[float, float, bool]) -> int:
        low, scale, log = grid
        places = ((_logarithmic(some) if log else some) - low) * (scale / 64)
        return int(np.bincount(np.clip(places, 0, CELLS / 64).astype(np.int64)).max())

    linear, logarithmic = (fullest(grid) for grid in grids)
    return grids[1] if 2 * logarithmic < linear else grids[0]


def _bulk(places: FloatArray) -> tuple[float, float]:
    """Where the bulk lies: outliers share the outer cells, so that one cannot empty the grid."""
    low, high = np.quantile(places, [0.002, 0.998])
    if low == high:
        low, high = places.min(), places.max()
    if low == high:
        high = low + max(1.0, abs(low))
    with np.errstate(over="ignore"):
        scale = float((CELLS - 1) / np.float64(high - low))
    return float(low), scale if np.isfinite(scale) else 0.0  # too close to tell apart: one cell for all


def _logarithmic(values: FloatArray) -> FloatArray:
    """A float's bits, read as an integer, grow with its logarithm; those of negative ones are mirrored."""
    bits = (values + 0.0).view(np.int64)  # + 0.0 makes a positive zero of a negative one, and a copy
    np.bitwise_xor(bits, (bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF), out=bits)
    return bits.astype(np.float64)


def _ranks(size: int, shares: Sequence[float]) -> Ints:
    """For each share the two ranks between which its quantile lies."""
    place = np.asarray(shares) * (size - 1)
    return np.stack([np.floor(place), np.ceil(place)]).astype(np.int64)


def _interpolate(size: int, shares: Sequence[float], at: _At) -> list[float]:
    low, high = (at(rank) for rank in _ranks(size, shares))
    part = np.asarray(shares) * (size - 1) % 1
    return [float(q) for q in low + (high - low) * part]


class _At(Protocol):
    def __call__(self, rank: Ints) -> FloatArray: ...
