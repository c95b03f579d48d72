"""Drift from sums of windows: each part of the reference against what a period held, from counts in its bins alone.

Population stability index, Jensen–Shannon, total variation and chi-square are exact for these bins. Kolmogorov–Smirnov
is the largest distance at the bins' edges, so at most a bin's share (about 1/64) below the exact one; Wasserstein takes
the distributions' distance as changing evenly between two edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.monitor import statistics
from mlops_workbench.monitor.features import (
    TOP,
    DriftLevel,
    FeatureDrift,
    Overlay,
    Thresholds,
    by_chance_note,
    judge,
)
from mlops_workbench.monitor.features import shorten as cut
from mlops_workbench.summary.parts import CountArray, NumberArray, Part
from mlops_workbench.summary.reference import DataReference
from mlops_workbench.summary.window import Window

_SHARES = (("q05", 0.05), ("q25", 0.25), ("median", 0.5), ("q75", 0.75), ("q95", 0.95))
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Counted:
    """A part's rows: in bins, missing, and their sums if it is numeric."""

    part: Part
    counts: CountArray
    sums: NumberArray

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        return int(self.counts[-1])

    @property
    def known(self) -> int:
        return self.rows - self.missing

    @property
    def bins(self) -> CountArray:
        return self.counts[:-1]

    @property
    def coarse(self) -> CountArray:
        """Bins of which each holds some of the reference's rows."""
        if not self.part.coarse:
            return self.bins
        return np.add.reduceat(self.bins, [0, *(place + 1 for place in self.part.coarse)])

    @property
    def mean(self) -> float:
        return self.part.centre + float(self.sums[0]) / self.known

    @property
    def std(self) -> float:
        away = float(self.sums[0]) / self.known
        return math.sqrt(max(0.0, float(self.sums[1]) / self.known - away**2))


def of_reference(part: Part) -> Counted:
    return Counted(part, np.array(part.counts, dtype=np.int64), np.array(part.sums))


def of_window(reference: DataReference, window: Window) -> dict[int, Counted]:
    """Each part's rows, by the part's place."""
    return {
        place: Counted(part, counts, sums)
        for place, (part, counts, sums) in enumerate(reference.split(window.counts, window.sums))
    }


def compared(reference: Counted, current: Counted, thresholds: Thresholds) -> FeatureDrift:
    """One part. Where a side has no values, what is left to say is how many are missing."""
    name = current.part.name
    missing = _missing(reference, current)
    if not reference.known or not current.known:
        status, reasons = judge(missing, thresholds)
        side = "the reference" if not reference.known else "this period"
        unknown: DriftLevel = "unknown" if status == "ok" else status
        return FeatureDrift(
            name, kind_of(current.part), unknown, reasons, f"All its values are missing in {side}.", **missing
        )
    facts = _distances(reference, current)
    if current.part.numeric:
        facts |= _numeric(reference, current)
        facts["chance"] += (("ks", statistics.ks_chance(reference.known, current.known)),)
    else:
        facts |= _categorical(reference, current)
    facts |= {key: (*facts.get(key, ()), *missing.pop(key)) for key in ("chance", "expected")}
    status, reasons = judge(facts | missing, thresholds)
    return FeatureDrift(
        name=name,
        kind=kind_of(current.part),
        status=status,
        reasons=reasons,
        note=by_chance_note(facts, thresholds),
        **facts,
        **missing,
    )


def kind_of(part: Part) -> str:
    return {"number": "number", "length": "text length", "hour": "hour of day", "weekday": "weekday"}.get(
        part.form, "category"
    )


def _missing(reference: Counted, current: Counted) -> dict[str, Any]:
    chance = statistics.missing_by_chance(
        (reference.missing, max(1, reference.rows)), (current.missing, max(1, current.rows))
    )
    return {
        "missing_reference": reference.missing / max(1, reference.rows),
        "missing_current": current.missing / max(1, current.rows),
        "chance": (("missing", chance.bound),),
        "expected": (("missing", chance.expected),),
    }


def _distances(reference: Counted, current: Counted) -> dict[str, Any]:
    r, c = reference.coarse, current.coarse
    both = r + c > 0
    r, c = r[both], c[both]
    chi, p = statistics.chi_square(r, c)
    found = statistics.by_chance(r, c)
    return {
        "psi": statistics.psi(r, c),
        "js": statistics.jensen_shannon(r, c),
        "tv": statistics.total_variation(r, c),
        "chi_square": chi,
        "chi_square_p": p,
        "chance": tuple((key, one.bound) for key, one in found.items()),
        "expected": tuple((key, one.expected) for key, one in found.items()),
    }


