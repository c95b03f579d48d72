"""The check against the champion, on answers made by hand: which side of the interval counts, and pairing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops_workbench.manifest import Manifest
from mlops_workbench.project import GatePolicy
from mlops_workbench.registry.gate import Contestant, Judged, _against
from mlops_workbench.track import metrics

ROWS = 400
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, ROWS)


def contestant(version: int) -> Contestant:
    manifest = Manifest("m", "classification", (), "", "skops", (), "", "", (), target="y", classes=(0, 1))
    return Contestant(version, manifest, lambda _rows: pytest.fail("nothing is asked here"))


def judged(right: Any) -> Judged:
    labels = np.where(right, TRUTH, 1 - TRUTH)
    measured = metrics.evaluate(TRUTH, labels, None, (0, 1), "classification")
    return Judged(TRUTH, labels, None, measured)


def against(mine: Judged, theirs: Judged, tolerance: float) -> Any:
    policy = GatePolicy(metric="accuracy", tolerance=tolerance)
    return _against(contestant(2), contestant(1), mine, theirs, "accuracy", policy)


RIGHT = RNG.random(ROWS) < 0.8


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_the_same_answers_are_no_loss_at_all(tolerance: float) -> None:
    """Judged on the same resampled rows the interval is a point; on different ones it is 5 % wide."""
    check = against(judged(RIGHT), judged(RIGHT), tolerance)
    assert check.passed
    assert "+0.0000 … +0.0000" in check.detail


def test_the_whole_interval_must_lie_above_the_tolerance() -> None:
    other = np.where(RNG.random(ROWS) < 0.1, ~RIGHT, RIGHT)  # a loss of a few points, give or take as many
    mine, theirs = judged(other), judged(RIGHT)
    loss = theirs.metrics["accuracy"] - mine.metrics["accuracy"]
    assert loss > 0
    share = loss / theirs.metrics["accuracy"]
    assert not against(mine, theirs, 0.0).passed
    assert not against(mine, theirs, share * 1.05).passed  # the middle would do, the lower end does not
    assert against(mine, theirs, 3 * share).passed
    assert against(theirs, mine, 0.0).passed
