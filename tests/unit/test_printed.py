"""What is printed becomes a metric only where it surely is one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.track.printed import Printed, PrintedReader, metrics_in
from mlops_workbench.track.returned_metrics import MOST_POINTS, named, returned, thinned


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("accuracy: 0.81", [("accuracy", 0.81, None)]),
        ("auc = 0.7", [("auc", 0.7, None)]),
        ("Test AUC: .75", [("test_auc", 0.75, None)]),
        ("R²: 0.5, RMSE: 1e-3", [("r2", 0.5, None), ("rmse", 0.001, None)]),
        ("accuracy: 81 %", [("accuracy", 0.81, None)]),
        ("f1: 0.6 ± 0.02", [("f1", 0.6, None)]),
        ("loss=0.4 | val_loss=-0.5", [("loss", 0.4, None), ("val_loss", -0.5, None)]),
        ("epoch 3 - 2s - loss: 0.41 - accuracy: 0.8", [("loss", 0.41, 3), ("accuracy", 0.8, 3)]),
        ("Epoch 3/10, lr=0.001, loss=0.4", [("loss", 0.4, 3)]),
        ("[12]\tvalidation_0-logloss:0.52", [("validation_0-logloss", 0.52, 12)]),
        ("[10] valid_0's auc: 0.83", [("valid_0s_auc", 0.83, 10)]),
        ("step=5 train loss 0.3", []),
        ("rows: 800", []),
        ("accuracy", []),
        ("accuracy: high", []),
        ("accuracy: nan", []),
        ("the accuracy: 0.81 is fine", []),
        ("accuracy: 0.81 on 400 rows", []),
        ("12:30 loss: 0.4", []),
        ("error: 404 not found", []),
        ("loss: 1.2.3", []),
        ("auc: 0x10", []),
    ],
)
def test_lines(line: str, wanted: list[tuple[str, float, int | None]]) -> None:
    assert metrics_in(line) == [Printed(*one) for one in wanted]


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**9), st.sampled_from([":", " =", "="])
)
def test_every_number_is_read_as_python_reads_it(value: float, step: int, sign: str) -> None:
    assert metrics_in(f"val_loss{sign} {value!r}") == [Printed("val_loss", value, None)]
    assert metrics_in(f"epoch {step}: loss{sign}{value!r}") == [Printed("loss", value, step)]


@given(st.text(max_size=200))
def test_any_text_is_survived_and_only_finite_figures_come_out(text: str) -> None:
    for one in metrics_in(text):
        assert math.isfinite(one.value)
        assert one.name


@given(st.lists(st.integers(1, 9), max_size=20))
def test_pieces_make_the_same_as_the_whole(cuts: list[int]) -> None:
    text = "epoch 1 loss=0.5\nepoch 2 loss=0.25\raccuracy: 0.8\nno figure\nauc: 0.7"
    reader = PrintedReader()
    for size in cuts:
        reader.feed(text[:size])
        text = text[size:]
    reader.feed(text)
    reader.close()
    assert reader.found == {("loss", 1): 0.5, ("loss", 2): 0.25, ("accuracy", None): 0.8, ("auc", None): 0.7}


def test_a_run_records_a_hundred_names_at_most() -> None:
    reader = PrintedReader()
    reader.feed("".join(f"loss_{i}: {i}\n" for i in range(500)))
    assert len(reader.found) == 100


@pytest.mark.parametrize(
    ("source", "value", "wanted"),
    [
        ("{'auc': 0.7, 'rows': 3}", {"auc": 0.7, "rows": 3}, {"auc": 0.7, "rows": 3.0}),
        ("auc", 0.7, {"auc": 0.7}),
        ("model.score(x, y)", 0.9, {"score": 0.9}),
        ("roc_auc_score(y, p)", 0.6, {"roc_auc_score": 0.6}),
        ("round(r2_score(y, p), 3)", 0.6, {"r2_score": 0.6}),
        ("n", 800, {}),
        ("1 + 1", 2, {}),
        ("passed_score", True, {}),
        ("{'auc': 0.7, 'who': 'me'}", {"auc": 0.7, "who": "me"}, {}),
        ("{}", {}, {}),
        ("auc", float("nan"), {}),
    ],
)
def test_the_last_value(source: str, value: object, wanted: dict[str, float]) -> None:
    assert returned(value, f"x = 1\n{source}") == wanted


def test_named_variables() -> None:
    space = {"lift": 2, "by_month": {"jan": 0.5, "feb": 0.25}}
    assert named(["lift", "by_month"], space) == (
        {"lift": 2.0, "by_month.jan": 0.5, "by_month.feb": 0.25},
        "",
    )


@given(st.integers(0, 3000))
def test_a_long_curve_keeps_its_ends(length: int) -> None:
    points = [(i, float(i)) for i in range(length)]
    kept = thinned(points)
    assert len(kept) == min(length, MOST_POINTS)
    assert kept[:1] + kept[-1:] == points[:1] + points[-1:]
