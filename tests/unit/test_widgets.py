"""The drift widget: what the browser writes, what it is sent, and what shows where no widget can."""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.base.errors import NotFound, UsageError
from mlops_workbench.monitor.drift import DriftReport, compare
from mlops_workbench.widgets.drift import DriftWidget

STATIC = Path(__file__).parents[2] / "src/mlops_workbench/widgets/static"


def report(features: int = 3) -> DriftReport:
    def draw(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        return pd.DataFrame({f"feature {i}": rng.normal(0.15 * i * seed, 1, 3000) for i in range(features)})

    return replace(compare(draw(0), draw(1)), model="flights")


def test_starts_with_the_feature_that_drifted_most() -> None:
    widget = DriftWidget(report(8))
    assert widget.selected == "feature 7"
    assert widget.threshold == 0.2
    assert widget.data["features"][0]["name"] == "feature 7"
    assert widget.drifted == widget.report.drifted


def test_traits_take_what_the_browser_writes() -> None:
    widget = DriftWidget(report(8))
    widget.set_state({"selected": "feature 2", "threshold": 5.0})
    assert widget.selected == "feature 2"
    psi = max(f.psi or 0 for f in widget.report.features)
    assert widget.limits.psi_drift == 5.0
    assert widget.limits.psi_warn == 2.5
    assert psi < 5
    widget.threshold = 0.01
    assert set(widget.drifted) > set(widget.report.drifted)
    with pytest.raises(NotFound, match="'feature 99'"):
        widget.selected = "feature 99"
    with pytest.raises(UsageError):
        widget.threshold = 0.0


def test_state_and_fallback_are_small_and_offline() -> None:
    widget = DriftWidget(report(50))
    bundle, _ = widget._repr_mimebundle_()
    state = json.dumps(widget.get_state(), default=str)
    files = sum((STATIC / name).stat().st_size for name in ("drift.js", "drift.css"))
    assert len(json.dumps(widget.data)) < 100_000
    assert len(state) + len(json.dumps(bundle)) < 200_000
    assert files < 40_000
    for name in ("drift.js", "drift.css"):
        text = (STATIC / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|\bimport\b|fetch\(|innerHTML", text)


def test_bundle_has_a_static_picture_and_a_text() -> None:
    widget = DriftWidget(report())
    bundle, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<svg" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert "feature 2" in bundle["text/plain"]


def test_a_report_without_features_is_shown() -> None:
    widget = DriftWidget(compare(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), columns=[]))
    assert widget.selected == ""
    assert widget.drifted == ()


def test_threads_may_write_at_once() -> None:
    widget = DriftWidget(report(8))
    wrong: list[BaseException] = []

    def write(place: int) -> None:
        try:
            for i in range(100):
                widget.set_state({"selected": f"feature {(place + i) % 8}", "threshold": 0.1 + i / 100})
                assert len(widget.drifted) <= 8
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as can be
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    assert widget.selected.startswith("feature ")
