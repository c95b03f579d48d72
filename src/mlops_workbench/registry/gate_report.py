"""The gate's verdict on a version, as a value that shows itself."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mlops_workbench.base.values import Html, Value, html_table, plain
from mlops_workbench.registry.checks.result import Check


@dataclass(frozen=True)
class GateReport(Value):
    """The verdict on a version with all its evidence. `rows`: how many labelled rows were judged."""

    model: str
    version: int
    champion: int | None
    passed: bool
    rows: int
    metric: str
    metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float]
    checks: tuple[Check, ...]
    importance: Mapping[str, float]
    policy: Mapping[str, Any]
    policy_digest: str = ""
    rows_from: str = ""
    """where the judged rows are"""
    first_by: str = ""
    """who chose that this is a first version"""
    importance_spread: Mapping[str, float] = field(default_factory=dict)
    importance_of: str = ""
    """what the importances are of: rows, shufflings"""
    positive: Any = None
    """of two classes the one that F1, precision, recall and rates are of"""
    at: str = ""
    id: int = 0

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> GateReport:
        """The inverse of `to_dict`, also for older reports, which lack some fields."""
        checks = tuple(Check(**_known(Check, one)) for one in raw["checks"])
        return cls(**_known(cls, raw) | {"checks": checks})

    @property
    def title(self) -> str:
        verdict = "passed" if self.passed else "NOT passed"
        positive = "" if self.positive is None else f" (positive class '{self.positive}')"
        return f"Gate {verdict}: version {self.version} of '{self.model}' on {self.rows:,} labelled rows{positive}."

    @property
    def digest(self) -> str:
        body = {k: v for k, v in self.to_dict().items() if k != "id"}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.applies and not c.passed)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", "check", "figure", "limit", "detail"], [
            [_mark(c), c.name, c.figure, c.limit, c.detail] for c in self.checks
        ]

    def text(self) -> str:
        steps = "\n".join(f"→ {c.name}: {c.next_step}" for c in self.failures if c.next_step)
        return super().text() + (f"\n{steps}" if steps else "")

    def _repr_html_(self) -> str:
        heads, rows = self.table()
        colour = {"✓": "#2e8540", "✗": "#d1383d", "?": "#b07d00", "–": "inherit"}
        marked = [
            [
                Html(f'<b style="color:{colour[row[0]]}">{html.escape(row[0])}</b>'),
                *row[1:-1],
                _detail(check) or row[-1],
            ]
            for row, check in zip(rows, self.checks, strict=True)
        ]
        return html_table(heads, marked, title=self.title)


def _known(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    return {f.name: raw[f.name] for f in fields(kind) if f.name in raw}


def _mark(check: Check) -> str:
    return "–" if not check.applies else "?" if check.passed is None else "✓" if check.passed else "✗"


def _detail(check: Check) -> Html | None:
    """Detail, what to look at when it is red, and the evidence folded below; None when the text alone will do."""
    red = check.applies and not check.passed and check.next_step
    if not red and not check.evidence:
        return None
    text = html.escape(check.detail)
    if red:
        text += f"{'<br>' if text else ''}→ {html.escape(check.next_step)}"
    if check.evidence:
        text += (
            '<details style="margin:1px 0"><summary style="cursor:pointer;opacity:.7">evidence</summary>'
            f"{_evidence(check.evidence)}</details>"
        )
    return Html(text)


def _evidence(evidence: Mapping[str, Any]) -> str:
    parts = []
    facts = [(k, v) for k, v in evidence.items() if not _is_table(v)]
    if facts:
        parts.append(html_table(("", ""), facts))
    for rows in (v for v in evidence.values() if _is_table(v)):
        heads = list(dict.fromkeys(head for row in rows for head in row))
        parts.append(html_table(heads, [[plain(row.get(head)) for head in heads] for row in rows]))
    return "".join(parts)


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)
