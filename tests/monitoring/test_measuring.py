"""Metrics of many groups at once are scikit-learn's of each group, and their intervals are honest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from mlops_workbench.monitor import resampling, scoring
from mlops_workbench.monitor.changes import change
from mlops_workbench.monitor.measuring import Outcomes, measure
from mlops_workbench.monitor.resampling import Blocks, wilson
from mlops_workbench.monitor.segments import segments

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 12)), min_size=1, max_size=60
)


@settings(max_examples=60)
@given(ROWS)
def test_binary_metrics_are_scikit_learns(rows: list[tuple[int, bool, bool, int]]) -> None:
    codes, truth, guess, twelfths = (np.array(column) for column in zip(*rows, strict=True))
    score = twelfths / 12
    found = measure(Outcomes("binary", truth, guess, score, 2), codes, 5)
    for group in range(5):
        mine = codes == group
        if not mine.any():
            assert all(np.isnan(one.value[group]) for one in found.values())
            continue
        y, g, s = truth[mine], guess[mine], score[mine]
        expected = {
            "accuracy": metrics.accuracy_score(y, g),
            "f1": metrics.f1_score(y, g, zero_division=0.0),
            "precision": metrics.precision_score(y, g, zero_division=0.0),
            "recall": metrics.recall_score(y, g, zero_division=0.0),
            "brier": metrics.brier_score_loss(y, s, pos_label=True),
            "log_loss": metrics.log_loss(y, np.column_stack([1 - s, s]), labels=[False, True]),
            "ece": _ece(y, s),
        }
        if y.any() and not y.all():
            expected |= {
                "roc_auc": metrics.roc_auc_score(y, s),
                "pr_auc": metrics.average_precision_score(y, s),
            }
        for name, value in expected.items():
            assert found[name].value[group] == pytest.approx(value, abs=1e-9), name
        for name, one in found.items():
            if not np.isnan(one.low[group]):
                assert one.low[group] <= one.value[group] + 1e-6, name
                assert one.high[group] >= one.value[group] - 1e-6, name
        assert name not in expected or not np.isnan(found["accuracy"].value[group])
        if not (y.any() and not y.all()):
            assert np.isnan(found["roc_auc"].value[group])
            assert np.isnan(found["pr_auc"].value[group])


def _ece(y: Any, s: Any) -> float:
    place = np.minimum((s * 10).astype(int), 9)
    return float(
        sum(abs(s[place == b].mean() - y[place == b].mean()) * np.mean(place == b) for b in np.unique(place))
    )


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=40
    ),
    st.sampled_from([0.0, 1e6]),
)
def test_regression_metrics_are_scikit_learns(rows: list[tuple[int, int, int]], far: float) -> None:
    codes, label, guess = (np.array(column) for column in zip(*rows, strict=True))
    label, guess = label / 7 + far, guess / 7 + far
    found = measure(Outcomes("regression", label, guess, None), codes, 2)
    for group in np.unique(codes):
        y, p = label[codes == group], guess[codes == group]
        assert found["rmse"].value[group] == pytest.approx(metrics.root_mean_squared_error(y, p), abs=1e-6)
        assert found["mae"].value[group] == pytest.approx(metrics.mean_absolute_error(y, p), abs=1e-6)
        assert found["bias"].value[group] == pytest.approx(np.mean(p - y), abs=1e-6)
        if len(np.unique(y)) > 1:
            assert found["r2"].value[group] == pytest.approx(metrics.r2_score(y, p), rel=1e-6, abs=1e-6)
        else:
            assert np.isnan(found["r2"].value[group])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_metrics_of_several_classes_are_scikit_learns(rows: list[tuple[int, int, int]]) -> None:
    codes, truth, guess = (np.array(column) for column in zip(*rows, strict=True))
    found = measure(Outcomes("classes", truth, guess, None, 4), codes, 2)
    for group in np.unique(codes):
        y, g = truth[codes == group], guess[codes == group]
        for name in ("f1", "precision", "recall"):
            expected = getattr(metrics, f"{name}_score")(y, g, average="macro", zero_division=0.0)
            assert found[name].value[group] == pytest.approx(expected), name


def test_many_groups_are_measured_in_parts() -> None:
    rng = np.random.default_rng(0)
    truth, score, codes = rng.random(4000) < 0.4, rng.random(4000), rng.integers(0, 300, 4000)
    codes[rng.random(4000) < 0.1] = -1
    found = measure(Outcomes("binary", truth, score > 0.5, score, 2), codes, 300)
    for group in (0, 127, 128, 299):
        mine = codes == group
        assert found["roc_auc"].value[group] == pytest.approx(metrics.roc_auc_score(truth[mine], score[mine]))
        assert found["accuracy"].value[group] == pytest.approx(np.mean(truth[mine] == (score[mine] > 0.5)))


def test_the_calibration_error_has_ten_bins() -> None:
    rng = np.random.default_rng(5)
    truth, score = rng.random(900) < 0.4, rng.random(900)
    found = scoring.calibration_error(truth, score, np.zeros(900, dtype=int), 1)
    assert found[0] == pytest.approx(_ece(truth, score))


def test_scores_that_are_missing_are_left_out_of_what_needs_them() -> None:
    truth = np.array([True, False, True, False])
    score = np.array([0.9, 0.2, np.nan, np.nan])
    found = measure(Outcomes("binary", truth, truth, score, 2), np.zeros(4, dtype=int), 1)
    assert found["accuracy"].value[0] == 1.0
    assert found["brier"].value[0] == pytest.approx((0.01 + 0.04) / 2)
    assert found["roc_auc"].value[0] == 1.0
    none = measure(Outcomes("binary", truth, truth, np.full(4, np.nan), 2), np.zeros(4, dtype=int), 1)
    assert "brier" not in none
    assert "roc_auc" not in none


def test_wilsons_interval() -> None:
    """Of 8 in 10: Newcombe, Statistics in Medicine 17 (1998); at the ends exactly 0 and 1."""
    low, high = wilson(np.array([8.0, 0.0, 10.0, 0.0]), np.array([10.0, 10.0, 10.0, 0.0]))
    assert low[:3] == pytest.approx([0.4902, 0.0, 0.7225], abs=1e-4)
    assert high[:3] == pytest.approx([0.9433, 0.2775, 1.0], abs=1e-4)
    assert low[1] == 0.0
    assert high[2] == 1.0
    assert np.isnan([low[3], high[3]]).all()


@pytest.mark.parametrize(
    ("rows", "name"), [(60, "f1"), (60, "roc_auc"), (400, "pr_auc"), (400, "log_loss"), (400, "roc_auc")]
)
def test_intervals_hold_the_true_value_about_as_often_as_they_say(rows: int, name: str) -> None:
    """Of 200 samples at once, each a group; the true value is that of a sample of 400,000."""
    rng = np.random.default_rng(7)

    def drawn(count: int) -> Outcomes:
        score = rng.beta(2, 2, count)
        return Outcomes("binary", rng.random(count) < score, score > 0.5, score, 2)

    true = measure(drawn(400_000), np.zeros(400_000, dtype=int), 1)[name].value[0]
    found = measure(drawn(200 * rows), np.repeat(np.arange(200), rows), 200)[name]
    held = np.mean((found.low <= true) & (true <= found.high))
    assert 0.87 <= held <= 0.99  # 95 %, less what few rows and 200 samples cost


def test_blocks_of_many_rows_spread_as_single_rows_do() -> None:
    """The standard deviation of a mean is that of the losses over the root of their number."""
    losses = np.random.default_rng(3).exponential(2.0, 50_000)
    blocks = Blocks.made(np.zeros(50_000, dtype=int), 1)
    drawn = blocks.resampled([losses, None])[:, 0, 0, :].astype(float)
    spread = np.std(drawn[:, 0] / drawn[:, 1])
    assert spread == pytest.approx(losses.std() / np.sqrt(50_000), rel=0.3)
    assert blocks.counts.tolist() == [resampling.BLOCKS]
    small = Blocks.made(np.array([0, 0, 0]), 1)
    assert sorted(small.block.tolist()) == [0, 1, 2]


def test_equal_scores_share_their_rank() -> None:
    truth = np.array([True, False, True, False])
    ranked = scoring.Ranked.made(truth, np.full(4, 0.5), np.zeros(4, dtype=int), 1)
    auc, precision = ranked.curves()
    assert (auc[0], precision[0]) == (0.5, 0.5)


# changes of the loss


def test_no_change_is_an_alarm_in_one_of_a_hundred_streams_at_most() -> None:
    """300 streams of errors, rare ones and heavy ones among them; at 1 % more than 9 have a probability below 0.1 %."""
    rng = np.random.default_rng(11)
    alarms = 0
    for number in range(300):
        size = (60, 300, 900)[number % 3]
        losses = (rng.random(size) < 0.05).astype(float) if number % 2 else rng.standard_t(3, size) ** 2
        alarms += change(np.arange(size, dtype=float), losses) is not None
    assert alarms <= 9


@settings(max_examples=20)
@given(st.integers(0, 999), st.floats(0.2, 0.8), st.sampled_from([0.25, -0.25]), st.sampled_from([800, 9000]))
def test_a_step_is_found_where_it_is(seed: int, where: float, step: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    start, at = 0.4, np.arange(size) * 60.0
    first = int(where * size)
    rate = np.where(np.arange(size) < first, start, start + step)
    order = rng.permutation(size)  # rows come in no order
    found = change(at[order], (rng.random(size) < rate).astype(float)[order])
    assert found is not None
    assert abs(found.at / 60 - first) < 0.12 * size
    assert found.size == pytest.approx(step, abs=0.12)
    assert found.p <= 0.01


def test_too_few_losses_or_equal_ones_have_no_change() -> None:
    assert change(np.arange(49.0), np.arange(49.0)) is None
    assert change(np.arange(500.0), np.zeros(500)) is None
    gaps = np.where(np.arange(500) % 2, np.nan, (np.arange(500) > 250).astype(float))
    found = change(np.arange(500.0), gaps)
    assert found is not None
    assert (found.rows, found.before, found.after, found.at) == (250, 0.0, 1.0, 252.0)


# segments


def test_the_ten_most_frequent_values_are_segments_and_the_rest_is_other() -> None:
    values = np.array([*(f"v{i:02}" for i in range(13) for _ in range(20 - i)), None, None], dtype=object)
    found = segments("c", values, "string")
    assert found.names == (*(f"v{i:02}" for i in range(10)), "other", "(missing)")
    assert np.bincount(found.codes).tolist() == [*range(20, 10, -1), 10 + 9 + 8, 2]


def test_numbers_are_cut_into_quartiles() -> None:
    values = np.array([*range(100), np.nan], dtype=float)
    found = segments("n", values, "double")
    assert found.names == ("≤ 24.75", "24.75 to 49.5", "49.5 to 74.25", "> 74.25", "(missing)")
    assert np.bincount(found.codes).tolist() == [25, 25, 25, 25, 1]
    assert segments("b", np.array([1.0, 0.0, 1.0]), "boolean").names == ("True", "False")
    assert segments("n", np.array([2.0, 1.0, 2.0]), "double").names == ("2", "1")
    many = segments("n", np.array([0.0] * 90 + list(range(1, 20))), "double")
    assert (many.names, np.bincount(many.codes).tolist()) == (("≤ 0", "> 0"), [90, 19])
