"""What is asked of a profile, in words and figures: limits of the contract, means of the reference data.

Plain values: showing them needs neither whylogs nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlops_workbench.data.contracts import ColumnRule, Contract

Means = Mapping[str, tuple[float, float]]
"""of the reference data's columns of numbers: mean and standard deviation"""


@dataclass(frozen=True, slots=True)
class Constraint:
    """`low`, `high`: of the range or the mean; `high` alone: the share that may be missing."""

    column: str
    rule: str
    kind: Literal["range", "missing", "complete", "frequent", "mean"]
    low: float = float("-inf")
    high: float = float("inf")
    values: tuple[str, ...] = ()


def wanted(contract: Contract, means: Means) -> list[Constraint]:
    """Every constraint, in the order of the contract's columns."""
    found = []
    for column, rule in contract.columns.items():
        found += _of_rule(column, rule)
        if rule.type == "number" and column in means:
            found.append(_of_mean(column, *means[column]))
    return found


def _of_rule(column: str, rule: ColumnRule) -> list[Constraint]:
    found = []
    low, high = rule.minimum, rule.maximum
    if low is not None or high is not None:
        bottom, top = float("-inf") if low is None else low, float("inf") if high is None else high
        text = f"range within {bottom:g} … {top:g}"
        found.append(Constraint(column, text, "range", bottom, top))
    if rule.missing is not None:
        text = f"at most {rule.missing * 100:g} % missing"
        found.append(Constraint(column, text, "missing", high=rule.missing))
    elif not rule.nullable:
        found.append(Constraint(column, "no missing values", "complete"))
    if rule.type == "text" and rule.values is not None:
        known = tuple(str(value) for value in rule.values)
        found.append(Constraint(column, "frequent values in the list", "frequent", values=known))
    return found


def _of_mean(column: str, mean: float, spread: float) -> Constraint:
    """Within one standard deviation of the reference's: seasons stay inside, a changed unit does not."""
    low, high = mean - spread, mean + spread
    return Constraint(column, f"mean within {low:.4g} … {high:.4g}", "mean", low, high)


def means_of(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Of a profile's summary."""
    return {name: (one["mean"], one["std"]) for name, one in summary.items() if "mean" in one}
