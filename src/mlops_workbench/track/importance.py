"""Permutation importance: how much a metric falls when one column is shuffled (Breiman 2001, "Random Forests";
Fisher, Rudin & Dominici 2019). One function for run, card and gate: the same rows and answers give the same figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.values import Value

if TYPE_CHECKING:
    import pandas as pd

ROWS = 2000
"""of the labelled ones, drawn at random with a fixed seed"""
FEWEST_ROWS = 500
REPEATS = 5
EACH = 100
"""columns that are shuffled one by one; of a wider model the heaviest `SEARCHED` are, which are searched for in groups
with `SEARCH_ROWS` rows"""
SEARCHED = 50
SEARCH_ROWS = 250
MOST_VALUES = 40_000_000
"""rows × columns × shufflings of up to `EACH` columns: of what is larger, repeats are fewer, then rows"""
_AT_ONCE = 2_000_000
"""values in the rows of one call"""

Metric = Callable[[Any, Any, Any], float | None]
"""(places of the rows, answers, probabilities or None) → how good they are, larger is better; None: not defined"""


@dataclass(frozen=True)
class Importance(Value):
    """`shares`: each column's mean fall of the metric, as a share of all falls, largest first; `spread`: the standard
    deviation of such a share between shufflings (none of a single one). Of `rows` of the `of` labelled rows, each
    column shuffled `repeats` times. `apart`: how many columns were shuffled one by one; the others moved nothing in
    groups, or less than these, and count as 0.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    rows: int = 0
    of: int = 0
    repeats: int = 0
    apart: int = 0

    @property
    def sentence(self) -> str:
        """What the figures are of."""
        rows = f"{self.rows:,} of {self.of:,}" if self.rows < self.of else f"{self.of:,}"
        times = (
            f"each column shuffled {self.repeats} times" if self.repeats > 1 else "each column shuffled once"
        )
        some = f", the {self.apart} that move it most one by one" if self.apart < len(self.shares) else ""
        return f"permutation importance on {rows} rows, {times}{some}"


def permutation_importance(
    frame: pd.DataFrame,
    features: Sequence[str],
    ask: Callable[[pd.DataFrame], tuple[Any, Any]],
    measure: Metric,
    *,
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
) -> Importance:
    """`ask`: rows → answers, and probabilities or None; `prepare` makes of the drawn rows what it is asked for. Empty
    where the metric is not defined, or nothing moves it."""
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = list(features)
    rng = np.random.default_rng(0)
    apart = len(features) if len(features) <= EACH else SEARCHED
    affordable = MOST_VALUES // max(1, apart * len(features))  # rows × repeats of a column
    rows = min(len(frame), ROWS, max(FEWEST_ROWS, affordable))
    repeats = min(REPEATS, max(1, affordable // max(1, rows)))
    places = rng.permutation(len(frame))[:rows]
    some = prepare(frame[features].iloc[places])
    turns = [rng.permutation(rows) for _ in range(repeats)]
    at_once = max(1, _AT_ONCE // max(1, rows * len(features)))
    with threadpool_limits(1, "openmp"):  # threads that wait for each other cost more than so few rows
        base = measure(places, *ask(some))
        if base is None:
            return Importance(rows=rows, of=len(frame))

        def falls(groups: Sequence[Sequence[str]], turn: Any, before: float = base) -> list[float]:
            """How much the metric falls when each group of columns is shuffled, of as many rows as `turn` has."""
            found, own = [], some.iloc[: len(turn)]
            for start in range(0, len(groups), at_once):
                part = groups[start : start + at_once]
                answers, probabilities = ask(_stacked(own, part, turn))
                for i in range(len(part)):
                    mine = slice(i * len(turn), (i + 1) * len(turn))
                    chances = None if probabilities is None else probabilities[mine]
                    value = measure(places[: len(turn)], answers[mine], chances)
                    found.append(0.0 if value is None else before - value)
            return found

        chosen = features
        if apart < len(features):
            fewer = rng.permutation(min(rows, SEARCH_ROWS))
            there = measure(places[: len(fewer)], *ask(some.iloc[: len(fewer)]))
            chosen = _heaviest(
                features, lambda groups: falls(groups, fewer, base if there is None else there)
            )
        fell = np.array([falls([[column] for column in chosen], turn) for turn in turns])
    mean = np.maximum(fell.mean(axis=0), 0.0)
    if (total := float(mean.sum())) <= 0:
        return Importance({}, {}, rows, len(frame), repeats, len(chosen))
    shares = {chosen[i]: float(mean[i] / total) for i in np.argsort(-mean, kind="stable")}
    spread = np.std(fell, axis=0, ddof=1) / total if repeats > 1 else []
    return Importance(
        shares | {column: 0.0 for column in features if column not in shares},
        {column: float(value) for column, value in zip(chosen, spread, strict=False)},
        rows,
        len(frame),
        repeats,
        len(chosen),
    )


def _heaviest(features: Sequence[str], falls: Callable[[Sequence[Sequence[str]]], list[float]]) -> list[str]:
    """About `SEARCHED` columns of a wide model: groups are shuffled as one, and the heavier half of them is split in
    two until each is a column."""
    size = -(-len(features) // SEARCHED)
    groups = [features[at : at + size] for at in range(0, len(features), size)]
    while size > 1:
        weights = falls(groups)
        heavy = sorted(range(len(groups)), key=lambda i: -weights[i])[: SEARCHED // 2]
        size = -(-size // 2)
        groups = [part for i in heavy for part in (groups[i][:size], groups[i][size:]) if part]
    return [group[0] for group in groups]


def _stacked(some: pd.DataFrame, groups: Sequence[Sequence[str]], turn: Any) -> pd.DataFrame:
    """The rows once for each group of columns that is shuffled, all in one frame: a call costs more than its rows."""
    import numpy as np
    import pandas as pd

    rows = len(some)
    own = np.arange(rows)
    places = {column: np.tile(own, len(groups)) for group in groups for column in group}
    for i, group in enumerate(groups):
        for column in group:
            places[column][i * rows : (i + 1) * rows] = turn
    usual = np.tile(own, len(groups))
    return pd.DataFrame(
        {column: some[column].array.take(places.get(column, usual)) for column in some.columns}
    )
