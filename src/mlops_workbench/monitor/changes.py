"""When the errors of a model began to be more or fewer: concept drift, seen in the stream of its losses.

The statistic is the cumulative sum of Page and Hinkley (E. S. Page, Biometrika 41, 1954; D. V. Hinkley, Biometrika
58, 1971), over a stream that is already there: S_t = Σ_(i ≤ t) (x_i - mean of all). It begins and ends at 0; how far it
gets from 0 says whether there is a change, and where it is furthest away, when it was (Hinkley, Biometrika 57, 1970).
Whether that is far is decided by random orders of the same losses, which have no change by their making: among 999 of
them at most 9 may get as far. So where losses are independent and have no change, a change is reported with a
probability of at most 1 %, whatever their distribution. The stream is looked at as up to 2,000 means of equally many
losses that follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

ORDERS = 999
ALPHA = 0.01
SEED = 20_260_102
POINTS = 2_000
LEAST = 50
"""losses, below which no change is looked for"""


@dataclass(frozen=True)
class LossChange:
    """The losses were `before` on average up to `at` (Unix seconds), and `after` from there on. `p`: the share of
    random orders that reach as far, at most 0.01."""

    at: float
    before: float
    after: float
    p: float
    rows: int

    @property
    def size(self) -> float:
        return self.after - self.before


def change(at: Any, losses: Any) -> LossChange | None:
    """None where no change is found, or there are too few losses. `at` need not be in order."""
    known = np.isfinite(losses)
    if int(known.sum()) < LEAST:
        return None
    order = np.argsort(at[known], kind="stable")
    at, losses = at[known][order], losses[known][order]
    length = -(-len(losses) // POINTS)
    points = len(losses) // length
    means = losses[: points * length].reshape(points, length).mean(1)
    reach, place = _reach(means[None, :])
    rng = np.random.default_rng(SEED)
    at_least = sum(
        int((_reach(rng.permuted(np.tile(means, (count, 1)), axis=1))[0] >= reach[0] * (1 - 1e-12)).sum())
        for count in (111,) * (ORDERS // 111)
    )
    p = (at_least + 1) / (ORDERS + 1)
    first = (int(place[0]) + 1) * length
    if p > ALPHA or not 0 < first < len(losses):
        return None
    return LossChange(
        float(at[first]), float(losses[:first].mean()), float(losses[first:].mean()), p, len(losses)
    )


def _reach(streams: Any) -> tuple[Any, Any]:
    """Of each stream (a row): how far its sum gets from 0, and after which point."""
    away = np.abs(np.cumsum(streams - streams.mean(1, keepdims=True), axis=1))
    place = away.argmax(1)
    return away[np.arange(len(away)), place], place
