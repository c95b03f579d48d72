"""The standard evaluation of a classifier or regressor: the numbers. `pictures` draws them.

Formulas are scikit-learn's. Figures are of at most `MOST_ROWS` rows, drawn at random with a fixed seed; segments are
of all rows.
"""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.base.values import Value
from mlops_workbench.manifest import Task
from mlops_workbench.track.importance import Importance, permutation_importance
from mlops_workbench.track.metrics import LOWER_IS_BETTER, better, deciding, metric, positive_place

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000
MOST_CURVES = 6
MOST_CLASSES = 12
MOST_SEGMENTS = 20
SEGMENT_ROWS = 30
SEGMENT_VALUES = 50
SEGMENT_COLUMNS = 3
MOST_POINTS = 2000
_POINTS = 200


@dataclass(frozen=True)
class HeldOutAnswers:
    """A fitted model's answers on labelled rows. `ask`: rows → labels or numbers, and probabilities or None.
    `positive`: of two classes the one that counts; None: the last."""

    task: Task
    target: str
    classes: Sequence[Any]
    features: Sequence[str]
    frame: pd.DataFrame
    truth: Any
    predicted: Any
    probabilities: Any
    ask: Callable[[pd.DataFrame], tuple[Any, Any]]
    positive: Any = None

    def measured(
        self, name: str, places: Any = ..., answers: Any = None, chances: Any = None
    ) -> float | None:
        """A metric on the rows at `places` (all of them), of their own answers or of others."""
        if answers is None:
            answers = self.predicted[places]
            chances = None if self.probabilities is None else self.probabilities[places]
        return metric(name, self.truth[places], answers, chances, self.classes, positive=self.positive)


