"""Metrics that a cell leaves as values: its last expression, and variables that are named."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.track.printed import clean, is_metric

MOST_RETURNED = 50
MOST_POINTS = 500


def returned(value: Any, source: str) -> dict[str, float]:
    """Figures in the value of a cell's last expression: a dict of numbers, or one number that has a name.

    The name is the variable's, or the function's if that speaks of a metric (`roc_auc_score(…)`, `model.score(…)`).
    """
    if isinstance(value, Mapping):
        figures = {str(k): number(v) for k, v in value.items() if isinstance(k, str)}
        whole = len(figures) == len(value) <= MOST_RETURNED and all(v is not None for v in figures.values())
        return {n: v for k, v in figures.items() if v is not None and (n := clean(k))} if whole else {}
    figure = number(value)
    name = _name(source)
    return {clean(name): figure} if figure is not None and name and clean(name) else {}


def _name(source: str) -> str:
    """Of the last expression, if it speaks of a metric."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return ""
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    while isinstance(last, ast.Call):
        rounded = isinstance(last.func, ast.Name) and last.func.id in ("float", "round")
        last = last.args[0] if rounded and last.args else last.func
    name = last.id if isinstance(last, ast.Name) else last.attr if isinstance(last, ast.Attribute) else ""
    return name if is_metric(name) or name.startswith("mean_") else ""


def named(names: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, float]:
    """Variables as metrics: numbers, or dicts of numbers (`NAME.key`). Raises `NotFound`, `InvalidData`."""
    found: dict[str, float] = {}
    for name in names:
        if name not in namespace:
            raise NotFound(f"The code made no variable '{name}'.", "Name one that it makes.")
        value = namespace[name]
        parts = {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
        for part, content in parts.items():
            figure = number(content)
            if figure is None:
                raise InvalidData(
                    f"The metric '{part}' must be a finite number. Got {content!r:.80} instead.",
                    "Name a variable that holds a number, or a dict of numbers.",
                )
            found[_allowed(part)] = figure
    return found


def _allowed(name: str) -> str:
    """A metric's name as MLflow takes it: `precision@5` is `precision_at_5`, `lift_%` is `lift_percent`."""
    spelled = name.replace("@", "_at_").replace("%", "percent")
    return re.sub(r"[^\w.\- :/]", "_", spelled)[:250]


def number(value: Any) -> float | None:
    """A finite number of Python's or NumPy's kinds, also as an array of one; None for anything else."""
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST_POINTS` of a curve, its first and last among them."""
    points = sorted(points)
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[i * last // (MOST_POINTS - 1)] for i in range(MOST_POINTS)]