def _numeric(reference: Counted, current: Counted) -> dict[str, Any]:
    above, below = (np.cumsum(side.bins)[:-1] / side.known for side in (reference, current))
    ks = float(np.max(np.abs(above - below), initial=0.0))
    sides = (reference, current)
    return {
        "ks": ks,
        "ks_p": statistics.ks_p_value(ks, reference.known, current.known),
        "wasserstein": _wasserstein(reference, current, above - below),
        "outside_share": float(current.counts[[*current.part.outside]].sum() / current.known),
        "reference": _summary(sides[0]),
        "current": _summary(sides[1]),
        "overlay": _drawn(reference, current),
    }


def _wasserstein(reference: Counted, current: Counted, gaps: NumberArray) -> float:
    """∫ |F − G| dx in standard deviations of the reference (at least 0.001), F − G even between two edges."""
    edges = np.array(current.part.edges)
    low = min(float(reference.sums[2]), float(current.sums[2]), edges[0])
    high = max(float(reference.sums[3]), float(current.sums[3]), edges[-1])
    places = np.concatenate([[low], edges, [high]])
    height = np.abs(np.concatenate([[0.0], gaps, [0.0]]))
    with np.errstate(over="ignore"):
        area = float(np.sum((height[1:] + height[:-1]) / 2 * np.diff(places)))
    return area / max(reference.std, 0.001)


def _summary(side: Counted) -> tuple[tuple[str, float], ...]:
    if not np.isfinite(side.sums[2]):
        return ()
    quantiles = tuple((name, quantile(side, share)) for name, share in _SHARES)
    return (("mean", side.mean), ("std", side.std), *quantiles)


def quantile(side: Counted, share: float) -> float:
    """Between two edges, values are taken as spread evenly."""
    edges = np.concatenate([[side.sums[2]], side.part.edges, [side.sums[3]]])
    edges = np.clip(edges, side.sums[2], side.sums[3])
    upto = np.concatenate([[0], np.cumsum(side.bins)]) / side.known
    return float(np.interp(share, upto, edges))


def _categorical(reference: Counted, current: Counted) -> dict[str, Any]:
    part = current.part
    unseen = 0.0 if part.unseen is None else float(current.bins[part.unseen] / current.known)
    return {"unseen_share": unseen, "overlay": _drawn(reference, current)}


def _drawn(reference: Counted, current: Counted) -> Overlay | None:
    part = current.part
    r, c = (side.coarse / side.known for side in (reference, current))
    if part.numeric and not _few(part):
        edges = [part.edges[place] for place in part.coarse]
        if len(edges) < 2:
            return None
        inner_r, inner_c = r[1:-1].copy(), c[1:-1].copy()
        for inner, side in ((inner_r, r), (inner_c, c)):  # the outer bars hold what lies beyond
            inner[0] += side[0]
            inner[-1] += side[-1]
        return Overlay(tuple(inner_r.tolist()), tuple(inner_c.tolist()), edges=tuple(edges))
    labels = _labels(part)
    order = [i for i in range(len(labels)) if r[i] + c[i] > 0]
    if part.form == "category":
        order.sort(key=lambda i: -(r[i] + c[i]))
    top, rest = order[:TOP], order[TOP:]
    bars = [[float(side[i]) for i in top] for side in (r, c)]
    names = [labels[i] for i in top]
    if rest:
        names.append(f"other ({len(rest):,})")
        for bar, side in zip(bars, (r, c), strict=True):
            bar.append(float(side[rest].sum()))
    return Overlay(tuple(bars[0]), tuple(bars[1]), labels=tuple(names), rest=bool(rest))


def _few(part: Part) -> bool:
    """Whether each value of a number has a bin of its own."""
    return part.numeric and len(part.coarse) == len(part.edges)


def _labels(part: Part) -> list[str]:
    if part.form == "hour":
        return [f"{hour:02d}" for hour in range(24)]
    if part.form == "weekday":
        return list(_WEEKDAYS)
    if part.numeric:
        values = [(a + b) / 2 for a, b in zip(part.edges[::2], part.edges[1::2], strict=True)]
        return _between(values)
    others = [f"other {i + 1}" for i in range(part.buckets)] if part.buckets else ["new values"]
    return [*(cut(name) for name in part.names), *others]


def _between(values: Sequence[float]) -> list[str]:
    """A label a value, and one a gap between two."""
    names = [f"below {values[0]:g}"]
    for value, following in zip(values, [*values[1:], None], strict=True):
        names.append(f"{value:g}")
        names.append(f"above {value:g}" if following is None else f"{value:g} to {following:g}")
    return names
