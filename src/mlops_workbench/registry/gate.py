"""The gate: may this version become champion? Each check is a small function with its evidence.

Every answer that is judged comes from the serving runtime loading the registered files, not from the object
in the notebook: what is judged is what will serve.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from mlops_workbench.data.rows import to_rows
from mlops_workbench.errors import GateFailed, MlopsError
from mlops_workbench.manifest import Manifest
from mlops_workbench.project import GatePolicy, user
from mlops_workbench.registry.versions import Served, difference
from mlops_workbench.store.database import Store, inserted_id
from mlops_workbench.store.tables import gates, now
from mlops_workbench.track.metrics import LOWER_IS_BETTER, better, deciding, evaluate, labels_of, metric
from mlops_workbench.values import Html, Value, html_table

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 200
IMPORTANCE_ROWS = 1000
IMPORTANCE_CELLS = 10_000_000
"""Values that all shuffles together ask of the runtime (rows × columns²): keeps wide models to seconds."""


@dataclass(frozen=True)
class Check:
    """One check. `passed` None: it could not be evaluated, which is not a pass (unless it does not apply)."""

    name: str
    passed: bool | None
    figure: str
    limit: str
    detail: str = ""
    applies: bool = True


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
    at: str = field(default_factory=now)
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

    def _repr_html_(self) -> str:
        heads, rows = self.table()
        colour = {"✓": "#2e8540", "✗": "#d1383d", "?": "#b07d00", "–": "inherit"}
        marked = [
            [Html(f'<b style="color:{colour[row[0]]}">{html.escape(row[0])}</b>'), *row[1:]] for row in rows
        ]
        return html_table(heads, marked, title=self.title)


def _mark(check: Check) -> str:
    return "–" if not check.applies else "?" if check.passed is None else "✓" if check.passed else "✗"


@dataclass(frozen=True)
class Contestant:
    """A version that can be asked: its manifest, and its registered files loaded by the serving runtime."""

    version: int
    manifest: Manifest
    served: Served


@dataclass(frozen=True)
class Judged:
    """A contestant's answers on the labelled rows."""

    truth: Any
    labels: Sequence[Any]
    probabilities: Any
    metrics: Mapping[str, float]


def judge(
    model: str,
    candidate: Contestant,
    champion: Contestant | None,
    frame: pd.DataFrame | None,
    policy: GatePolicy,
) -> GateReport:
    """All checks of the policy. Raises `InvalidData` when rows are given that do not fit the candidate."""
    manifest = candidate.manifest
    name = deciding(policy.metric, manifest.task, manifest.classes)
    checks = [_skew(candidate)]
    mine = theirs = None
    importance: dict[str, float] = {}
    if frame is None or manifest.target is None:
        lacking = "labelled rows; give some" if frame is None else "label column, so nothing can be measured"
        checks.append(Check("held-out rows", None, "none", "some", f"the version has no {lacking}"))
    else:
        mine = answer(candidate, frame)
        importance = _importance(candidate, frame, name)
        checks += [_constant(mine, manifest, name), *_thresholds(mine, policy)]
        if champion is not None:
            theirs = _champion_answers(champion, frame)
        checks.append(_against(candidate, champion, mine, theirs, name, policy))
    return GateReport(
        model=model,
        version=candidate.version,
        champion=champion.version if champion else None,
        passed=all(c.passed for c in checks if c.applies),
        rows=0 if mine is None else len(mine.truth),
        metric=name,
        metrics=mine.metrics if mine else {},
        champion_metrics=theirs.metrics if isinstance(theirs, Judged) else {},
        checks=tuple(checks),
        importance=importance,
        policy=_policy_dict(policy),
    )


def _policy_dict(policy: GatePolicy) -> dict[str, Any]:
    return {
        "metric": policy.metric,
        "tolerance": policy.tolerance,
        "confidence": policy.confidence,
        "first_version": policy.first_version,
        "thresholds": dict(policy.thresholds),
    }


