"""Distances between two samples: pure functions on counts or values, each with the source of its formula.

`psi`, `jensen_shannon` and `chi_square` take counts in the same bins or categories, in the same order;
`ks` and `wasserstein` take the values themselves (NaN must have been left out). SciPy is imported only
where a p-value is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.002
"""share of pairs of samples of one distribution of which a statistic may be called beyond chance. Five are looked at a
feature (PSI, Jensen–Shannon, KS, unseen, missing): together at most 1 % of the features raise a false alarm"""
DRAWS = 499
"""being larger than all of them has a probability of 1 / 500 = `LEVEL`"""
_MOST_DRAWN = 400_000
_FEWEST_DRAWS = 40
_MOST_DEALT = 1_000_000_000
"""rows that NumPy deals out"""
_NORMAL_BOUND = 2.8782
"""of a standard normal distribution, exceeded in `LEVEL` of cases"""
FEW_VALUES = 20
"""up to so many distinct reference values, a numeric column is compared by value instead of by bin"""


def psi(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """Population stability index: Σ (r − c) · ln(r / c) over the shares r and c; 0 when equal, unbounded.

    A share of zero has no logarithm. It is replaced by 0.0001, or by a millionth of the sample's smallest
    non-zero share where that share is 0.0001 or less. That is Evidently's rule, so that both give the same
    figure (`evidently.legacy.calculations.stattests.utils.get_binned_data`; formula: `…stattests.psi`, and
    Siddiqi, *Credit Risk Scorecards*, 2006). Counts in a bin that is empty in both samples must be left out
    of categories but may stay in bins, where they add nothing as long as both fills are equal.
    """
    r, c = _shares(reference_counts, current_counts)
    return float(psi_of_rows(r[None], c[None])[0])


def psi_of_rows(reference: FloatArray, current: FloatArray) -> FloatArray:
    """`psi` of many pairs at once, counts or shares in bins along the last axis."""
    r, c = (_fill_zeros(x / x.sum(axis=1, keepdims=True)) for x in (reference, current))
    return np.asarray(np.sum((r - c) * np.log(r / c), axis=1))


def unseen_share(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """Share of current rows in categories that no reference row has."""
    r, c = _shares(reference_counts, current_counts)
    return float(_unseen_of_rows(r[None], c[None])[0])


def _unseen_of_rows(reference: FloatArray, current: FloatArray) -> FloatArray:
    return np.asarray(np.where(reference == 0, current, 0).sum(axis=1) / current.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Chance:
    """A distance of two samples of one distribution: its mean, and what at most `LEVEL` of such pairs exceed."""

    expected: float
    bound: float


def by_chance(reference_counts: ArrayLike, current_counts: ArrayLike) -> dict[str, Chance]:
    """What `psi`, `jensen_shannon` and `unseen_share` of these rows are when chance alone splits them in two.

    A permutation test (Fisher, *The Design of Experiments*, 1935): of equal distributions, each way to deal the pooled
    rows out again is as likely as the one that was seen, so the counts are drawn from a multivariate hypergeometric
    distribution, and what is larger than all of 499 draws is so in at most 1 of 500 cases. That holds for any sizes,
    for bins that are nearly empty and for categories that hardly repeat, where the usual approximations
    (PSI ≈ (1/n + 1/m) · χ², PSI ≈ 8 · JS²) do not. With very many categories fewer draws are made; the bound is then
    the quantile of a gamma distribution of their mean and variance (Wilson and Hilferty 1931).
    """
    pooled = np.rint(_counts(reference_counts) + _counts(current_counts)).astype(np.int64)
    rows = int(np.rint(_counts(reference_counts).sum()))
    pooled = pooled[pooled > 0]
    draws = int(np.clip(_MOST_DRAWN // pooled.size, _FEWEST_DRAWS, DRAWS))
    rng = np.random.default_rng(0)
    if pooled.sum() < _MOST_DEALT:
        first = rng.multivariate_hypergeometric(pooled, rows, size=draws, method="marginals")
    else:  # so many that putting them back changes nothing
        first = np.minimum(rng.multinomial(rows, pooled / pooled.sum(), size=draws), pooled)
    dealt = first.astype(np.float64), (pooled - first).astype(np.float64)
    found = {"psi": psi_of_rows(*dealt), "js": _js_of_rows(*dealt), "unseen": _unseen_of_rows(*dealt)}
    return {name: _chance(values) for name, values in found.items()}


def missing_by_chance(reference: tuple[int, int], current: tuple[int, int]) -> Chance:
    """What the share of missing values changes by, when chance alone deals the rows out. Missing and all rows."""
    missing, rows = reference[0] + current[0], reference[1] + current[1]
    if missing in (0, rows):
        return Chance(0.0, 0.0)
    first = np.random.default_rng(0).hypergeometric(missing, rows - missing, reference[1], size=DRAWS)
    return _chance(np.abs(first / reference[1] - (missing - first) / current[1]))


def _chance(values: FloatArray) -> Chance:
    mean = float(values.mean())
    if values.size >= DRAWS:
        bound = float(values.max())
    else:
        bound = max(float(values.max()), _gamma_bound(mean, float(values.var())))
    return Chance(mean, bound * (1 + 1e-9))  # the same counts, summed in another order, are not beyond


def _gamma_bound(mean: float, variance: float) -> float:
    if not mean:
        return 0.0
    spread = variance / mean**2 / 9
    return mean * (1 - spread + _NORMAL_BOUND * math.sqrt(spread)) ** 3


def ks_chance(reference_rows: int, current_rows: int) -> float:
    """The Kolmogorov–Smirnov statistic that equal distributions exceed in at most `LEVEL` of cases.

    √(−ln(α/2) / 2) · √(1/n + 1/m), the first term of Kolmogorov's distribution (Smirnov 1948); with ties or few rows
    it is exceeded more rarely.
    """
    return math.sqrt(-math.log(LEVEL / 2) / 2) * math.sqrt(1 / reference_rows + 1 / current_rows)


def ks(reference: ArrayLike, current: ArrayLike) -> tuple[float, float]:
    """Two-sample Kolmogorov–Smirnov: largest distance of the cumulative distributions, and its p-value.

    The statistic is exact, ties included, and equal to `scipy.stats.ks_2samp`'s; the p-value is its
    `method="asymp"`, two-sided.
    """
    r, c = np.sort(_values(reference)), np.sort(_values(current))
    every = np.concatenate([r, c])
    above = np.searchsorted(r, every, side="right") / r.size
    below = np.searchsorted(c, every, side="right") / c.size
    statistic = float(np.max(np.abs(above - below)))
    return statistic, ks_p_value(statistic, r.size, c.size)


def ks_p_value(statistic: float, reference_rows: int, current_rows: int) -> float:
    """Two-sided asymptotic p-value, as `scipy.stats.ks_2samp(method="asymp")` computes it.

    SciPy's tail takes a quarter of a second at 560,000 rows each, so for long samples it is
    2·exp(−(6nd + 1)² / 18n) (Maag and Dicaire 1971, quoted by Simard and L'Ecuyer, *Computing the two-sided
    Kolmogorov–Smirnov distribution*, J. Stat. Softw. 39, 2011): within 1 % of SciPy's down to p = 1e-8.
    """
    # as floats: n·m of two long integer samples could overflow a 64-bit integer
    n, m = float(reference_rows), float(current_rows)
    size = max(1, round(n * m / (n + m)))
    if size > 5000 and size * statistic**2 >= 2.2:
        return 2 * math.exp(-((6 * size * statistic + 1) ** 2) / (18 * size))
    from scipy.stats import kstwo

    p: Any = kstwo.sf(statistic, size)
    return float(np.clip(p, 0, 1))


def jensen_shannon(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """Jensen–Shannon distance: square root of the divergence in natural logarithms, 0 to √ln 2 = 0.833.

    Natural logarithms because they are the default of `scipy.spatial.distance.jensenshannon` and of Evidently
    (base 2 would only stretch the range to 1). Zero counts need no treatment. Source: Endres and Schindelin,
    *A new metric for probability distributions*, IEEE Trans. Inf. Theory 49 (2003).
    """
    r, c = _shares(reference_counts, current_counts)
    return float(_js_of_rows(r[None], c[None])[0])


def _js_of_rows(reference: FloatArray, current: FloatArray) -> FloatArray:
    r, c = (x / x.sum(axis=1, keepdims=True) for x in (reference, current))
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / 2
    return np.sqrt(np.maximum(divergence, 0.0))


def total_variation(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """½ Σ |r − c| over the shares r and c: the largest difference of the probabilities of any set of bins, 0 to 1."""
    r, c = _shares(reference_counts, current_counts)
    return float(np.abs(r - c).sum() / 2)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests so that of those below a level at most that share is wrong, on average.

    Benjamini and Hochberg, *Controlling the false discovery rate*, J. R. Stat. Soc. B 57 (1995); equal to
    `scipy.stats.false_discovery_control`.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if not given.size:
        return []
    order = np.argsort(given)[::-1]
    scaled = given[order] * given.size / np.arange(given.size, 0, -1)
    found = np.empty_like(given)
    found[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return [float(p) for p in found]


def chi_square(reference_counts: ArrayLike, current_counts: ArrayLike) -> tuple[float, float]:
    """Pearson's chi-square test that two samples have one distribution: statistic and p-value.

    Both samples are samples, so this is the test of homogeneity on the 2 × k table, without Yates'
    correction: `scipy.stats.chi2_contingency(table, correction=False)`. (Evidently's takes the reference
    for the truth and divides by its counts, which is infinite as soon as a new category appears.)
    """
    from scipy.special import chdtrc

    table = np.vstack([_counts(reference_counts), _counts(current_counts)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    statistic = float(np.sum((table - expected) ** 2 / expected))
    return statistic, float(chdtrc(table.shape[1] - 1, statistic))


def wasserstein(reference: ArrayLike, current: ArrayLike) -> float:
    """First Wasserstein distance ∫ |F − G| dx, in standard deviations of the reference (at least 0.001).

    Equal to `scipy.stats.wasserstein_distance(r, c) / max(std(r), 0.001)`, Evidently's normed distance.
    """
    r, c = np.sort(_values(reference)), np.sort(_values(current))
    every = np.sort(np.concatenate([r, c]), kind="stable")  # merges the two sorted runs
    left = every[:-1]
    gap = np.abs(
        np.searchsorted(r, left, side="right") / r.size - np.searchsorted(c, left, side="right") / c.size
    )
    return float(np.sum(gap * np.diff(every))) / max(float(np.std(r)), 0.001)


def bin_edges(low: float, high: float, size: int, *, integer: bool = False) -> FloatArray:
    """Equal-width bins of `size` values between `low` and `high` by Sturges' rule: ⌈log2 n + 1⌉ of them.

    Equal to `numpy.histogram_bin_edges(values, bins="sturges")` (integers are never split finer than 1),
    which is what Evidently uses for numeric columns, on reference and current together.
    """
    width = (high - low) / (float(np.log2(size)) + 1.0)
    if integer and 0 < width < 1:
        width = 1.0
    bins = math.ceil((high - low) / width) if width else 1
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _values(values: ArrayLike) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        raise ValueError("A sample without values has no distribution.")
    return found


def _counts(counts: ArrayLike) -> FloatArray:
    found = np.asarray(counts, dtype=np.float64)
    if found.size == 0 or not found.sum() > 0:
        raise ValueError("Counts that sum to zero have no distribution.")
    return found


def _shares(reference: ArrayLike, current: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r, c = _counts(reference), _counts(current)
    if r.shape != c.shape:
        raise ValueError(f"Counts must be in the same bins: got {r.size} and {c.size}.")
    return r / r.sum(), c / c.sum()


def _fill_zeros(shares: FloatArray) -> FloatArray:
    smallest = np.where(shares > 0, shares, np.inf).min(axis=1, keepdims=True)
    fill = np.where(smallest <= 0.0001, smallest / 10**6, 0.0001)
    return np.where(shares == 0, fill, shares)


def _relative_entropy(p: FloatArray, q: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0, p * np.log(p / q), 0.0).sum(axis=1))
