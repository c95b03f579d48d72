"""The reference that is kept beside a model: its rows and answers, as monitoring compares them with production's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.base.values import plain
from mlops_workbench.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.summary.reference import DataReference

FITTED_ON, HELD_OUT = "fitted on", "held out"
ASKED_ROWS = 5_000
"""of which the answers are kept"""


def reference(
    manifest: Manifest,
    rows: Mapping[str, pd.DataFrame],
    ask: Callable[[pd.DataFrame], tuple[Sequence[Any], Any]],
    *,
    most: int = ASKED_ROWS,
) -> DataReference:
    """`rows`: those that it was fitted on, and held-out ones if there are any; of these its answers are, for a model is
    too sure of the rows it has seen. `ask`: gives answers and probabilities (rows × classes) or None."""
    import numpy as np

    from mlops_workbench.data import summarizing

    predictions, probabilities = _asked(manifest, rows, ask, most)
    answered = [_as_logged(value) for value in plain(list(predictions))]
    return summarizing.reference(
        rows[FITTED_ON],
        manifest.inputs,
        predictions=answered,
        scores=None if probabilities is None else _scores(manifest, answered, np.asarray(probabilities)),
        classes=manifest.classes,
    )


def _asked(
    manifest: Manifest,
    rows: Mapping[str, pd.DataFrame],
    ask: Callable[[pd.DataFrame], tuple[Sequence[Any], Any]],
    most: int,
) -> tuple[Sequence[Any], Any]:
    """Of held-out rows if the model takes them: it may refuse what it has not seen, such as a new category."""
    for what in (HELD_OUT, FITTED_ON):
        if (judged := rows.get(what)) is None:
            continue
        some = judged[manifest.taken_from(judged.columns)].iloc[:: max(1, -(-len(judged) // most))]
        try:
            return ask(some)
        except MlopsError:
            if what == FITTED_ON:
                raise
    return [], None


def _scores(manifest: Manifest, predictions: Sequence[Any], probabilities: Any) -> Any:
    """As the log keeps them: the probability of the positive class of two, of the predicted class of more."""
    import numpy as np

    classes = list(manifest.classes)
    if len(classes) == 2:
        return probabilities[:, classes.index(manifest.positive_class)]
    places = [classes.index(label) for label in predictions]
    return probabilities[np.arange(len(places)), places]


def _as_logged(value: Any) -> Any:
    """Lists and tables of an answer are JSON in the log."""
    plainly = value is None or isinstance(value, str | bool | int | float)
    return value if plainly else json.dumps(value, default=str)
