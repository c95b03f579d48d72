"""Each statistic equals SciPy's, and Evidently's on the same data."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.spatial import distance

from mlops_workbench.monitor import statistics
from mlops_workbench.monitor.ranks import Cells, Table, pair

counts = st.lists(st.integers(0, 10**6), min_size=2, max_size=40)
# few distinct values (ties) and any values, from tiny to huge, in one strategy
values = st.one_of(
    st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=80),
    st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=80),
)

ROUNDING: dict[str, float] = {"rtol": 0, "atol": 1e-12}
"""SciPy 1.18 subtracts in another order than 1.17; one rank too many is more than 1e-9"""


@settings(deadline=None)
@given(counts, st.randoms())
def test_psi_and_jensen_shannon_equal_their_definitions(reference: list[int], random: Any) -> None:
    current = [random.randint(0, 1000) for _ in reference]
    reference[0] += 1
    current[-1] += 1
    r, c = np.array(reference) / sum(reference), np.array(current) / sum(current)
    assert_allclose(statistics.jensen_shannon(reference, current), distance.jensenshannon(r, c), atol=1e-7)
    if (r > 0).all() and (c > 0).all():
        both = stats.entropy(r, c) + stats.entropy(c, r)  # PSI is Jeffreys' divergence
        assert_allclose(statistics.psi(reference, current), both, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(values, values)
@example([1.0, 1.0, 2.0], [1.0, 2.0, 2.0])
def test_ks_and_wasserstein_equal_scipy(reference: list[float], current: list[float]) -> None:
    expected = stats.ks_2samp(reference, current, method="asymp")
    statistic, p = statistics.ks(reference, current)
    assert_allclose(statistic, expected.statistic, **ROUNDING)
    assert_allclose(p, expected.pvalue, rtol=1e-9)
    norm = max(float(np.std(reference)), 0.001)
    expected = stats.wasserstein_distance(reference, current) / norm
    assert_allclose(statistics.wasserstein(reference, current), expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(values, values)
def test_ks_of_cells_and_tables_is_exact(reference: list[float], current: list[float]) -> None:
    r, c = np.array(reference), np.array(current)
    expected = stats.ks_2samp(r, c, method="asymp").statistic
    assert_allclose(pair(r, c, (), (0.5,)).ks, expected, **ROUNDING)


@pytest.mark.parametrize("shift", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "outliers", "rounded", "tied", "signed"])
def test_cells_give_what_sorting_would_give(kind: str, shift: float) -> None:
    rng = np.random.default_rng(7)

    def draw(n: int, at: float) -> Any:
        made = rng.normal(at, 1, n)
        if kind == "lognormal":
            return np.exp(4 * made)
        if kind == "outliers":
            made[:3] = [1e300, -1e200, 1e17]
        if kind == "rounded":
            return np.round(made, 2)
        if kind == "tied":
            return np.where(rng.random(n) < 0.6, 0.0, made)
        if kind == "signed":
            return np.sign(made) * np.exp(9 * np.abs(made))
        return made

    r, c = draw(20_011, 0.0), draw(13_007, shift)
    shares = (0.0, 0.05, 0.25, 0.5, 0.95, 1.0)
    edges = statistics.bin_edges(min(r.min(), c.min()), max(r.max(), c.max()), r.size + c.size)
    cells = Cells(r, c, (edges,), shares)
    assert_allclose(cells.ks, stats.ks_2samp(r, c, method="asymp").statistic, **ROUNDING)
    for counted, sample in zip(cells.histogram(edges), (r, c), strict=True):
        assert counted.tolist() == np.histogram(sample, edges)[0].tolist()
    for found, sample in zip(cells.quantiles(shares), (r, c), strict=True):
        assert_allclose(found, np.quantile(sample, shares), rtol=1e-12)


def test_tables_give_what_sorting_would_give() -> None:
    rng = np.random.default_rng(3)
    r, c = rng.integers(-20, 50, 5000).astype(float), rng.integers(-10, 60, 3000).astype(float)
    table = pair(r, c, (), ())
    assert isinstance(table, Table)
    edges = statistics.bin_edges(-20, 59, 8000, integer=True)
    for counted, sample in zip(table.histogram(edges), (r, c), strict=True):
        assert counted.tolist() == np.histogram(sample, edges)[0].tolist()
    for found, sample in zip(table.quantiles((0.1, 0.5)), (r, c), strict=True):
        assert_allclose(found, np.quantile(sample, (0.1, 0.5)))


@settings(deadline=None)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=30), st.randoms())
def test_chi_square_equals_scipy(reference: list[int], random: Any) -> None:
    current = [random.randint(0, 500) for _ in reference]
    reference[0] += 1
    current[0] += 1
    table = np.array([reference, current])
    table = table[:, table.sum(axis=0) > 0]
    expected = stats.chi2_contingency(table, correction=False)
    statistic, p = statistics.chi_square(reference, current)
    assert_allclose(statistic, expected.statistic, rtol=1e-9, atol=1e-9)
    assert_allclose(p, expected.pvalue, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("spread", [1.4, 1.5, 2.0, 4.0])
def test_long_samples_take_a_short_way_to_the_same_p(spread: float) -> None:
    n, m = 15_000, 9_000
    size = round(n * m / (n + m))
    distance = spread / size**0.5
    assert_allclose(
        statistics.ks_p_value(distance, n, m), stats.kstwo.sf(distance, size), rtol=0.03, atol=1e-5
    )


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_bins_are_numpys(sample: list[float]) -> None:
    low, high = min(sample), max(sample)
    if low == high or high - low > 1e-3:
        expected = np.histogram_bin_edges(np.array(sample), bins="sturges")
        assert_allclose(statistics.bin_edges(low, high, len(sample)), expected, rtol=0, atol=0)


def test_integer_bins_are_numpys() -> None:
    sample = np.arange(4).repeat(1000)
    expected = np.histogram_bin_edges(sample, bins="sturges")
    assert statistics.bin_edges(0, 3, 4000, integer=True).tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore")  # of evidently's own imports
def test_psi_and_distances_equal_evidently(flights_like: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently.legacy.calculations import stattests
    from evidently.legacy.core import ColumnType

    from mlops_workbench.monitor.drift import compare

    reference, current = flights_like
    report = compare(reference, current)
    for name in reference.columns:
        r, c = reference[name].dropna(), current[name].dropna()
        number = pd.api.types.is_numeric_dtype(r)
        kind = ColumnType.Numerical if number else ColumnType.Categorical
        found = report.feature(name)

        def score(test: Any, r: Any = r, c: Any = c, kind: Any = kind) -> float:
            return float(test.func(r, c, kind, 0.1)[0])

        assert_allclose(found.psi, score(stattests.psi_stat_test), rtol=1e-9, err_msg=name)
        js = score(stattests.jensenshannon_stat_test)
        assert_allclose(found.js, js, rtol=1e-7, err_msg=name)
        if number:
            expected = stats.ks_2samp(r, c, method="asymp")
            assert_allclose(found.ks, expected.statistic, **ROUNDING)
            assert_allclose(found.ks_p, expected.pvalue, rtol=1e-6, atol=1e-9)
            normed = score(stattests.wasserstein_stat_test)
            assert_allclose(statistics.wasserstein(r, c), normed, rtol=1e-9)


@pytest.fixture
def flights_like() -> tuple[pd.DataFrame, pd.DataFrame]:
    def draw(seed: int, n: int, shift: float) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        distance = rng.lognormal(6 + shift, 1, n)
        distance[:: 7 + seed] = np.nan
        return pd.DataFrame(
            {
                "distance": distance,
                "temperature": rng.normal(10 + 20 * shift, 5, n),
                "hour": rng.integers(0, 24, n),
                "seats": rng.choice([2.0, 4.5, 100.0], n, p=[0.2, 0.3 + shift, 0.5 - shift]),
                "minute": rng.integers(0, 10_000_000, n),
                "rare": np.where(np.arange(n) == seed, "once", rng.choice(["a", "b"], n)) if seed else "a",
                "carrier": rng.choice(["UA", "AA", "DL"] + ["9E"] * (seed > 0), n),
                "day": rng.choice(["Mon", "Tue", None], n),
            }
        )

    return draw(0, 14_000, 0.0), draw(1, 12_500, 0.2)


@pytest.mark.parametrize("function", [statistics.psi, statistics.jensen_shannon])
def test_counts_of_other_bins_are_refused(function: Any) -> None:
    with pytest.raises(ValueError, match=r"got 2 and 3"):
        function([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="sum to zero"):
        function([0, 0], [1, 2])


SHARES = {
    "even": [0.1] * 10,
    "two": [0.5, 0.5],
    "rare": [0.5, 0.4, 0.05, 0.04, 0.009, 0.001],
    "hardly repeated": [1 / 400] * 400,
    "nearly empty": [0.99, *[0.01 / 30] * 30],
}


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("rows", [(300, 60), (25, 900)])
def test_chance_is_what_equal_samples_exceed_in_one_of_five_hundred(
    shares: str, rows: tuple[int, int]
) -> None:
    """2 of 1,000 pairs are expected: that there are more than 8 has a probability of 0.0002."""
    rng = np.random.default_rng(11)
    above = {"psi": 0, "js": 0, "unseen": 0}
    for _ in range(pairs := 1000 if len(SHARES[shares]) < 100 else 60):
        r, c = (rng.multinomial(n, SHARES[shares]) for n in rows)
        chance = statistics.by_chance(r, c)
        found = {
            "psi": statistics.psi(r, c),
            "js": statistics.jensen_shannon(r, c),
            "unseen": statistics.unseen_share(r, c),
        }
        for name, value in found.items():
            above[name] += value > chance[name].bound
    assert max(above.values()) <= (8 if pairs == 1000 else 3), above


def test_chance_on_average_is_the_known_approximation_where_bins_are_full() -> None:
    """PSI ≈ (bins − 1)(1/n + 1/m) and PSI ≈ 8 · JS² (Yurdakul and Naranjo 2020)."""
    chance = statistics.by_chance([1000] * 10, [400] * 10)
    mean = 9 * (1 / 10_000 + 1 / 4_000)
    assert chance["psi"].expected == pytest.approx(mean, rel=0.1)
    assert (
        22 < chance["psi"].bound * 9 / mean < 40
    )  # χ² of 9 degrees of freedom exceeds 26.1 in 2 of 1,000 cases
    assert 8 * chance["js"].expected ** 2 == pytest.approx(mean, rel=0.15)
    assert chance["unseen"] == statistics.Chance(0.0, 0.0)


@pytest.mark.parametrize("missing", [0.0, 0.02, 0.5])
def test_chance_of_missing_is_exceeded_in_one_of_five_hundred(missing: float) -> None:
    rng = np.random.default_rng(5)
    above = 0
    for _ in range(1000):
        r, c = int(rng.binomial(200, missing)), int(rng.binomial(30, missing))
        above += abs(r / 200 - c / 30) > statistics.missing_by_chance((r, 200), (c, 30)).bound
    assert above <= 8
    assert statistics.missing_by_chance((10, 1000), (300, 1000)).bound < 0.1


def test_rows_by_the_thousand_millions_have_a_chance_too() -> None:
    chance = statistics.by_chance([2 * 10**9, 10**9], [10**9, 10**9])
    assert 0 < chance["psi"].bound < 1e-6


def test_chance_of_ks_is_what_equal_samples_exceed_in_one_of_five_hundred() -> None:
    rng = np.random.default_rng(11)
    distances = [statistics.ks(rng.random(300), rng.random(200))[0] for _ in range(2000)]
    assert 0.0001 < np.mean(np.array(distances) > statistics.ks_chance(300, 200)) < 0.004
