"""Of the labelled rows as a whole: better than a constant, and the policy's thresholds."""

from __future__ import annotations

from typing import Any

from mlops_workbench.registry.checks.check import Case, limit_of
from mlops_workbench.registry.checks.result import Check, unknown
from mlops_workbench.track.metrics import better, metric


def constant(case: Case) -> Check:
    """Better than always answering the commonest class (or the mean)?"""
    import numpy as np

    title, name, mine, manifest = "better than a constant", case.metric, case.mine, case.manifest
    values, counts = np.unique(mine.truth, return_counts=True)
    if manifest.task == "classification":
        shares = {v: c / len(mine.truth) for v, c in zip(values.tolist(), counts.tolist(), strict=True)}
        prior = np.array([[shares.get(c, 0.0) for c in manifest.classes]]).repeat(len(mine.truth), axis=0)
        always: Any = np.full(len(mine.truth), values[counts.argmax()])
    else:
        prior, always = None, np.full(len(mine.truth), float(np.mean(mine.truth)))
    limit = metric(name, mine.truth, always, prior, manifest.classes, positive=manifest.positive)
    figure = mine.metrics.get(name)
    if figure is None or limit is None:
        return unknown(
            title,
            f"{name} is not defined on these rows",
            next_step=f"Judge rows of more than one class; they are {case.context.rows_from}.",
        )
    return Check(
        title,
        better(name, figure, limit) > 0,
        f"{name} {figure:.4f}",
        limit_of(name, limit, strict=True),
        next_step=f"It has learnt nothing that holds on these rows: {case.context.rows_from}.",
    )


def thresholds(case: Case) -> list[Check]:
    checks = []
    for name, limit in case.policy.thresholds.items():
        title, asked = f"threshold {name}", limit_of(name, limit)
        figure = case.mine.metrics.get(name)
        if figure is None:
            known = ", ".join(case.mine.metrics)
            step = "Correct [gate.thresholds] in mlops.toml."
            checks.append(unknown(title, f"known here: {known}", asked, step))
        else:
            passed = better(name, figure, limit) >= 0
            step = f"The rows are {case.context.rows_from}."
            checks.append(Check(title, passed, f"{figure:.4f}", asked, next_step=step))
    return checks
