"""The widget of a list of runs: what it is sent, and what shows where no widget can."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from mlops_workbench.track.records import Run
from mlops_workbench.track.runlist import RunList
from mlops_workbench.widgets.runs import RunsWidget

STATIC = Path(__file__).parents[2] / "src/mlops_workbench/widgets/static"


def runs(count: int) -> RunList:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    made = [
        Run(f"{n:032}", f"<run {n}>", "finished", at, 1.5, {"auc": n / count}, {"C": str(n)}, {})
        for n in range(count)
    ]
    return RunList((*made, Run("x", "bare", "failed", at, None, {}, {}, {})), "auc", ("C", "auc"))


def test_what_is_sent_and_shown() -> None:
    widget = RunsWidget(runs(50))
    heads = widget.data["heads"]
    assert heads == ["run", "status", "started", "seconds", "auc", "C"]
    assert widget.data["numbers"] == [False, False, False, True, True, True]
    assert widget.data["rows"][-1][4] == {"text": "–", "value": None}
    assert widget.data["rows"][1][5]["value"] == 1
    bundle, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "&lt;run 3&gt;" in bundle["text/html"]
    assert "<run" not in bundle["text/html"]
    assert bundle["text/html"].count("<circle") == 50
    assert "bare" in bundle["text/plain"]
    assert len(json.dumps(widget.data)) + len(json.dumps(bundle)) < 200_000


def test_it_is_offline() -> None:
    for name in ("runs.js", "runs.css"):
        text = (STATIC / name).read_text()
        assert len(text) < 8_000
        assert not re.search(r"https?://|@import|\bimport\b|fetch\(|innerHTML", text)
