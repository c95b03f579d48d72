"""Slices: the whole may be good while a part of it is served badly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.registry.checks.check import Case, limit_of
from mlops_workbench.registry.checks.groups import groups
from mlops_workbench.registry.checks.result import Check, unknown
from mlops_workbench.track.metrics import LOWER_IS_BETTER, better, deciding


def slices(case: Case) -> list[Check]:
    """A check a column of the policy: is its worst slice within the tolerance of the whole?"""
    policy = case.policy.slices
    if not policy.columns:
        return []
    name = (
        deciding(policy.metric, case.manifest.task, case.manifest.classes) if policy.metric else case.metric
    )
    return [_by(case, column, name) for column in policy.columns]


def _by(case: Case, column: str, name: str) -> Check:
    policy, title = case.policy.slices, f"slices by {column}"
    if column not in case.frame.columns:
        return unknown(
            title, f"the rows have no column '{column}'", next_step=f"The rows are {case.context.rows_from}."
        )
    whole = case.mine.metrics.get(name)
    found = table(case, column, name)
    judged = [s for s in found if s["rows"] >= policy.minimum_rows]
    if whole is None or not judged:
        reason = f"no slice has {policy.minimum_rows} rows" if whole is not None else f"{name} is not defined"
        return unknown(title, reason, evidence={"slices": found}, next_step="Judge more rows.")
    known = [s for s in judged if s[name] is not None]
    undefined = [s for s in judged if s[name] is None]
    margin = policy.tolerance * abs(whole)
    limit = whole + margin if name in LOWER_IS_BETTER else whole - margin
    worst = min(known, key=lambda s: better(name, s[name], whole)) if known else None
    red = worst is not None and better(name, worst[name], limit) < 0
    small = len(found) - len(judged)
    notes = [f"{name} {whole:.4f} on all {len(case.frame):,} rows, {len(judged)} slices"]
    notes += [f"{small} smaller than {policy.minimum_rows} rows not judged"] if small else []
    if undefined:
        notes.append(f"{name} is not defined on {column} = {undefined[0]['slice']}: one class only")
    step = 'Judge rows with both classes there, or set [gate.slices] metric = "accuracy".'
    if red and worst:
        step = f"Look at the rows with {column} = {worst['slice']} in {case.context.rows_from}."
    return Check(
        title,
        False if red else None if undefined else True,
        f"{name} {worst[name]:.4f} at {column} = {worst['slice']} ({worst['rows']:,} rows)" if worst else "–",
        limit_of(name, limit),
        "; ".join(notes),
        evidence={"slices": found},
        next_step=step,
    )


def table(case: Case, column: str, name: str) -> list[Mapping[str, Any]]:
    """Each slice with its rows and its figure (None where it is not defined), worst first."""

    names = groups(case.frame[column]).to_numpy()
    found: list[Mapping[str, Any]] = []
    for one in sorted(set(names)):
        at = names == one
        figure = case.measured(name, at)
        found.append({"slice": one, "rows": int(at.sum()), name: figure})
    return sorted(found, key=lambda s: (s[name] is None, better(name, s[name] or 0.0, 0.0)))
