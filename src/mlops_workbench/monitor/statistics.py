"""Distances between two samples: pure functions on counts or values, each with the source of its formula.

`psi`, `jensen_shannon` and `chi_square` take counts in the same bins or categories, in the same order;
`ks` and `wasserstein` take the values themselves (NaN must have been left out). SciPy is imported only
where a p-value is asked for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

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
    r, c = _fill_zeros(r), _fill_zeros(c)
    return float(np.sum((r - c) * np.log(r / c)))


def psi_chance(reference_counts: ArrayLike, current_counts: ArrayLike) -> float:
    """The PSI that two samples of one distribution, of these sizes and bins, exceed in about 1 % of cases.

    PSI of equal distributions is distributed as (1/n + 1/m) · χ² with bins − 1 degrees of freedom (Yurdakul
    and Naranjo, *Statistical properties of the population stability index*, Journal of Risk Model
    Validation, 2020). That holds where no bin is empty. A bin of pooled share p stays empty in n rows with
    probability e^(−np), and then adds (p − f) · ln(p / f) for the fill f of `psi`; mean and variance take
    that in. The 99 % point is a gamma distribution's of that mean and variance (Wilson and Hilferty 1931).
    """
    counts = [_counts(reference_counts), _counts(current_counts)]
    pooled = counts[0] + counts[1]
    counts, pooled = [c[pooled > 0] for c in counts], pooled[pooled > 0]
    p = pooled / pooled.sum()
    if p.size < 2:
        return 0.0
    noise = sum(1 / c.sum() for c in counts)
    mean, variance = (p.size - 1) * noise, 2 * (p.size - 1) * noise**2
    for c in counts:
        fill = _fill(c / c.sum())
        empty = np.exp(-c.sum() * p)
        adds = (p - fill) * np.log(p / fill)
        mean += float(np.sum(empty * adds))
        variance += float(np.sum(empty * (1 - empty) * adds**2))
    return _gamma_99(mean, variance)


def jensen_shannon_chance(bins: int, reference_rows: int, current_rows: int) -> float:
    """The distance that equal distributions exceed in about 1 % of cases, from PSI ≈ 8 · JS²."""
    noise = 1 / reference_rows + 1 / current_rows
    return math.sqrt(_gamma_99((bins - 1) * noise, 2 * (bins - 1) * noise**2) / 8) if bins > 1 else 0.0


def _gamma_99(mean: float, variance: float) -> float:
    spread = variance / mean**2 / 9
    return mean * (1 - spread + 2.3263 * math.sqrt(spread)) ** 3


def ks_chance(reference_rows: int, current_rows: int) -> float:
    """The Kolmogorov–Smirnov statistic that equal distributions exceed in 1 % of cases."""
    return 1.6276 * math.sqrt(1 / reference_rows + 1 / current_rows)


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
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / 2
    return math.sqrt(max(divergence, 0.0))


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
    return np.where(shares == 0, _fill(shares), shares)


def _fill(shares: FloatArray) -> float:
    smallest = float(shares[shares > 0].min())
    return smallest / 10**6 if smallest <= 0.0001 else 0.0001


def _relative_entropy(p: FloatArray, q: FloatArray) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))
