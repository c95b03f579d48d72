"""Which raw column, by which arithmetic, each feature of the last estimator comes from.

A feature may depend on one raw column only. Numbers carry the arithmetic of their steps; texts, booleans and encoded
numbers become tables of their few values, which the original itself fills (see `compiling`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mlops_workbench.manifest import Kind
from mlops_workbench.registry.fastpath import NotCovered

Step = tuple[str, *tuple[float, ...]]


@dataclass(frozen=True)
class PlanColumn:
    """A column on its way through the steps. `raw`: of the model's inputs."""

    raw: int
    kind: Kind
    steps: tuple[Step, ...] = ()
    tabled: bool = False
    """whether its features are looked up by value"""
    values: tuple[Any, ...] = ()
    """the values that an encoder knows"""
    encoded: bool = False
    dropped: tuple[PlanColumn, ...] = ()
    """columns that end with this one: the original may still refuse a row for their value"""

    @property
    def all(self) -> list[PlanColumn]:
        return [self, *(inner for column in self.dropped for inner in column.all)]

    def then(self, *steps: Step) -> PlanColumn:
        return self if self.tabled else replace(self, steps=(*self.steps, *steps))

    def refused_if_infinite(self) -> PlanColumn:
        """Before a step that refuses infinities. The runtime leaves huge numbers to the original from the start, so
        that ordinary arithmetic cannot make any."""
        tame = all(
            name in _HARMLESS and all(_SMALL < abs(g) < _GREAT or g == 0 for g in given)
            for name, *given in self.steps
        )
        return self if tame else self.then(("finite",))


PlanColumns = list[PlanColumn]
Walk = Callable[[Any, PlanColumns], PlanColumns]


def walk(step: Any, columns: PlanColumns) -> PlanColumns:
    """The columns that a fitted transformer makes of these. Raises NotCovered."""
    from sklearn.feature_selection import SelectorMixin

    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    for column in columns:
        if column.kind == "datetime":
            raise NotCovered("a time is read by a step")
    name = type(step).__name__
    known = _WALKS.get(name)
    if known is not None and type(step).__module__.partition(".")[0] == "sklearn":
        return known(step, columns)
    if isinstance(step, SelectorMixin) and type(step).__module__.startswith("sklearn.feature_selection."):
        return _selected(step, columns)
    raise NotCovered(f"{name} is not covered")


def _pipeline(step: Any, columns: PlanColumns) -> PlanColumns:
    for _, part in step.steps:
        columns = walk(part, columns)
    return columns


def _column_transformer(step: Any, columns: PlanColumns) -> PlanColumns:
    found: PlanColumns = []
    weights = step.transformer_weights or {}
    for name, part, _ in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        chosen = [columns[i] for i in step._transformer_to_input_indices[name]]
        if chosen:
            found += _weighted(walk(part, chosen), weights.get(name))
    return found


def _union(step: Any, columns: PlanColumns) -> PlanColumns:
    weights = step.transformer_weights or {}
    found: PlanColumns = []
    for name, part in step.transformer_list:
        if not (isinstance(part, str) and part == "drop"):
            found += _weighted(walk(part, columns), weights.get(name))
    return found


def _weighted(columns: PlanColumns, weight: float | None) -> PlanColumns:
    return columns if weight is None else [c.then(("multiply", float(weight))) for c in columns]


def _selected(step: Any, columns: PlanColumns) -> PlanColumns:
    """The original still checks what it drops afterwards: only what cannot be refused may vanish here."""
    from sklearn.utils import get_tags

    name, refuses = type(step).__name__, not get_tags(step).input_tags.allow_nan
    chosen = list(zip(columns, step.get_support(), strict=True))
    kept = [column for column, keep in chosen if keep]
    for column, keep in chosen:
        if keep:
            continue
        known = {step[0] for step in column.steps}
        if not column.tabled and (known - _HARMLESS or (refuses and "impute" not in known)):
            raise NotCovered(f"{name} drops numbers that it may refuse")
    if not kept:
        raise NotCovered(f"{name} drops everything")
    tabled = tuple(column for column, keep in chosen if not keep and column.tabled)
    kept = [replace(kept[0], dropped=(*kept[0].dropped, *tabled)), *kept[1:]]
    return [c.then(("present",)) for c in kept] if refuses else kept


_SMALL, _GREAT = 1e-30, 1e30
_HARMLESS = {"impute", "missing", "finite", "subtract", "divide", "multiply", "add", "clip", "present"}


def _imputer(step: Any, columns: PlanColumns) -> PlanColumns:
    if not _is_nan(step.missing_values) and not (
        step.missing_values is None and all(c.kind == "string" for c in columns)
    ):
        raise NotCovered(f"SimpleImputer looks for {step.missing_values!r}, not for what is missing")
    found: PlanColumns = []
    for column, statistic in zip(columns, step.statistics_, strict=True):
        if _is_nan(statistic) and not step.keep_empty_features:
            continue  # nothing was seen in it: scikit-learn drops it
        if column.tabled or column.kind not in ("double", "long"):
            found.append(replace(column, tabled=True))
        elif _is_number(statistic):
            found.append(column.refused_if_infinite().then(("impute", float(statistic))))
        else:
            raise NotCovered("SimpleImputer puts a text among numbers")
    if step.add_indicator:
        for place in step.indicator_.features_:
            column = columns[place]
            found.append(replace(column.then(("missing",)), encoded=True))
    return found