@dataclass(frozen=True)
class Curve:
    """A line of a picture; `figure`: the number that sums it up."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    figure: float | None = None


@dataclass(frozen=True)
class Segment:
    """The metric on the rows where `column` has `value`."""

    column: str
    value: str
    rows: int
    figure: float


@dataclass(frozen=True)
class Evaluation(Value):
    """`rows`: how many of `of` rows the curves are of. `metric`: what importance and segments are measured in."""

    task: Task
    rows: int
    of: int
    metric: str
    overall: float | None
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    calibration: Curve | None = None
    residuals: Curve | None = None
    positive: str = ""
    """of two classes the one that F1, precision, recall and curves are of"""
    importance: Importance = field(default_factory=Importance)
    segments: tuple[Segment, ...] = ()
    picture: bytes = field(default=b"", repr=False)

    def to_dict(self) -> dict[str, Any]:
        found = super().to_dict()
        del found["picture"]
        return found

    @property
    def title(self) -> str:
        shown = f"{self.rows:,} of {self.of:,}" if self.rows < self.of else f"{self.of:,}"
        positive = f"; the positive class is '{self.positive}'" if self.positive else ""
        return f"Evaluation on {shown} held-out rows{positive}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["segment", "", "rows", self.metric], [
            [s.column, s.value, s.rows, s.figure] for s in self.segments
        ]

    def _repr_html_(self) -> str:
        if not self.picture:
            return super()._repr_html_()
        drawn, title = base64.b64encode(self.picture).decode(), html.escape(self.title)
        return (
            f'<div class="mlops-evaluation"><div style="font-size:12px;opacity:.7;margin:6px 0 2px">{title}</div>'
            f'<img alt="{title}" style="max-width:100%;width:1080px;background:transparent" '
            f'src="data:image/png;base64,{drawn}"></div>'
        )


def evaluate(asked: HeldOutAnswers, wanted: str = "") -> Evaluation:
    """All plots of the task. `wanted`: the policy's metric; the task's usual one if it does not fit."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with few rows scikit-learn says what the picture shows
        try:
            name = deciding(wanted, asked.task, asked.classes)
        except MlopsError:
            name = deciding("", asked.task, asked.classes)
        truth: Any = np.asarray(asked.truth)
        predicted: Any = np.asarray(asked.predicted)
        probabilities = None if asked.probabilities is None else np.asarray(asked.probabilities, dtype=float)
        asked = replace(asked, truth=truth, predicted=predicted, probabilities=probabilities)
        if probabilities is None and name == "roc_auc":
            name = "balanced_accuracy"
        of = len(truth)
        some = np.arange(of)
        if of > MOST_ROWS:
            some = np.sort(np.random.default_rng(0).choice(of, MOST_ROWS, replace=False))
        drawn: dict[str, Any] = {}
        if asked.task == "classification":
            labels, matrix = _confusion(truth[some], predicted[some], asked.classes)
            drawn |= {"labels": labels, "confusion": matrix}
            if probabilities is not None:
                drawn |= _curves(truth[some], probabilities[some], asked.classes, asked.positive)
        else:
            some_fewer = some[:: max(1, len(some) // MOST_POINTS)]
            x, y = predicted[some_fewer].astype(float), truth[some_fewer].astype(float)
            drawn["residuals"] = Curve("residuals", tuple(x.tolist()), tuple((y - x).tolist()))
        if len(asked.classes) == 2:
            drawn["positive"] = str(asked.classes[positive_place(asked.classes, asked.positive)])
        sign = -1 if name in LOWER_IS_BETTER else 1

        def measure(places: Any, answers: Any, chances: Any) -> float | None:
            value = asked.measured(name, places, np.asarray(answers), chances)
            return None if value is None else sign * value

        return Evaluation(
            task=asked.task,
            rows=len(some),
            of=of,
            metric=name,
            overall=asked.measured(name),
            importance=permutation_importance(asked.frame, asked.features, asked.ask, measure),
            segments=_segments(asked, name),
            **drawn,
        )


def _confusion(
    truth: Any, predicted: Any, classes: Sequence[Any]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Rows: what is true, columns: what was answered. The rarest of many classes are taken together."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(truth, predicted, labels=list(classes))
    labels = [str(c) for c in classes]
    if len(labels) > MOST_CLASSES:
        order = np.argsort(-matrix.sum(axis=1), kind="stable")
        kept = np.sort(order[: MOST_CLASSES - 1])
        place = np.full(len(labels), MOST_CLASSES - 1)
        place[kept] = np.arange(len(kept))
        small = np.zeros((MOST_CLASSES, MOST_CLASSES), dtype=int)
        np.add.at(small, (place[:, None], place[None, :]), matrix)
        matrix, labels = small, [*(labels[i] for i in kept), "other"]
    return tuple(labels), tuple(tuple(int(v) for v in row) for row in matrix)


def _curves(truth: Any, probabilities: Any, classes: Sequence[Any], positive: Any) -> dict[str, Any]:
    import numpy as np
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    if len(classes) == 2:
        chosen = [positive_place(classes, positive)]
    else:
        counts = np.array([(truth == c).sum() for c in classes])
        chosen = sorted(np.argsort(-counts, kind="stable")[:MOST_CURVES].tolist())
    roc, recall = [], []
    for i in chosen:
        mine, probability = truth == classes[i], probabilities[:, i]
        if not 0 < mine.sum() < len(mine):
            continue
        false, true, _ = roc_curve(mine, probability)
        roc.append(_curve(str(classes[i]), false, true, roc_auc_score(mine, probability)))
        precision, recalled, _ = precision_recall_curve(mine, probability)
        figure = average_precision_score(mine, probability)
        recall.append(_curve(str(classes[i]), recalled[::-1], precision[::-1], figure))
    if len(classes) == 2:
        place = chosen[0]
        name, scores, right = (
            f"probability of {classes[place]}",
            probabilities[:, place],
            truth == classes[place],
        )
    else:  # how sure it was of its own answer
        name, scores = "probability of its answer", probabilities.max(axis=1)
        right = truth == np.asarray(classes)[probabilities.argmax(axis=1)]
    return {
        "roc": tuple(roc),
        "precision_recall": tuple(recall),
        "calibration": _calibration(name, scores, right),
    }


def _curve(name: str, x: Any, y: Any, figure: float) -> Curve:
    import numpy as np

    places = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    return Curve(name, tuple(x[places].tolist()), tuple(y[places].tolist()), float(figure))


def _calibration(name: str, scores: Any, right: Any) -> Curve:
    """Ten parts with equally many rows: the mean probability, and how often it came. `figure`: the mean gap (ECE)."""
    import numpy as np

    order = np.argsort(scores, kind="stable")
    parts = [p for p in np.array_split(order, 10) if len(p)]
    x = np.array([scores[p].mean() for p in parts])
    y = np.array([right[p].mean() for p in parts])
    gap = float(np.average(np.abs(x - y), weights=[len(p) for p in parts]))
    return Curve(name, tuple(x.tolist()), tuple(y.tolist()), gap)


def _segments(asked: HeldOutAnswers, name: str) -> tuple[Segment, ...]:
    """By the text, category and boolean columns with the fewest values; what has few rows says nothing."""
    import pandas as pd

    values = {}
    for column in asked.frame.columns:
        series = asked.frame[column]
        wordy = series.dtype == object or isinstance(series.dtype, pd.CategoricalDtype | pd.StringDtype)
        if column == asked.target or not (wordy or pd.api.types.is_bool_dtype(series.dtype)):
            continue
        codes, levels = pd.factorize(series.astype(str).where(series.notna(), "missing"))
        if 2 <= len(levels) <= SEGMENT_VALUES:
            values[column] = codes, levels
    found = []
    for column in sorted(values, key=lambda c: len(values[c][1]))[:SEGMENT_COLUMNS]:
        codes, levels = values[column]
        for code, level in enumerate(levels):
            mine = codes == code
            if (rows := int(mine.sum())) < SEGMENT_ROWS:
                continue
            figure = asked.measured(name, mine)
            if figure is not None:
                found.append(Segment(str(column), str(level), rows, figure))
    found = sorted(found, key=lambda s: -s.rows)[:MOST_SEGMENTS]
    return tuple(sorted(found, key=lambda s: (s.column, better(name, s.figure, 0.0))))
