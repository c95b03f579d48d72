"""The gate's policy in words: what each check asks, its limit, and what happens when it cannot be evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.values import Value
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.registry.checks.check import limit_of


@dataclass(frozen=True)
class GateQuestion(Value):
    """One check as the policy sets it. `limit` empty: the policy does not ask for it."""

    check: str
    asks: str
    limit: str
    otherwise: str
    """when it cannot be evaluated"""


@dataclass(frozen=True)
class Explanation(Value):
    """What a version of a model must show before it may become champion."""

    model: str
    checks: tuple[GateQuestion, ...]
    policy: dict[str, Any]
    policy_digest: str

    @property
    def title(self) -> str:
        return (
            f"What the gate asks of a version of '{self.model}' ([gate] in mlops.toml, "
            f"policy {self.policy_digest[:12]}). Every check that applies must pass."
        )

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["check", "asks", "limit", "when it cannot be evaluated"], [
            [c.check, c.asks, c.limit or "not asked", c.otherwise if c.limit else ""] for c in self.checks
        ]

    def text(self) -> str:
        """Each check as a small paragraph: a table would be wider than a terminal."""
        lines = [self.title]
        for c in self.checks:
            lines += ["", f"{c.check}: {c.limit or 'not asked'}", f"  {c.asks}"]
            lines += [f"  When it cannot be evaluated: {c.otherwise}"] if c.limit else []
        return "\n".join(lines)


def explain(model: str, policy: GatePolicy) -> Explanation:
    checks = tuple(_checks(policy))
    return Explanation(model, checks, policy.to_dict(), policy.digest)


_NO = "not a pass"


def _checks(policy: GatePolicy) -> Iterator[GateQuestion]:
    metric = policy.metric or "roc_auc (two classes), balanced_accuracy (more), rmse (numbers)"
    yield GateQuestion(
        "training/serving skew",
        "The serving runtime answers the rows recorded at registration as the notebook's model did.",
        "no difference",
        _NO,
    )
    yield GateQuestion(
        "training/image skew",
        "So does a container of the version's image, if one was built.",
        "no difference",
        "without an image it does not apply; without a container engine it is not a pass",
    )
    yield GateQuestion(
        "rows not trained on",
        "The judged rows are compared, with their label, with those that the version and the champion were fitted on; "
        "what repeats in these anyway is chance.",
        f"at most {policy.trained_rows:.1%}",
        "above that nothing is shown by the other checks: not a pass",
    )
    yield GateQuestion(
        "better than a constant",
        f"The deciding metric, {metric}, on the held-out rows, beside always the same answer.",
        "better",
        "without labelled rows, not a pass",
    )
    for name, limit in policy.thresholds.items():
        yield GateQuestion(
            f"threshold {name}",
            f"{name} on the held-out rows.",
            limit_of(name, limit),
            "a metric that the model does not have is not a pass",
        )
    if not policy.thresholds:
        yield GateQuestion("thresholds", "Limits of metrics on the held-out rows: [gate.thresholds].", "", "")
    yield GateQuestion(
        "no worse than the champion",
        f"Both answer the same rows. The {policy.confidence:.0%} bootstrap interval of the gain must lie above "
        f"minus {policy.tolerance:.0%} of the champion's metric.",
        f"gain ≥ −{policy.tolerance:.0%}",
        "without a champion, "
        + (
            "a version passes (first_version = allow)"
            if policy.first_version == "allow"
            else "not a pass, save for a first version when somebody says so with the gate"
        )
        + "; a champion that cannot answer the rows is not a pass",
    )
    slices = policy.slices
    yield GateQuestion(
        "slices",
        f"{slices.metric or 'The deciding metric'} of the worst slice by {', '.join(slices.columns)}, among "
        f"those of {slices.minimum_rows} rows or more; numbers are cut in quartiles."
        if slices.columns
        else "How much worse than the whole a part of the rows may be judged: [gate.slices].",
        f"at most {slices.tolerance:.0%} worse than the whole" if slices.columns else "",
        "a missing column, or a metric that a slice does not have, is not a pass",
    )
    fairness = policy.fairness
    yield GateQuestion(
        "fairness",
        f"Fairlearn's {fairness.metric} between the groups of {fairness.column} of {fairness.minimum_rows} "
        "rows or more."
        if fairness.column
        else "How differently groups of people are treated: [gate.fairness].",
        f"{'at most' if fairness.metric.endswith('_difference') else 'at least'} {fairness.limit:g}"
        if fairness.column
        else "",
        "rows without the column, or groups too small, are not a pass",
    )
    cases = policy.regression
    yield GateQuestion(
        "regression cases",
        f"Every case in {cases.cases} is answered as it says"
        + (f", numbers within {cases.tolerance:g}." if cases.tolerance else ".")
        if cases.cases
        else "Inputs with required answers that must stay right: [gate.regression].",
        "all right" if cases.cases else "",
        "a file that is missing or does not fit the model is not a pass",
    )
    latency = policy.latency
    limits = [f"p99 ≤ {latency.p99_ms:g} ms"] if latency.p99_ms else []
    limits += [f"memory ≤ {latency.memory_mb:g} MB"] if latency.memory_mb else []
    yield GateQuestion(
        "latency and memory",
        f"Requests of {latency.rows} row{'s' if latency.rows > 1 else ''} to the serving runtime in a process of "
        "its own."
        if limits
        else "What a request costs on the serving runtime: [gate.latency].",
        ", ".join(limits),
        "a runtime that does not start or answer is not a pass",
    )