def _indicator(step: Any, columns: PlanColumns) -> PlanColumns:
    if not _is_nan(step.missing_values):
        raise NotCovered(f"MissingIndicator looks for {step.missing_values!r}, not for what is missing")
    if step.error_on_new and len(step.features_) < len(columns):
        raise NotCovered("MissingIndicator refuses what was never missing before")
    found: PlanColumns = []
    for place in step.features_:
        column = columns[place]
        if not column.tabled and column.kind in ("double", "long"):
            column = column.refused_if_infinite().then(("missing",))
        found.append(replace(column, tabled=column.tabled or column.kind == "string", encoded=True))
    return found


def _standard(step: Any, columns: PlanColumns) -> PlanColumns:
    return _arithmetic(columns, ("subtract", step.mean_ if step.with_mean else None), ("divide", step.scale_))


def _min_max(step: Any, columns: PlanColumns) -> PlanColumns:
    found = _arithmetic(columns, ("multiply", step.scale_), ("add", step.min_))
    if step.clip:
        low, high = map(float, step.feature_range)
        found = [c.refused_if_infinite().then(("clip", low, high)) for c in found]
    return found


def _max_abs(step: Any, columns: PlanColumns) -> PlanColumns:
    found = _arithmetic(columns, ("divide", step.scale_))
    return [c.then(("clip", -1.0, 1.0)) for c in found] if getattr(step, "clip", False) else found


def _robust(step: Any, columns: PlanColumns) -> PlanColumns:
    centred = ("subtract", step.center_ if step.with_centering else None)
    return _arithmetic(columns, centred, ("divide", step.scale_ if step.with_scaling else None))


def _arithmetic(columns: PlanColumns, *steps: tuple[str, Any]) -> PlanColumns:
    """Scalers refuse infinities, and let missing values pass."""
    found = [c.refused_if_infinite() for c in columns]
    for name, given in steps:
        if given is not None:
            found = [c.then((name, float(g))) for c, g in zip(found, given, strict=True)]
    return found


def _one_hot(step: Any, columns: PlanColumns) -> PlanColumns:
    found = []
    for column, values, count in zip(columns, step.categories_, step._n_features_outs, strict=True):
        found += [_encoded(column, values)] * int(count)
    return found


def _ordinal(step: Any, columns: PlanColumns) -> PlanColumns:
    return [_encoded(c, values) for c, values in zip(columns, step.categories_, strict=True)]


def _target(step: Any, columns: PlanColumns) -> PlanColumns:
    each = len(step.classes_) if step.target_type_ == "multiclass" else 1
    pairs = zip(columns, step.categories_, strict=True)
    return [_encoded(c, values) for c, values in pairs for _ in range(each)]


def _encoded(column: PlanColumn, values: Sequence[Any]) -> PlanColumn:
    if column.encoded:
        return column  # what reaches the second encoder are the first one's codes
    if any(step[0] not in ("impute", "finite") for step in column.steps):
        raise NotCovered("numbers are encoded after arithmetic")
    plain = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
    known = tuple(v for v in plain if v is not None and not _is_nan(v))
    wanted: tuple[type, ...] = {"double": (int, float), "long": (int, float), "boolean": (bool,)}.get(
        column.kind, (str,)
    )
    # Imputed texts among numbers, or objects among texts: another value than the column's can be known.
    return replace(
        column, steps=(), tabled=True, encoded=True, values=tuple(v for v in known if isinstance(v, wanted))
    )


def _function(step: Any, columns: PlanColumns) -> PlanColumns:
    if _only_checks(step.func) or step.func is None:
        if step.validate:
            raise NotCovered("FunctionTransformer validates")
        return columns
    if not isinstance(step.func, np.ufunc) or step.func.nin != 1 or step.func.nout != 1:
        raise NotCovered(f"the function {getattr(step.func, '__name__', step.func)!s} is not one of NumPy's")
    if "d->d" not in step.func.types:
        raise NotCovered(f"np.{step.func.__name__} makes no number of a number")
    if step.validate or step.kw_args:
        raise NotCovered("FunctionTransformer validates, or has arguments")
    for column in columns:
        if column.kind != "double" or column.tabled:
            raise NotCovered(f"np.{step.func.__name__} reads what is not a plain number")
    return [c.then((step.func.__name__,)) for c in columns]


def _only_checks(function: Any) -> bool:
    """What HistGradientBoosting and ColumnTransformer put where nothing is done."""
    from sklearn.utils import check_array

    return isinstance(function, partial) and function.func is check_array


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


_WALKS: dict[str, Walk] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _union,
    "SimpleImputer": _imputer,
    "MissingIndicator": _indicator,
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _robust,
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
    "TargetEncoder": _target,
    "FunctionTransformer": _function,
}
