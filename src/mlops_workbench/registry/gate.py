"""The gate: may this version become champion? Each check is a small function with its evidence (`checks/`).

Every answer that is judged comes from the serving runtime loading the registered files, not from the object
in the notebook: what is judged is what will serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.base.errors import Conflict
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.registry.checks import champion as beside
from mlops_workbench.registry.checks import latency, metrics, regression, skew, unseen
from mlops_workbench.registry.checks.check import Case, Contestant, ContestantAnswers, GateContext, answer
from mlops_workbench.registry.checks.result import Check, unknown
from mlops_workbench.registry.gate_report import GateReport
from mlops_workbench.registry.importance import importance
from mlops_workbench.track.importance import Importance
from mlops_workbench.track.metrics import deciding

if TYPE_CHECKING:
    import pandas as pd

ROWS = "held-out rows"


def judge(
    model: str,
    candidate: Contestant,
    champion: Contestant | None,
    frame: pd.DataFrame | None,
    policy: GatePolicy,
    context: GateContext | None = None,
) -> GateReport:
    """All checks of the policy. Raises `InvalidData` when rows are given that do not fit the candidate,
    `Conflict` for a first version while there is a champion, `UsageError` for a metric that does not fit."""
    context = context or GateContext()
    if context.first_by and champion is not None:
        raise Conflict(
            f"Version {candidate.version} of '{model}' is no first version: version {champion.version} is "
            "champion.",
            "Run the gate without the choice first: it compares the two.",
        )
    manifest = candidate.manifest
    probabilities = bool(manifest.expected_probabilities)
    name = deciding(policy.metric, manifest.task, manifest.classes, probabilities=probabilities)
    checks = [skew.runtime(candidate)]
    case = None
    uses = Importance()
    if manifest.task == "other":
        reason = (
            "what it answers is neither a label nor a number of a label column, so nothing can be measured"
        )
        checks.append(
            unknown(ROWS, reason, "some", "Look at its answers, and promote it by choice, with force.")
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
            context=context,
        )
        uses = importance(candidate, frame, name)
        checks += _on_rows(case)
    checks += regression.cases(candidate, policy.regression, context.root)
    checks += [
        skew.image(candidate, context),
        *latency.latency(policy.latency, context),
    ]  # the slow ones last
    return GateReport(
        model=model,
        version=candidate.version,
        champion=champion.version if champion else None,
        passed=all(c.passed for c in checks if c.applies),
        rows=len(case.mine.truth) if case else 0,
        metric=name,
        metrics=case.mine.metrics if case else {},
        champion_metrics=case.theirs.metrics if case and isinstance(case.theirs, ContestantAnswers) else {},
        checks=tuple(checks),
        importance=uses.shares,
        importance_spread=uses.spread,
        importance_of=uses.sentence if uses.shares else "",
        positive=manifest.positive_class if case else None,
        policy=policy.to_dict(),
        policy_digest=policy.digest,
        rows_from=context.rows_from if case else "",
        first_by=context.first_by,
    )


def _on_rows(case: Case) -> list[Check]:
    """Fairlearn is imported only by a policy that asks for it."""
    from mlops_workbench.registry.checks import fairness, slices

    return [
        unseen.unseen(case),
        metrics.constant(case),
        *metrics.thresholds(case),
        beside.against(case),
        *slices.slices(case),
        *fairness.fairness(case),
    ]
