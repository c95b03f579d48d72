"""A Grafana dashboard and Prometheus rules over the runtime's `/metrics`, as plain functions of nothing.

One dashboard serves all models: it chooses by the labels `model` and `version` that every metric carries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops_workbench.base.files import write_text
from mlops_workbench.plugins import Exported
from mlops_workbench.store.context import Context

DASHBOARD = "mlops-dashboard.json"
RULES = "mlops-rules.yml"
_OURS = '{model=~"$model",version=~"$version"}'
_ASKED = 'path!~"/health.*|/metrics|/ping"'
"""without what orchestrators and Prometheus ask all the time"""
_LATENCY = f'mlops_request_seconds_bucket{{model=~"$model",version=~"$version",{_ASKED}}}'


def _of_process(metric: str, chosen: str = "") -> str:
    """A metric of the process, which carries no model, with the model that is served at the same address."""
    served = f"max by(instance, job, model, version)(mlops_queue_rows{chosen} * 0 + 1)"
    return f"{metric} * on(instance, job) group_left(model, version) {served}"


_WIDTH, _HEIGHT = 12, 8


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    unit: str
    says: str
    series: tuple[tuple[str, str], ...]
    """(PromQL, legend)"""


_PANELS = (
    _Panel(
        "Requests by code",
        "reqps",
        "What callers asked, by what they were answered.",
        (
            (
                f"sum by(version, code)(rate(mlops_requests_total{_OURS}[$__rate_interval]))",
                "{{version}} · {{code}}",
            ),
        ),
    ),
    _Panel(
        "Latency",
        "s",
        "From a request's first byte to its answer's last, all prediction routes.",
        tuple(
            (
                f"histogram_quantile({q}, sum by(version, le)(rate({_LATENCY}[$__rate_interval])))",
                f"{{{{version}}}} · p{round(q * 100)}",
            )
            for q in (0.5, 0.95, 0.99)
        ),
    ),
    _Panel(
        "Rows answered",
        "rowsps",
        "Rows a second; those that the log did not take beside them.",
        (
            (f"sum by(version)(rate(mlops_predictions_total{_OURS}[$__rate_interval]))", "{{version}}"),
            (
                f"sum by(version)(rate(mlops_unlogged_predictions_total{_OURS}[$__rate_interval]))",
                "{{version}} · not logged",
            ),
        ),
    ),
    _Panel(
        "Rows of one model call",
        "short",
        "What waits is predicted in one call: this grows with load.",
        (
            (
                (
                    f"sum by(version)(rate(mlops_batch_rows_sum{_OURS}[$__rate_interval])) / "
                    f"sum by(version)(rate(mlops_batch_rows_count{_OURS}[$__rate_interval]))"
                ),
                "{{version}} · mean",
            ),
        ),
    ),
    _Panel(
        "Queue",
        "short",
        "Rows that wait for the model; beyond the limit callers get 503.",
        ((f"sum by(version, instance)(mlops_queue_rows{_OURS})", "{{version}} · {{instance}}"),),
    ),
    _Panel(
        "Log lag and commit time",
        "s",
        "Age of the oldest request not yet in the log, and how long a commit takes.",
        (
            (f"max by(version, instance)(mlops_log_lag_seconds{_OURS})", "{{version}} · lag"),
            (
                (
                    f"histogram_quantile(0.99, sum by(version, le)(rate(mlops_log_commit_seconds_bucket{_OURS}"
                    "[$__rate_interval])))"
                ),
                "{{version}} · commit p99",
            ),
        ),
    ),
    _Panel(
        "Memory",
        "bytes",
        "Resident memory of the serving process.",
        ((_of_process("process_resident_memory_bytes", _OURS), "{{version}} · {{instance}}"),),
    ),
    _Panel(
        "CPU",
        "percentunit",
        "Of one core.",
        (
            (
                _of_process("rate(process_cpu_seconds_total[$__rate_interval])", _OURS),
                "{{version}} · {{instance}}",
            ),
        ),
    ),
    _Panel(
        "Following",
        "short",
        "1 while a version that is wanted could not be loaded, and the one before goes on.",
        ((f"max by(model, version, instance)(mlops_follow_failed{_OURS})", "{{version}} · {{instance}}"),),
    ),
)


@dataclass(frozen=True, slots=True)
class _Alert:
    name: str
    expression: str
    lasting: str
    severity: str
    says: str


_ALERTS = (
    _Alert(
        "MlopsErrors",
        f'sum by(model, version)(rate(mlops_requests_total{{code=~"5..",{_ASKED}}}[5m])) / '
        f"sum by(model, version)(rate(mlops_requests_total{{{_ASKED}}}[5m])) > 0.01",
        "5m",
        "critical",
        "More than 1 % of the requests to {{ $labels.model }} {{ $labels.version }} fail.",
    ),
    _Alert(
        "MlopsSlow",
        "histogram_quantile(0.99, sum by(model, version, le)("
        f"rate(mlops_request_seconds_bucket{{{_ASKED}}}[5m]))) > 1",
        "10m",
        "warning",
        "The slowest 1 % of the requests to {{ $labels.model }} {{ $labels.version }} take over a second.",
    ),
    _Alert(
        "MlopsUnlogged",
        "increase(mlops_unlogged_predictions_total[5m]) > 0",
        "0m",
        "critical",
        "{{ $labels.model }} {{ $labels.version }} answers rows that its log does not take.",
    ),
    _Alert(
        "MlopsLogLag",
        "mlops_log_lag_seconds > 10",
        "1m",
        "warning",
        "A request to {{ $labels.model }} {{ $labels.version }} has waited for its commit for over 10 s.",
    ),
    _Alert(
        "MlopsQueue",
        "mlops_queue_rows > 10000",
        "2m",
        "warning",
        "Over 10,000 rows wait for {{ $labels.model }} {{ $labels.version }}: start more replicas.",
    ),
    _Alert(
        "MlopsMemory",
        _of_process("process_resident_memory_bytes") + " > 1.8e9",
        "10m",
        "warning",
        "A process that serves {{ $labels.model }} at {{ $labels.instance }} holds over 1.8 GB.",
    ),
    _Alert(
        "MlopsFollowFailed",
        "mlops_follow_failed > 0",
        "1m",
        "critical",
        "{{ $labels.instance }} could not load the version of {{ $labels.model }} that is wanted, and goes on with "
        "{{ $labels.version }}.",
    ),
)


class Grafana:
    """`export grafana`."""

    def export(self, _context: Context, folder: Path) -> Exported:
        """Write both files, whole or not at all. Raises `UsageError` where nothing can be written."""
        made = {
            DASHBOARD: json.dumps(dashboard(), indent=1) + "\n",
            RULES: yaml.safe_dump(rules(), sort_keys=False, allow_unicode=True, width=110),
        }
        folder = folder.absolute()
        written = tuple(write_text(folder / name, text) for name, text in made.items())
        return Exported(
            folder, written, ("Grafana: Dashboards → Import", "Prometheus: name it in rule_files")
        )


def dashboard() -> dict[str, Any]:
    """The JSON model of a dashboard that Grafana 10 or later imports."""
    return {
        "uid": "mlops-serving",
        "title": "Served models",
        "tags": ["mlops"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), _label("model", "mlops_requests_total"), _version()]},
        "panels": [_panel(panel, place) for place, panel in enumerate(_PANELS)],
    }


def rules() -> dict[str, Any]:
    """A Prometheus rule file."""
    alerting = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.says},
        }
        for alert in _ALERTS
    ]
    return {"groups": [{"name": "mlops", "rules": alerting}]}


def _panel(panel: _Panel, place: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "gridPos": {
            "x": place % 2 * _WIDTH,
            "y": place // 2 * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": source, "expr": expression, "legendFormat": legend}
            for n, (expression, legend) in enumerate(panel.series)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _version() -> dict[str, Any]:
    return _label("version", 'mlops_requests_total{model=~"$model"}')


def _label(name: str, series: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": f"label_values({series}, {name})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
