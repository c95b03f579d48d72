"""Intervals of 95 %: Wilson's for shares, the bootstrap for everything else, of many groups at once.

The bootstrap is over blocks: a group's rows are put at random into up to 100 blocks, and blocks are drawn with
replacement, 200 times. Up to 100 rows each is a block of its own: the ordinary bootstrap. Of more rows, equally large
random blocks have the same spread of sums (the method of random groups, Wolter, Introduction to Variance Estimation,
chapter 2), and a million rows take a tenth of a second. Ranks are cut into 32 parts for it, so that the interval of
ROC AUC and PR AUC is laid around the exact value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.monitor.scoring import BINS, Ranked, SumMetric

RESAMPLES = 200
SEED = 20_260_101
BLOCKS = 100
PARTS = 32
Z = 1.959963984540054


def wilson(hits: Any, of: Any) -> tuple[Any, Any]:
    """Wilson's score interval of a share (J. Am. Stat. Assoc. 22, 1927); NaN where there is nothing to count."""
    n = np.asarray(of, dtype=np.float64)
    some = np.where(n > 0, n, np.nan)
    p = np.asarray(hits, dtype=np.float64) / some
    middle = (p + Z**2 / (2 * some)) / (1 + Z**2 / some)
    half = Z * np.sqrt(p * (1 - p) / some + Z**2 / (4 * some**2)) / (1 + Z**2 / some)
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)  # exactly, without a rounding


@dataclass(frozen=True)
class Blocks:
    """Each row's block in its group, and how often each resample takes each block."""

    codes: Any
    groups: int
    block: Any
    counts: Any
    """blocks of each group"""
    weights: dict[int, Any]
    """by the number of blocks: resamples × blocks"""

    @classmethod
    def made(cls, codes: Any, groups: int) -> Blocks:
        rng = np.random.default_rng(SEED)
        shuffled = rng.permutation(len(codes))
        small: Any = codes.astype(np.uint16) if groups < 2**16 else codes
        order = shuffled[np.argsort(small[shuffled], kind="stable")]
        size = np.bincount(codes, minlength=groups)
        start = np.concatenate([[0], np.cumsum(size)[:-1]])
        counts = np.minimum(size, BLOCKS)
        place = np.arange(len(codes)) - start[codes[order]]
        block = np.empty(len(codes), dtype=np.int64)
        block[order] = place % np.maximum(counts, 1)[codes[order]]
        weights = {
            int(b): rng.multinomial(b, np.full(b, 1 / b), size=RESAMPLES).astype(np.float32)
            for b in np.unique(counts[counts > 0])
        }
        return cls(codes, groups, block, counts, weights)

    def resampled(self, values: Sequence[Any], inner: Any = 0, parts: int = 1) -> Any:
        """Sums of resamples: resamples × groups × parts × columns. A column is booleans, numbers, or None to count.

        `inner`: into which part of its group each row falls.
        """
        cells = self.groups * BLOCKS * parts
        place = (self.codes * BLOCKS + self.block) * parts + inner
        found = np.zeros((RESAMPLES, self.groups, parts, len(values)), dtype=np.float32)
        for column, value in enumerate(values):
            if value is None:
                sums = np.bincount(place, minlength=cells)
            elif value.dtype == bool:
                sums = np.bincount(place[value], minlength=cells)
            else:
                sums = np.bincount(place, weights=value, minlength=cells)
            shaped = sums.reshape(self.groups, BLOCKS, parts).astype(np.float32)
            for count, weights in self.weights.items():
                mine = np.flatnonzero(self.counts == count)
                drawn = np.tensordot(weights, shaped[mine, :count], axes=(1, 1))
                found[..., column][:, mine] = drawn
        return found


def of_sums(
    blocks: Blocks, metrics: Sequence[SumMetric], columns: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Bounds of each metric in each group."""
    names = list(dict.fromkeys(name for metric in metrics for name in metric.columns))
    if not names:
        return {}
    drawn = blocks.resampled([columns.get(name) for name in names])[:, :, 0, :].astype(np.float64)
    sums = {name: drawn[..., place] for place, name in enumerate(names)}
    return {m.name: bounds(m.value(*(sums[name] for name in m.columns))) for m in metrics}


def of_calibration(blocks: Blocks, truth: Any, score: Any, error: Any) -> tuple[Any, Any]:
    """Resampled gaps are larger than those of the rows themselves, since noise is added to noise: by their median
    the interval is moved back to the value, `error`."""
    inner = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    drawn = blocks.resampled([score - truth, None], inner, BINS).astype(np.float64)
    gaps = np.abs(drawn[..., 0]).sum(2)
    rows = drawn[..., 1].sum(2)
    found = np.divide(gaps, rows, out=np.full(gaps.shape, np.nan), where=rows > 0)
    low, high = bounds(found)
    excess = np.median(found, axis=0) - error
    return np.maximum(low - excess, 0.0), high - excess


def of_curves(ranked: Ranked, blocks: Blocks) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Of ROC AUC and of average precision: how far below and above the exact value the bounds lie."""
    part = np.empty(len(ranked.order), dtype=np.int64)
    size = np.maximum(ranked.size, 1)[ranked.codes]
    part[ranked.order] = np.minimum(ranked.middle / size * PARTS, PARTS - 1).astype(np.int64)
    truth = np.empty(len(ranked.order), dtype=bool)
    truth[ranked.order] = ranked.truth
    drawn = blocks.resampled([truth, ~truth], part, PARTS)
    whole = np.bincount(
        (blocks.codes * PARTS + part) * 2 + ~truth, minlength=blocks.groups * PARTS * 2
    ).reshape(1, blocks.groups, PARTS, 2)
    return tuple(  # type: ignore[return-value]
        _around(function(drawn), function(whole.astype(np.float32))) for function in (_auc, _precision)
    )


def _auc(counts: Any) -> Any:
    positive, negative = counts[..., 0], counts[..., 1]
    below = np.cumsum(negative, axis=-1) - negative / 2
    pairs = positive.sum(-1) * negative.sum(-1)
    return np.divide((positive * below).sum(-1), pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def _precision(counts: Any) -> Any:
    """From the highest scores down."""
    positive = counts[..., ::-1, 0]
    hits, rows = np.cumsum(positive, axis=-1), np.cumsum(counts[..., ::-1, :].sum(-1), axis=-1)
    precision = np.divide(hits, rows, out=np.zeros(hits.shape), where=rows > 0)
    total = positive.sum(-1)
    return np.divide((positive * precision).sum(-1), total, out=np.full(total.shape, np.nan), where=total > 0)


def _around(drawn: Any, whole: Any) -> tuple[Any, Any]:
    low, high = bounds(drawn)
    return low - whole[0], high - whole[0]


def bounds(drawn: Any) -> tuple[Any, Any]:
    """The middle 95 % of the resamples (first axis) in which the metric is defined."""
    low = np.full(drawn.shape[1:], np.nan)
    high = low.copy()
    known = np.isfinite(drawn).any(0)
    if known.any():
        some = drawn[:, known]
        quantile: Callable[..., Any] = np.quantile if np.isfinite(some).all() else np.nanquantile
        low[known], high[known] = quantile(some, [0.025, 0.975], axis=0)
    return low, high
