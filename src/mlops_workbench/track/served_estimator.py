"""The estimator that answers: of a search (GridSearchCV and its kin) the best one, and what the search found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_GRIDS = ("param_grid", "param_distributions")


def is_search(model: Any) -> bool:
    return hasattr(model, "best_estimator_") and hasattr(model, "best_params_")


def served(model: Any) -> Any:
    """What answers in place of a search; any other model itself."""
    while is_search(model):
        model = model.best_estimator_
    return model


def parts(model: Any, at: str = "") -> dict[str, Any]:
    """What answers and each estimator in it, by the name that `get_params` gives it; of a search the best one."""
    model = served(model)
    inner = {k: v for k, v in model.get_params(deep=True).items() if hasattr(v, "get_params")}
    searches = tuple(f"{name}__" for name, part in inner.items() if is_search(part))
    found = {at: model}
    for name, part in inner.items():
        if not name.startswith(searches):
            full = f"{at}__{name}" if at else name
            found |= parts(part, full) if is_search(part) else {full: part}
    return found


@dataclass(frozen=True)
class Search:
    """What a fitted search tried. `results`: its table as CSV; `score`: of the best, None where it keeps none."""

    kind: str
    best: Mapping[str, Any]
    score: float | None
    grid: str
    results: str

    @property
    def params(self) -> dict[str, Any]:
        found = {"search": self.kind, "search.grid": self.grid}
        return found | {f"search.best.{name}": value for name, value in self.best.items()}


def search_of(model: Any) -> Search | None:
    """What a search found, also one that is the last step of a pipeline; None for a model without one."""
    while not is_search(model):
        steps = getattr(model, "steps", None)
        if not steps:
            return None
        model = steps[-1][1]
    import pandas as pd

    grid: Any = next((getattr(model, name) for name in _GRIDS if hasattr(model, name)), {})
    score = getattr(model, "best_score_", None)
    results = getattr(model, "cv_results_", None)
    return Search(
        type(model).__name__,
        {name: short(value) for name, value in model.best_params_.items()},
        float(score) if isinstance(score, float) else None,
        json.dumps(grid, default=short, ensure_ascii=False),
        pd.DataFrame(results).to_csv(index=False) if results else "",
    )


def recorded(models: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and files of the searches among a run's models, by variable: the best score, and the table of results."""
    metrics: dict[str, float] = {}
    files: dict[str, str] = {}
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        if (found := search_of(model)) is None:
            continue
        metrics |= {f"{prefix}best_score": found.score} if found.score is not None else {}
        files |= {f"search/{prefix}results.csv": found.results} if found.results else {}
    return metrics, files


def short(value: Any) -> Any:
    """Plain values as they are; of others what a person would call them."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [short(v) for v in value]
    if hasattr(value, "dist"):  # of scipy.stats
        given = [*map(str, value.args), *(f"{k}={v}" for k, v in value.kwds.items())]
        return f"{value.dist.name}({', '.join(given)})"
    return " ".join(str(value).split())[:500]


def unread(model: Any, features: Sequence[str]) -> tuple[str, ...]:
    """Columns that it was fitted with and does not read: those that its first step, a ColumnTransformer, drops."""
    model = served(model)
    while steps := getattr(model, "steps", None):
        first = [step for _, step in steps if step is not None and step != "passthrough"]
        if not first:
            return ()
        model = served(first[0])
    if type(model).__name__ != "ColumnTransformer" or not type(model).__module__.startswith("sklearn."):
        return ()
    named = getattr(model, "feature_names_in_", None)
    if named is None or [*named] != [*features]:
        return ()
    places = model._transformer_to_input_indices
    dropped = {name for name, part, _ in model.transformers_ if isinstance(part, str) and part == "drop"}
    read = {place for name, chosen in places.items() if name not in dropped for place in chosen}
    return tuple(name for place, name in enumerate(features) if place not in read)
