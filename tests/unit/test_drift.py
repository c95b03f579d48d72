"""The comparison of two frames: what it finds, how it ranks, and what bad columns do to it (nothing)."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError
from mlops_workbench.monitor.drift import DriftReport, Thresholds, compare
from mlops_workbench.monitor.drift_html import STATUS
from mlops_workbench.monitor.performance import Performance, classification, regression

N = 4000


def frame(seed: int = 0, shift: float = 0.0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "steady": rng.normal(0, 1, n),
            "moved": rng.normal(shift, 1, n),
            "carrier": rng.choice(["UA", "AA", "DL"], n),
        }
    )


def test_finds_what_moved_and_ranks_it_first() -> None:
    report = replace(compare(frame(), frame(1, shift=1.0)), model="flights", version="3", period="July")
    assert report.drifted == ("moved",)
    assert report.features[0].name == "moved"
    assert report.feature("steady").status == "ok"
    assert report.feature("carrier").status == "ok"
    assert report.status == "drift"
    assert report.share_drifted == pytest.approx(1 / 3)
    assert "PSI" in report.feature("moved").reasons[0]
    assert "≥ 0.2" in report.feature("moved").reasons[0]
    assert report.title == "Drift of flights v3, July"
    mean = dict(report.feature("moved").current)["mean"]
    assert mean == pytest.approx(1.0, abs=0.1)


def test_p_values_of_large_samples_decide_nothing() -> None:
    report = compare(frame(n=200_000), frame(1, shift=0.03, n=200_000))
    moved = report.feature("moved")
    assert moved.ks_p is not None
    assert moved.ks_p < 1e-6
    assert moved.status == "ok"


def test_few_rows_of_the_same_distribution_are_not_called_drift() -> None:
    drifted = [name for seed in range(30) for name in compare(frame(n=500), frame(seed + 1, n=25)).drifted]
    assert len(drifted) <= 6  # of 90; without the chance level it is more than half
    assert compare(frame(n=500), frame(1, shift=3.0, n=25)).drifted == ("moved",)


def test_what_chance_explains_says_so_and_is_not_coloured_as_drift() -> None:
    rng = np.random.default_rng(0)
    few = [pd.DataFrame({"height": rng.normal(170, 9, rows)}) for rows in (40, 25)]
    report = compare(*few)
    height = report.feature("height")
    assert height.psi is not None
    assert height.psi > report.thresholds.psi_drift
    assert height.status == "ok"
    assert height.note.startswith(f"Within chance for so few rows: PSI {height.psi:.3g} (up to ")
    assert height.note in report.text()
    page = report._repr_html_()
    assert height.note in page
    assert STATUS["drift"] not in page
    many = compare(
        pd.DataFrame({"height": rng.normal(170, 9, 9000)}), pd.DataFrame({"height": [170.0] * 9000})
    )
    assert "chance" not in many.feature("height").note


def test_an_outlier_cannot_hide_a_shift() -> None:
    reference, current = frame(), frame(1, shift=1.0)
    current.loc[0, "moved"] = 1e12  # all of the rest falls into one bin of equal width
    found = compare(reference, current).feature("moved")
    assert found.psi == pytest.approx(0, abs=0.01)
    assert found.status == "drift"
    assert found.reasons[0].startswith("KS")
    assert found.overlay is not None
    assert max(found.overlay.reference) < 0.5  # and the picture still shows the bulk


def test_importance_weights_the_ranking() -> None:
    reference, current = frame(), frame(1, shift=1.0)
    current["steady"] += 2.0
    assert compare(reference, current).drifted == ("steady", "moved")
    report = compare(reference, current, importance={"steady": 0.001, "moved": 0.5})
    assert report.drifted == ("moved", "steady")
    assert report.feature("steady").weight == pytest.approx(0.002)
    assert report.feature("carrier").weight == 0


def test_unseen_categories_are_named_with_their_share() -> None:
    current = frame(1)
    current.loc[:399, "carrier"] = "ZZ"
    found = compare(frame(), current).feature("carrier")
    assert found.unseen == ("ZZ",)
    assert found.unseen_share == pytest.approx(0.1)
    assert found.status == "drift"
    assert "unseen categories 0.1 ≥ 0.05" in found.reasons


def test_missing_values_are_a_drift_of_their_own() -> None:
    current = frame(1)
    current.loc[: N // 2, "steady"] = np.nan
    current.loc[: N // 10, "carrier"] = None
    report = compare(frame(), current)
    assert report.feature("steady").missing_current == pytest.approx(0.5, abs=0.01)
    assert report.feature("steady").status == "drift"
    assert report.feature("carrier").status == "warn"
    assert report.feature("carrier").psi == pytest.approx(0, abs=0.01)


def test_thresholds_can_be_set_and_are_checked() -> None:
    current = frame(1, shift=0.3)
    assert compare(frame(), current).feature("moved").status != "drift"
    strict = Thresholds(psi_warn=0.01, psi_drift=0.02)
    assert compare(frame(), current, thresholds=strict).feature("moved").status == "drift"
    with pytest.raises(UsageError, match="psi"):
        Thresholds(psi_warn=0.5)


class Quarrelsome:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("cannot be compared with anything")


class Opaque:
    __hash__ = None  # type: ignore[assignment]


BROKEN: dict[str, tuple[Any, Any, str]] = {
    "all missing": (np.full(N, np.nan), np.full(N, np.nan), "All its values are missing."),
    "none now": (np.arange(N) * 1.0, np.full(N, np.nan), "Current: All its values are missing."),
    "no text now": (["a"] * N, [None] * N, "Current: All its values are missing."),
    "only infinities": (np.full(N, np.inf), np.full(N, np.inf), "no finite number"),
    "some infinities": (np.r_[np.inf, np.zeros(N - 1)], np.r_[-np.inf, np.ones(N - 1)], "2 infinite values"),
    "text for numbers": (np.arange(N), [str(i) for i in range(N)], "compared as text"),
    "mixed": (["a", 1] * (N // 2), ["a", 2.5] * (N // 2), "mixes number and text"),
    "dates": (pd.date_range("2013-01-01", periods=N, freq="h"),) * 2 + ("are not compared: derive",),
    "date objects": ([dt.date(2013, 1, 1)] * N, [dt.date(2013, 2, 1)] * N, "are not compared: derive"),
    "lists": ([[1, 2]] * N, [[1]] * N, "values of type list"),
    "objects": ([Opaque()] * N, [Opaque()] * N, "values of type Opaque"),
    "quarrelsome": ([Quarrelsome() for _ in range(N)],) * 2 + ("Could not be compared: cannot be",),
    "complex": (np.full(N, 1j), np.full(N, 1j), "Complex numbers"),
    "too far apart": (np.r_[1e308, np.zeros(N - 1)], np.r_[-1e308, np.zeros(N - 1)], "too far apart"),
    "identifier": ([f"r{i}" for i in range(N)], [f"s{i}" for i in range(N)], "look like an identifier"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_column_is_noted_and_hides_no_other(name: str) -> None:
    before, after, note = BROKEN[name]
    reference = frame().assign(broken=pd.Series(before))
    current = frame(1, shift=1.0).assign(broken=pd.Series(after))
    report = compare(reference, current)
    assert note in report.feature("broken").note
    assert report.feature("moved").status == "drift"
    assert report.feature("steady").status == "ok"
    json.dumps(report.to_dict(), allow_nan=False)
    assert "broken" in report.text()
    assert "broken" in report._repr_html_()


SOUND: dict[str, tuple[Any, Any, str]] = {
    "constant": (np.zeros(N), np.zeros(N), "number"),
    "constant, other": (np.zeros(N), np.ones(N), "number"),
    "boolean": (np.arange(N) % 2 == 0, np.arange(N) % 3 == 0, "category"),
    "nullable boolean": (pd.array([True, None] * (N // 2)), pd.array([True, False] * (N // 2)), "category"),
    "nullable integer": (
        pd.array([1, None] * (N // 2), "Int64"),
        pd.array([1, 2] * (N // 2), "Int64"),
        "number",
    ),
    "categorical": (pd.Categorical(["a", "b"] * (N // 2)), ["a", "b"] * (N // 2), "category"),
    "arrow text": (
        pd.array(["a", "b"] * (N // 2), "string[pyarrow]"),
        np.array(["a", "b"] * (N // 2), dtype=object),
        "category",
    ),
    "decimals": ([decimal.Decimal("1.5"), None] * (N // 2), [decimal.Decimal("2.5")] * N, "number"),
    "durations": (
        pd.to_timedelta(np.arange(N), unit="s"),
        pd.to_timedelta(np.arange(N) * 2, unit="s"),
        "number",
    ),
    "huge integers": (np.arange(N) + 2**62, np.arange(N) + 2**62, "number"),
    "tiny": (np.arange(N) * 5e-324, np.arange(N) * 5e-324, "number"),
}


@pytest.mark.parametrize("name", SOUND)
def test_all_common_types_are_compared(name: str) -> None:
    before, after, kind = SOUND[name]
    report = compare(pd.DataFrame({"x": before}), pd.DataFrame({"x": after}))
    found = report.feature("x")
    assert found.note == ""
    assert found.kind == kind
    assert found.psi is not None
    assert found.overlay is not None
    assert sum(found.overlay.reference) == pytest.approx(1.0)
    assert sum(found.overlay.current) == pytest.approx(1.0)
    assert len(found.overlay.reference) <= 31
    json.dumps(report.to_dict(), allow_nan=False)


def test_constant_that_changed_is_drift() -> None:
    assert compare(pd.DataFrame({"x": np.zeros(N)}), pd.DataFrame({"x": np.ones(N)})).drifted == ("x",)


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_polars_and_arrow_tables_give_the_same(convert: Any) -> None:
    reference, current = frame(), frame(1, shift=1.0)
    current.loc[:99, "carrier"] = None
    reference["flag"] = current["flag"] = reference["steady"] > 0
    expected = compare(reference, current)
    assert compare(convert(reference), convert(current)).to_dict() == expected.to_dict()


def test_missing_and_extra_columns_are_reported() -> None:
    current = frame(1).drop(columns="carrier").assign(new=1)
    report = compare(frame(), current)
    assert report.missing_columns == ("carrier",)
    assert report.extra_columns == ("new",)
    assert report.feature("carrier").status == "drift"
    assert "new" in report.text()


def test_a_doubled_column_name_is_noted() -> None:
    current = frame(1)
    current.columns = pd.Index(["steady", "steady", "carrier"])
    report = compare(frame(), current)
    assert "2 columns of this name" in report.feature("steady").note
    assert report.feature("carrier").status == "ok"


def test_any_column_name_works_and_is_escaped() -> None:
    names = {"steady": "Größe in m²", "moved": "<script>alert(1)</script>", "carrier": "航空 公司"}
    report = compare(frame().rename(columns=names), frame(1).rename(columns=names))
    assert {f.name for f in report.features} == set(names.values())
    assert "<script>" not in report._repr_html_()
    assert "航空 公司" in report.text()


def test_columns_limits_the_comparison() -> None:
    report = compare(frame(), frame(1), columns=["moved"])
    assert [f.name for f in report.features] == ["moved"]
    assert report.extra_columns == ()
    with pytest.raises(NotFound, match="'moved'"):
        compare(frame(), frame(1), columns=["move"])
    with pytest.raises(NotFound):
        report.feature("steady")


@pytest.mark.parametrize("bad", [frame(n=0), pl.from_pandas(frame(n=0))], ids=["pandas", "polars"])
def test_no_rows_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidData, match="current data has no rows"):
        compare(frame(), bad)
    with pytest.raises(InvalidData, match="reference data has no rows"):
        compare(bad, frame())


@pytest.mark.parametrize("bad", [{"a": [1]}, [1, 2], None, pd.Series([1])])
def test_what_is_not_a_table_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidData, match="instead of a table"):
        compare(frame(), bad)


def test_a_report_of_fifty_features_is_small() -> None:
    def wide(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        numbers = {f"number_{i}": rng.normal(size=N) * 1e-7 for i in range(25)}
        words = [f"a rather long category name, number {i}" for i in range(60)]
        texts = {f"text_{i}": rng.choice(words, N) for i in range(25)}
        return pd.DataFrame(numbers | texts)

    report = compare(wide(0), wide(1))
    assert len(json.dumps(report.to_dict())) < 100_000
    assert len(report._repr_html_()) < 200_000


def test_frames_are_left_as_they_were() -> None:
    reference, current = frame(), frame(1)
    copies = reference.copy(), current.copy()
    compare(reference, current)
    pd.testing.assert_frame_equal(reference, copies[0])
    pd.testing.assert_frame_equal(current, copies[1])


def test_performance_is_shown_on_top() -> None:
    performance = Performance(1200, {"accuracy": 0.71, "roc_auc": 0.8}, {"accuracy": 0.79})
    report: DriftReport = replace(compare(frame(), frame(1)), performance=performance)
    text = report.text()
    assert text.index("0.71") < text.index("steady")
    assert "-0.08" in text
    assert report._repr_html_().index("0.71") < report._repr_html_().index("steady")
    assert report.to_dict()["performance"]["n"] == 1200


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_metrics_are_scikit_learns(classes: int, rows: int, seed: int) -> None:
    """With ties, with certainty (0 and 1), and with classes that occur in neither column."""
    from sklearn import metrics

    rng = np.random.default_rng(seed)
    truth, guess = rng.integers(0, classes, rows), rng.integers(0, classes, rows)
    found = classification(truth, guess, classes=range(classes))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    if classes > 2:
        assert found["f1"] == pytest.approx(metrics.f1_score(truth, guess, average="macro", zero_division=0))
    score = rng.integers(0, 11, rows) / 10
    truth, guess = truth.clip(0, 1), (score > 0.5).astype(int)
    found = classification(truth, guess, score, classes=(0, 1))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, guess, zero_division=0))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, score, labels=[0, 1]))
    assert found["positive_rate"] == pytest.approx(truth.mean())
    if 0 < truth.mean() < 1:
        assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, score))
    else:
        assert "roc_auc" not in found


def test_metrics_of_a_regression() -> None:
    values = np.random.default_rng(5).normal(size=100)
    found = regression(values, values + 1)
    assert found["mae"] == pytest.approx(1)
    assert found["rmse"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(r2_score(values, values + 1))
