"""Fairness by a sensitive column, in Fairlearn's metrics: the only module that knows Fairlearn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.registry.checks.check import Case
from mlops_workbench.registry.checks.groups import groups
from mlops_workbench.registry.checks.result import Check, unknown
from mlops_workbench.track.metrics import NAMES

TITLE = "fairness"
RATES: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "selection_rate": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "true_positive_rate": ("true_positive_rate",),
    "false_positive_rate": ("false_positive_rate",),
    "true_negative_rate": ("true_negative_rate",),
    "false_negative_rate": ("false_negative_rate",),
}
"""Fairlearn's measures for two classes, and the rates of each group that they compare."""
NEEDS = {
    "true_positive_rate": True,
    "false_negative_rate": True,
    "false_positive_rate": False,
    "true_negative_rate": False,
}
"""Which true label a rate is a share of: without such rows Fairlearn says 0, which is no finding."""
_SHOWN = 8
"""groups whose figures stand in the detail; all are in the evidence"""


def fairness(case: Case) -> list[Check]:
    """Raises `UsageError` when the policy's metric does not fit the model."""
    policy = case.policy.fairness
    if not policy.column:
        return []
    stem, _, form = policy.metric.rpartition("_")
    two = len(case.manifest.classes) == 2
    known = [*(RATES if two else ()), *NAMES[case.manifest.task]]
    if stem not in known:
        raise UsageError(
            f"The fairness metric '{policy.metric}' is not one of a {case.manifest.task} model with "
            f"{len(case.manifest.classes)} classes."
            if case.manifest.classes
            else f"The fairness metric '{policy.metric}' is not one of a {case.manifest.task} model.",
            closest(policy.metric, [f"{name}_{form}" for name in known]),
        )
    return [_by(case, stem, form)]


def _by(case: Case, stem: str, form: str) -> Check:
    policy, title = case.policy.fairness, f"{TITLE} by {case.policy.fairness.column}"
    limit = f"{'≤' if form == 'difference' else '≥'} {policy.limit:.4f}"
    where = case.context.rows_from
    if policy.column not in case.frame.columns:
        step = f"Judge rows that have it: the model need not read it. These are {where}."
        return unknown(title, f"the rows have no column '{policy.column}'", limit, step)
    names = groups(case.frame[policy.column]).to_numpy()
    counts = {one: int((names == one).sum()) for one in sorted(set(names))}
    small = [one for one, rows in counts.items() if rows < policy.minimum_rows]
    kept = [one for one in counts if one not in small]
    if len(kept) < 2:
        reason = f"fewer than two groups have {policy.minimum_rows} rows"
        return unknown(title, reason, limit, f"Judge more rows than {where}.", evidence={"groups": counts})
    at = _isin(names, kept)
    frame = _frame(case, names, at, stem)
    by = _table(frame, counts)
    evidence = {"groups": by, "metric": f"Fairlearn's {policy.metric}"}
    if gap := _undefined(case, names, at, stem, by):
        return unknown(title, gap, limit, f"Judge more rows than {where}.", evidence=evidence)
    figure = _figure(case, names, at, stem, form, frame)
    column = next(iter(frame.by_group.columns))
    low, high = str(frame.by_group[column].idxmin()), str(frame.by_group[column].idxmax())
    detail = f"{column}: {_shown(column, by)}"
    if small:
        detail += f"; not judged, fewer than {policy.minimum_rows} rows: {', '.join(small)}"
    return Check(
        title,
        figure <= policy.limit if form == "difference" else figure >= policy.limit,
        f"{policy.metric} {figure:.4f}",
        limit,
        detail,
        evidence=evidence,
        next_step=f"Look at the groups {low} and {high} of {policy.column} in {where}.",
    )


def _shown(column: str, by: Sequence[Mapping[str, Any]]) -> str:
    """Each group's figure, lowest first; of many the ends."""
    known = sorted((g for g in by if g[column] is not None), key=lambda g: g[column])
    texts = [f"{g['group']} {g[column]:.4f} ({g['rows']:,} rows)" for g in known]
    return ", ".join(texts if len(texts) <= _SHOWN else [*texts[:3], "…", *texts[-3:]])


def _isin(names: Any, kept: list[str]) -> Any:
    import numpy as np

    return np.isin(names.astype(str), kept)


def _binary(case: Case, at: Any) -> tuple[Any, Any]:
    """Truth and answers as 1 for the positive class, and 0."""
    import numpy as np

    positive = case.manifest.positive_class
    return (case.mine.truth[at] == positive).astype(int), (
        np.asarray(case.mine.labels)[at] == positive
    ).astype(int)


def _frame(case: Case, names: Any, at: Any, stem: str) -> Any:
    """Fairlearn's MetricFrame: of the rates that the measure compares, or of a metric of ours."""
    import fairlearn.metrics as fair
    import numpy as np

    if stem in RATES:
        truth, answers = _binary(case, at)
        return fair.MetricFrame(
            metrics={rate: getattr(fair, rate) for rate in RATES[stem]},
            y_true=truth,
            y_pred=answers,
            sensitive_features=names[at],
        )

    def ours(_truth: Any, places: Any) -> float:
        """Given the rows' places as answers, so that probabilities can be looked up, too."""
        found = case.measured(stem, np.asarray(places))
        return float("nan") if found is None else found

    places = np.flatnonzero(at)
    return fair.MetricFrame(metrics={stem: ours}, y_true=places, y_pred=places, sensitive_features=names[at])


def _table(frame: Any, counts: Mapping[str, int]) -> list[Mapping[str, Any]]:
    by = frame.by_group.to_dict(orient="index")
    return [
        {
            "group": one,
            "rows": rows,
            **{
                m: (None if one not in by or by[one][m] != by[one][m] else float(by[one][m]))
                for m in frame.by_group.columns
            },
        }
        for one, rows in counts.items()
    ]


def _undefined(case: Case, names: Any, at: Any, stem: str, by: list[Mapping[str, Any]]) -> str:
    """Why a group has no figure; empty when all have one."""
    for rate in RATES.get(stem, ()):
        if rate not in NEEDS:
            continue
        truth, _ = _binary(case, at)
        for one in sorted(set(names[at])):
            if not (truth[names[at] == one] == int(NEEDS[rate])).any():
                positive, classes = case.manifest.positive_class, case.manifest.classes
                label = positive if NEEDS[rate] else next(c for c in classes if c != positive)
                return f"{rate} is not defined for {one}: no row there is {label}"
    lacking = [g["group"] for g in by if g["group"] in set(names[at]) and g.get(stem, 0.0) is None]
    return f"{stem} is not defined for {lacking[0]}" if lacking else ""


def _figure(case: Case, names: Any, at: Any, stem: str, form: str, frame: Any) -> float:
    import fairlearn.metrics as fair

    if stem not in RATES:
        column = frame.difference if form == "difference" else frame.ratio
        return float(column(method="between_groups")[stem])
    truth, answers = _binary(case, at)
    function = getattr(fair, f"{stem}_{form}")
    return float(function(truth, answers, sensitive_features=names[at]))
