"""The exported dashboard and rules: every figure that they name is one that the runtime shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlops_workbench.base.errors import UsageError
from mlops_workbench.exports import grafana
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.workbench import Workbench

_NAME = re.compile(r"\b(?:mlops|process)_[a-z_]+")


def shown() -> tuple[set[str], set[str]]:
    """Names of samples and of labels in a real exposition."""
    metrics = Metrics(model="m", version="1")
    metrics.watch(waiting_rows=lambda: 3, lag=lambda: 0.5)
    metrics.answered("/predict", 200, 0.1)
    metrics.batch_rows.observe(3)
    families = [*text_string_to_metric_families(metrics.exposition().decode())]
    samples = [sample for family in families for sample in family.samples]
    return {s.name for s in samples}, {label for s in samples for label in s.labels}


def named(expression: str) -> set[str]:
    return set(_NAME.findall(expression))


def balanced(expression: str) -> bool:
    plain = re.sub(r'"[^"]*"', "", expression)
    return all(plain.count(a) == plain.count(b) for a, b in ("()", "[]", "{}"))


def test_every_figure_is_one_that_the_runtime_shows(workbench: Workbench) -> None:
    made = workbench.export("grafana")
    assert made.folder == workbench.project.root / "grafana"
    dashboard = json.loads((made.folder / grafana.DASHBOARD).read_text())
    rules = yaml.safe_load((made.folder / grafana.RULES).read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    samples, labels = shown()
    assert set().union(*map(named, asked)) <= samples
    told = {
        "mlops_request_seconds_bucket",
        "mlops_requests_total",
        "mlops_batch_rows_sum",
        "mlops_queue_rows",
        "mlops_log_lag_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    }
    assert told <= set().union(*map(named, asked))
    for expression in asked:
        assert balanced(expression), expression
        chosen = set(re.findall(r"(\w+)=?[!=]~?\"", expression))
        assert chosen <= labels, expression


def test_panels_are_laid_out_without_overlap() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in grafana.dashboard()["panels"]]
    assert len(set(places)) == len(places)
    assert {x for x, *_ in places} == {0, 12}
    names = [v["name"] for v in grafana.dashboard()["templating"]["list"]]
    assert names == ["datasource", "model", "version"]


def test_rules_are_what_prometheus_reads() -> None:
    (group,) = grafana.rules()["groups"]
    assert [rule["alert"] for rule in group["rules"]] == sorted(
        {r["alert"] for r in group["rules"]}, key=_order
    )
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[ms]", rule["for"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def _order(name: str) -> Any:
    return [alert.name for alert in grafana._ALERTS].index(name)


def test_where_nothing_can_be_written(workbench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        workbench.export("grafana", out=str(tmp_path / "file"))
    assert workbench.export("grafana", out=str(tmp_path / "there")).files[0].is_file()
