"""Drift from windows: equal to what the rows say, quiet without a difference, and alert with one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops_workbench.data import summarizing
from mlops_workbench.manifest import Field
from mlops_workbench.monitor import statistics, summed
from mlops_workbench.monitor.features import FeatureDrift, Thresholds
from mlops_workbench.summary.reference import DataReference
from mlops_workbench.summary.window import Window, counted

FIELDS = (
    Field("normal", "double"),
    Field("skewed", "double"),
    Field("few", "double"),
    Field("gaps", "double"),
    Field("class", "string"),
    Field("names", "string"),
)


def frame(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "normal": rng.normal(shift, 1, rows),
            "skewed": rng.exponential(1, rows) ** 3,
            "few": rng.integers(0, 5, rows).astype(float),
            "gaps": np.where(rng.random(rows) < 0.03, np.nan, rng.random(rows)),
            "class": rng.choice(list("abcdefgh"), rows, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01]),
            "names": np.minimum(rng.zipf(1.5, rows), 3_000).astype(str),
        }
    )


def window(reference: DataReference, rows: pd.DataFrame) -> Window:
    columns: dict[str, Any] = {name: rows[name].tolist() for name in rows}
    return counted(reference, columns, {"latency": [1.0] * len(rows)}, requests=len(rows))


def drift(reference: DataReference, rows: pd.DataFrame) -> dict[str, FeatureDrift]:
    current = summed.of_window(reference, window(reference, rows))
    return {
        part.name: summed.compared(summed.of_reference(part), current[place], Thresholds())
        for place, part in enumerate(reference.columns)
    }


@pytest.fixture(scope="module")
def reference() -> DataReference:
    return summarizing.reference(frame(20_000, 0), FIELDS)


@pytest.mark.parametrize(("rows", "windows"), [(200, 250), (2_000, 100), (20_000, 30)])
def test_rows_of_the_reference_itself_raise_no_more_alarms_than_stated(
    reference: DataReference, rows: int, windows: int
) -> None:
    alarms = [
        (name, found.reasons)
        for seed in range(windows)
        for name, found in drift(reference, frame(rows, 1_000 * rows + seed)).items()
        if found.status in ("drift", "warn")
    ]
    assert len(alarms) <= 0.01 * windows * len(FIELDS), alarms


@pytest.mark.parametrize("rows", [200, 2_000, 20_000])
def test_a_shift_of_half_a_standard_deviation_is_found(reference: DataReference, rows: int) -> None:
    found = [drift(reference, frame(rows, seed, 0.5))["normal"] for seed in range(40)]
    assert np.mean([f.status in ("drift", "warn") for f in found]) >= 0.95


def test_a_small_shift_is_shown_by_its_p_value(reference: DataReference) -> None:
    rows = frame(20_000, 5, 0.1)
    found = drift(reference, rows)
    p = statistics.adjusted([f.ks_p if f.ks_p is not None else f.chi_square_p or 1.0 for f in found.values()])
    assert found["normal"].status == "ok"
    assert p[0] < 1e-6
    assert min(p[1:]) > 0.001


NUMBERS = st.lists(st.floats(-1e4, 1e4).map(lambda v: round(v, 3)), min_size=30, max_size=200)


@settings(max_examples=60)
@given(NUMBERS, NUMBERS)
def test_windows_say_what_the_rows_say(before: list[float], now: list[float]) -> None:
    """Equal bins give equal figures; Kolmogorov–Smirnov differs by no more than the fullest bin, Wasserstein by no more
    than each bin's width times the shares that it holds."""
    known = summarizing.reference(pd.DataFrame({"x": before}), [Field("x", "double")])
    part = known.columns[0]
    current = summed.of_window(known, window(known, pd.DataFrame({"x": now})))[0]
    found = summed.compared(summed.of_reference(part), current, Thresholds())
    coarse = [part.edges[place] for place in part.coarse]
    bins = np.array([-np.inf, *coarse, np.inf])
    r, c = (np.histogram(v, bins)[0] for v in (before, now))
    assert found.psi == pytest.approx(statistics.psi(r[r + c > 0], c[r + c > 0]))
    assert found.js == pytest.approx(statistics.jensen_shannon(r, c))
    assert found.tv == pytest.approx(np.abs(r / r.sum() - c / c.sum()).sum() / 2)
    exact = stats.ks_2samp(before, now, method="asymp").statistic
    fullest = max((side.bins / side.known).max() for side in (summed.of_reference(part), current))
    assert found.ks is not None
    assert exact - fullest - 1e-9 <= found.ks <= exact + 1e-9
    spread = max(np.std(before), 0.001)
    places = np.concatenate([[min(min(before), min(now))], part.edges, [max(max(before), max(now))]])
    shares = np.maximum(summed.of_reference(part).bins / len(before), current.bins / len(now))
    slack = float(np.sum(np.diff(np.clip(places, places[0], places[-1])).clip(0) * shares)) / spread
    assert found.wasserstein is not None
    assert found.wasserstein == pytest.approx(
        stats.wasserstein_distance(before, now) / spread, abs=slack + 1e-6
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_scipys(values: list[float]) -> None:
    np.testing.assert_allclose(statistics.adjusted(values), stats.false_discovery_control(values))


@pytest.mark.filterwarnings("ignore")  # of evidently's own imports
def test_psi_is_evidentlys_where_no_value_lies_outside(
    reference: DataReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    from evidently.legacy.calculations import stattests
    from evidently.legacy.core import ColumnType

    now = frame(2_000, 7, 0.3)
    theirs = stattests.psi_stat_test(frame(20_000, 0)["class"], now["class"], ColumnType.Categorical, 0.1)
    assert drift(reference, now)["class"].psi == pytest.approx(theirs.drift_score, rel=1e-6)


def test_columns_in_any_state_say_so_and_hide_no_other() -> None:
    rows = pd.DataFrame(
        {
            "empty": [None] * 300,
            "constant": [3.0] * 300,
            "times": pd.date_range("2026-01-01", periods=300, freq="h"),
            "texts": [f"a long sentence number {i} {'x' * (i % 50)}" for i in range(300)],
            "good": np.arange(300.0),
        }
    )
    fields = [
        Field("empty", "double"),
        Field("constant", "double"),
        Field("times", "datetime"),
        Field("texts", "string"),
        Field("good", "double"),
    ]
    known = summarizing.reference(rows, fields)
    moved = rows.assign(constant=4.0, times=pd.Timestamp("2026-02-01 03:00"), good=rows["good"] + 1_000)
    found = drift(known, moved)
    assert {name: f.status for name, f in found.items()} == {
        "empty": "unknown",
        "constant": "drift",
        "times": "drift",
        "texts": "ok",
        "good": "drift",
    }
    assert found["good"].outside_share == 1.0
    assert "All its values are missing in the reference" in found["empty"].note
    assert found["times"].kind == "hour of day"
    assert drift(known, rows)["constant"].status == "ok"
