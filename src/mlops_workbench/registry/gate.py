"""The gate: may this version become champion? Each check is a small function with its evidence (`checks/`).

Every answer that is judged comes from the serving runtime loading the registered files, not from the object
in the notebook: what is judged is what will serve.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import Conflict, GateFailed
from mlops_workbench.base.values import Html, Value, html_table, plain
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.registry.checks import champion as beside
from mlops_workbench.registry.checks import latency, metrics, regression, skew
from mlops_workbench.registry.checks.check import Around, Case, Check, Contestant, Judged, answer, unknown
from mlops_workbench.registry.gates import keep, latest, require_green
from mlops_workbench.registry.importance import importance
from mlops_workbench.track.metrics import deciding

if TYPE_CHECKING:
    import pandas as pd

ROWS = "held-out rows"


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
    at: str = ""
    id: int = 0

    @property
    def title(self) -> str:
        verdict = "passed" if self.passed else "NOT passed"
        return f"Gate {verdict}: version {self.version} of '{self.model}' on {self.rows:,} labelled rows."

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


def _mark(check: Check) -> str:
    return "–" if not check.applies else "?" if check.passed is None else "✓" if check.passed else "✗"


def _detail(check: Check) -> Html | None:
    """Detail, what to look at when it is red, and the evidence folded below; None when the text alone will do."""
    red = check.applies and not check.passed and check.next_step
    if not red and not check.evidence:
        return None
    said = html.escape(check.detail)
    if red:
        said += f"{'<br>' if said else ''}→ {html.escape(check.next_step)}"
    if check.evidence:
        said += (
            '<details style="margin:1px 0"><summary style="cursor:pointer;opacity:.7">evidence</summary>'
            f"{_evidence(check.evidence)}</details>"
        )
    return Html(said)


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


def judge(
    model: str,
    candidate: Contestant,
    champion: Contestant | None,
    frame: pd.DataFrame | None,
    policy: GatePolicy,
    around: Around | None = None,
) -> GateReport:
    """All checks of the policy. Raises `InvalidData` when rows are given that do not fit the candidate,
    `Conflict` when it is called a first version beside a champion, `UsageError` for a metric that does not fit."""
    around = around or Around()
    if around.first_by and champion is not None:
        raise Conflict(
            f"Version {candidate.version} of '{model}' is no first version: version {champion.version} is "
            "champion.",
            "Run the gate without the choice first: it compares the two.",
        )
    manifest = candidate.manifest
    chances = bool(manifest.expected_probabilities)
    name = deciding(policy.metric, manifest.task, manifest.classes, chances=chances)
    checks = [skew.runtime(candidate)]
    case = None
    weights: dict[str, float] = {}
    if manifest.task == "other":
        said = "what it answers is neither a label nor a number of a label column, so nothing can be measured"
        checks.append(
            unknown(ROWS, said, "some", "Look at its answers, and promote it by choice, with force.")
        )
    elif frame is None or manifest.target is None:
        lacking = "labelled rows; give some" if frame is None else "label column, so nothing can be measured"
        step = "Give labelled rows." if frame is None else "Register it with its label column."
        checks.append(unknown(ROWS, f"the version has no {lacking}", "some", step))
    else:
        case = Case(
            candidate=candidate,
            champion=champion,
            frame=frame,
            metric=name,
            mine=answer(candidate, frame),
            theirs=beside.answers_of(champion, frame) if champion else None,
            policy=policy,
            around=around,
        )
        weights = importance(candidate, frame, name)
        checks += _on_rows(case)
    checks += regression.cases(candidate, policy.regression, around.root)
    checks += [skew.image(candidate, around), *latency.latency(policy.latency, around)]  # the slow ones last
    return GateReport(
        model=model,
        version=candidate.version,
        champion=champion.version if champion else None,
        passed=all(c.passed for c in checks if c.applies),
        rows=len(case.mine.truth) if case else 0,
        metric=name,
        metrics=case.mine.metrics if case else {},
        champion_metrics=case.theirs.metrics if case and isinstance(case.theirs, Judged) else {},
        checks=tuple(checks),
        importance=weights,
        policy=policy.to_dict(),
        policy_digest=policy.digest,
        rows_from=around.rows_from if case else "",
        first_by=around.first_by,
    )


def _on_rows(case: Case) -> list[Check]:
    """Fairlearn is imported only by a policy that asks for it."""
    from mlops_workbench.registry.checks import fairness, slices

    return [
        metrics.constant(case),
        *metrics.thresholds(case),
        beside.against(case),
        *slices.slices(case),
        *fairness.fairness(case),
    ]


def require_passed(report: GateReport) -> None:
    """Raises `GateFailed` naming the check, its figure and limit, and the data to look at."""
    if report.passed:
        return
    first = report.failures[0]
    found = f"{first.figure}, limit {first.limit}" if first.passed is False else first.detail or "no evidence"
    more = f" ({len(report.failures) - 1} more)" if len(report.failures) > 1 else ""
    raise GateFailed(
        f"Version {report.version} of '{report.model}' did not pass the gate: {first.name}: {found}{more}.",
        first.next_step or "Train a better version, or change [gate] in mlops.toml.",
        report,
    )


__all__ = [
    "Around",
    "Check",
    "Contestant",
    "GateReport",
    "judge",
    "keep",
    "latest",
    "require_green",
    "require_passed",
]
