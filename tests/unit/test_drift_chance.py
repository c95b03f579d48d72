"""Drift is not called where chance explains it, nor missed where it is; columns are compared as what they are."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.manifest import Kind
from mlops_workbench.monitor.drift import compare
from mlops_workbench.monitor.features import FeatureDrift

Rng = np.random.Generator
SHAPES: dict[str, Callable[[Rng, int], Any]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "long tail": lambda rng, n: rng.lognormal(sigma=2.5, size=n),
    "mostly zero": lambda rng, n: rng.exponential(size=n) * (rng.random(n) < 0.03),
    "few values": lambda rng, n: rng.integers(0, 5, n),
    "rounded": lambda rng, n: rng.normal(size=n).round(1),
    "gaps": lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
    "truth": lambda rng, n: rng.random(n) < 0.03,
    "categories": lambda rng, n: rng.choice(list("abcdef"), n, p=[0.5, 0.3, 0.15, 0.04, 0.009, 0.001]),
    "2,000 categories": lambda rng, n: rng.integers(10000, 12000, n).astype(str),
}
STATED = 0.01
"""of the features may raise a false alarm (`statistics.LEVEL` times five)"""


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from([2, 10, 25, 60, 300, 2000]),
    st.sampled_from([2, 10, 25, 60, 300, 2000]),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_the_reference_itself_raise_no_more_alarms_than_stated(
    shape: str, before: int, now: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = 40 if shape == "2,000 categories" else 150
    frames = [
        pd.DataFrame({f"x{i}": SHAPES[shape](rng, rows) for i in range(features)}) for rows in (before, now)
    ]
    report = compare(*frames)
    alarms = sum(f.status in ("drift", "warn") for f in report.features)
    # so many more than expected come once in 30,000 examples
    assert alarms <= STATED * features + 4 * (STATED * features) ** 0.5 + 1, [
        f.reasons for f in report.features
    ]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([300, 1000, 5000]), st.sampled_from([300, 1000, 5000]), st.integers(0, 2**32 - 1))
def test_a_shift_of_three_quarters_of_a_deviation_is_always_seen(before: int, now: int, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def frame(n: int, shift: float) -> pd.DataFrame:
        numbers = rng.normal(shift, 1, n)
        return pd.DataFrame(
            {
                "number": numbers,
                "long tail": np.exp(2.5 * numbers),
                "few values": np.clip(numbers.round(), -2, 2),
                "truth": rng.random(n) < 0.3 + shift / 3,
                "category": rng.choice(["a", "b", "c"], n, p=[0.6 - shift / 3, 0.2 + shift / 3, 0.2]),
                "gaps": np.where(rng.random(n) < shift / 5, np.nan, rng.normal(size=n)),
            }
        )

    report = compare(frame(before, 0.0), frame(now, 0.75))
    assert {f.name for f in report.features if f.status == "ok"} == set()


def one(reference: Any, current: Any, kind: Kind | None = None) -> FeatureDrift:
    frames = [pd.DataFrame({"x": values}) for values in (reference, current)]
    return compare(*frames, kinds={"x": kind} if kind else None).feature("x")


def test_a_real_difference_is_not_called_chance() -> None:
    """Of a long tail most bins of equal width hold few rows, so that PSI varies much; ranks do not."""
    rng = np.random.default_rng(0)
    rng.lognormal(sigma=2.5, size=15_888)
    rng.lognormal(sigma=2.5, size=400)
    found = one(rng.lognormal(sigma=3, size=15_888), 4 * rng.lognormal(sigma=3, size=200))
    assert found.ks_p is not None
    assert found.ks_p < 1e-10
    assert found.status == "drift"
    assert "chance" not in found.note
    assert found.note.startswith("No measure of the difference that there is")


RNG = np.random.default_rng(1)
TRUTH = RNG.random(1000) < 0.4
CODES = RNG.choice(["01067", "04103", "20095"], 1000)
NUMBERS = RNG.normal(size=1000)
WHOLE = RNG.integers(1, 13, 1000)


def with_gap(values: Any) -> Any:
    return np.where(np.arange(len(values)) == 0, np.nan, values)


@pytest.mark.parametrize(
    ("kind", "before", "now"),
    [
        ("boolean", TRUTH, TRUTH.astype(int)),
        ("boolean", TRUTH, with_gap(TRUTH.astype(float))),
        ("boolean", TRUTH, pd.Series([None, *TRUTH[1:]], dtype=object)),
        ("boolean", TRUTH, np.where(TRUTH, "true", "false")),
        ("double", TRUTH.astype(int), TRUTH),
        ("string", CODES, pd.Categorical(CODES)),
        ("string", np.array(["7", "12"] * 500), np.array([7, 12] * 500)),
        ("string", np.array(["7", "12"] * 500), with_gap([7.0, 12.0] * 500)),
        ("double", NUMBERS, pd.Series([Decimal(str(v)) for v in NUMBERS], dtype=object)),
        ("double", NUMBERS, pd.Series([None, *NUMBERS[1:]], dtype=object)),
        ("double", NUMBERS, NUMBERS.astype(str)),
        ("double", pd.Categorical(WHOLE), WHOLE),
        ("double", pd.Categorical(WHOLE), pd.Series(WHOLE, dtype="Int64")),
        (
            "string",
            pd.Categorical(WHOLE),
            WHOLE.astype(str),
        ),  # of a version that kept the kind by its storage
        ("double", np.full(1000, 0.1), np.full(1000, np.float32(0.1), dtype=np.float64)),
        ("double", np.full(1000, 0.3), np.full(1000, 0.1 + 0.2)),
        ("double", np.full(1000, 7), np.full(50, 7.0)),
    ],
)
def test_the_same_rows_stored_otherwise_have_not_drifted(kind: Kind, before: Any, now: Any) -> None:
    found = one(before, now, kind)
    assert (found.status, found.note, found.reasons) == ("ok", "", ())
    assert found.psi == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.zeros(1000), np.where(np.arange(1000) < 100, RNG.normal(size=1000), 0.0)),
        (np.full(1000, 5.0), RNG.normal(5, 1, 1000)),
        (np.full(1000, 5), np.full(1000, 6)),
        (np.full(1000, 5), np.where(np.arange(300) < 60, 6, 5)),
        (np.full(1000, "a"), np.where(np.arange(300) < 60, "b", "a")),
        (np.full(1000, True), np.arange(300) > 60),
    ],
)
def test_what_was_constant_at_fit_and_is_not_any_more_has_drifted(before: Any, now: Any) -> None:
    assert one(before, now).status in ("drift", "warn")
    assert one(before, before[:100]).status == "ok"


def test_many_categories_that_moved_are_seen() -> None:
    before, now = (RNG.integers(10000, high, 6000).astype(str) for high in (12000, 11000))
    assert one(before, now).status == "drift"
    fresh = RNG.integers(11500, 13500, 6000).astype(str)
    assert any("unseen" in reason and "by chance" in reason for reason in one(before, fresh).reasons)