def answer(contestant: Contestant, frame: pd.DataFrame) -> Judged:
    """Ask the runtime for every row and measure. Raises `InvalidData`."""
    manifest = contestant.manifest
    truth = labels_of(frame, str(manifest.target), manifest.classes, manifest.task)
    answers = contestant.served(to_rows(frame[manifest.columns]))
    measured = evaluate(truth, answers.values, answers.probabilities, manifest.classes, manifest.task)
    return Judged(truth, answers.values, answers.probabilities, measured)


def _champion_answers(champion: Contestant, frame: pd.DataFrame) -> Judged | str:
    lacking = [c for c in champion.manifest.columns if c not in frame.columns]
    if lacking:
        return f"the rows lack '{lacking[0]}', which the champion reads"
    try:
        return answer(champion, frame)
    except MlopsError as problem:
        return problem.message


def _skew(candidate: Contestant) -> Check:
    manifest = candidate.manifest
    found = difference(manifest, candidate.served(manifest.sample))
    return Check(
        "training/serving skew",
        not found,
        found or "no difference",
        "none",
        f"{len(manifest.sample)} recorded rows asked of the serving runtime",
    )


def _constant(mine: Judged, manifest: Manifest, name: str) -> Check:
    """Better than always answering the commonest class (or the mean)?"""
    import numpy as np

    values, counts = np.unique(mine.truth, return_counts=True)
    if manifest.task == "classification":
        shares = {v: c / len(mine.truth) for v, c in zip(values.tolist(), counts.tolist(), strict=True)}
        prior = np.array([[shares.get(c, 0.0) for c in manifest.classes]]).repeat(len(mine.truth), axis=0)
        constant: Any = np.full(len(mine.truth), values[counts.argmax()])
    else:
        prior, constant = None, np.full(len(mine.truth), float(np.mean(mine.truth)))
    limit = metric(name, mine.truth, constant, prior, manifest.classes)
    figure = mine.metrics.get(name)
    if figure is None or limit is None:
        return Check("better than a constant", None, "–", "–", f"{name} is not defined on these rows")
    return Check(
        "better than a constant", better(name, figure, limit) > 0, f"{name} {figure:.4f}", _limit(name, limit)
    )


def _limit(name: str, value: float, strict: bool = True) -> str:
    sign = ("<" if strict else "≤") if name in LOWER_IS_BETTER else (">" if strict else "≥")
    return f"{sign} {value:.4f}"


def _thresholds(mine: Judged, policy: GatePolicy) -> list[Check]:
    checks = []
    for name, limit in policy.thresholds.items():
        figure = mine.metrics.get(name)
        if figure is None:
            known = ", ".join(mine.metrics)
            checks.append(
                Check(f"threshold {name}", None, "–", _limit(name, limit, False), f"known here: {known}")
            )
        else:
            passed = better(name, figure, limit) >= 0
            checks.append(Check(f"threshold {name}", passed, f"{figure:.4f}", _limit(name, limit, False)))
    return checks


def _against(
    candidate: Contestant,
    champion: Contestant | None,
    mine: Judged,
    theirs: Judged | str | None,
    name: str,
    policy: GatePolicy,
) -> Check:
    title = "no worse than the champion"
    if champion is None:
        allowed = policy.first_version == "allow"
        detail = "no champion yet; policy: first_version = " + policy.first_version
        return Check(title, None, "–", "–", detail, applies=not allowed)
    if champion.version == candidate.version:
        return Check(title, None, "–", "–", "it is the champion", applies=False)
    if not isinstance(theirs, Judged):
        return Check(title, None, "–", "–", str(theirs))
    a, b = mine.metrics.get(name), theirs.metrics.get(name)
    if a is None or b is None:
        return Check(title, None, "–", "–", f"{name} is not defined on these rows")
    low, high = _interval(candidate, champion, mine, theirs, name, policy.confidence)
    margin = policy.tolerance * abs(b)
    return Check(
        title,
        low >= -margin,
        f"{name} {a:.4f} against {b:.4f} of version {champion.version}",
        f"gain ≥ {-margin:.4f}",
        f"{policy.confidence:.0%} interval of the gain: {low:+.4f} … {high:+.4f}",
    )


def _interval(
    candidate: Contestant, champion: Contestant, mine: Judged, theirs: Judged, name: str, confidence: float
) -> tuple[float, float]:
    """Percentile bootstrap of the paired difference: both are judged on the same resampled rows."""
    import numpy as np

    rng = np.random.default_rng(0)
    rows = len(mine.truth)
    gains = []
    for _ in range(RESAMPLES):
        weights = np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(float)
        a = metric(name, mine.truth, mine.labels, mine.probabilities, candidate.manifest.classes, weights)
        b = metric(
            name, theirs.truth, theirs.labels, theirs.probabilities, champion.manifest.classes, weights
        )
        if a is not None and b is not None:
            gains.append(better(name, a, b))
    if not gains:
        return float("-inf"), float("inf")
    tail = (1 - confidence) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    return float(low), float(high)


def _importance(candidate: Contestant, frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Permutation importance: how much the metric falls when one column is shuffled; shares that sum to 1."""
    import numpy as np

    manifest = candidate.manifest
    most = min(IMPORTANCE_ROWS, max(100, IMPORTANCE_CELLS // len(manifest.columns) ** 2))
    some = frame.sample(min(len(frame), most), random_state=0)
    truth = labels_of(some, str(manifest.target), manifest.classes, manifest.task)
    rows = to_rows(some[manifest.columns])
    rng = np.random.default_rng(0)

    def figure() -> float | None:
        answers = candidate.served(rows)
        return metric(name, truth, answers.values, answers.probabilities, manifest.classes)

    base = figure()
    if base is None:
        return {}
    falls: dict[str, float] = {}
    for column in manifest.columns:
        values = [row[column] for row in rows]
        for row, place in zip(rows, rng.permutation(len(rows)), strict=True):
            row[column] = values[place]
        value = figure()
        falls[column] = max(0.0, better(name, base, value)) if value is not None else 0.0
        for row, own in zip(rows, values, strict=True):
            row[column] = own
    total = sum(falls.values())
    return {column: fall / total for column, fall in falls.items()} if total > 0 else {}


def keep(store: Store, report: GateReport) -> GateReport:
    """Store the report; returns it with its number."""
    from dataclasses import replace

    with store.write() as connection:
        result = connection.execute(
            gates.insert().values(
                model=report.model,
                version=report.version,
                at=report.at,
                who=user(),
                passed=int(report.passed),
                champion=report.champion,
                report=report.to_dict(),
                digest=report.digest,
            )
        )
        return replace(report, id=inserted_id(result))


def latest(store: Store, model: str, version: int) -> Mapping[str, Any] | None:
    """The newest stored report of a version, with `id`, `passed`, `champion`, `digest` and `report`."""
    return store.row(
        select(gates)
        .where(gates.c.model == model, gates.c.version == version)
        .order_by(gates.c.id.desc())
        .limit(1)
    )


def require_green(name: str, version: int, champion: int | None, seen: Mapping[str, Any] | None) -> None:
    """Raises `GateFailed` unless this report (see `latest`) is a pass beside the present champion."""
    if seen is None:
        raise GateFailed(f"Version {version} of '{name}' was not judged by the gate.", "Run the gate first.")
    if not seen["passed"]:
        raise GateFailed(
            f"Version {version} of '{name}' did not pass the gate (report {seen['id']}).",
            "Train a better version, or force it with a reason.",
        )
    if seen["champion"] != champion:
        was = f"version {seen['champion']}" if seen["champion"] else "no champion"
        raise GateFailed(
            f"The gate compared version {version} of '{name}' with {was}, but the champion is "
            f"{f'version {champion}' if champion else 'none'} now.",
            "Run the gate again.",
        )
