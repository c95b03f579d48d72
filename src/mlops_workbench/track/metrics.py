"""Metrics of a classifier or regressor on labelled rows, and which of them decides. Formulas are scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_workbench.base.errors import InvalidData, UsageError, closest
from mlops_workbench.manifest import Task

LOWER_IS_BETTER = {"rmse", "mae", "log_loss"}
NAMES: dict[Task, tuple[str, ...]] = {
    "classification": ("roc_auc", "accuracy", "balanced_accuracy", "f1", "precision", "recall", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
    "other": (),
}


def evaluate(
    truth: Sequence[Any],
    predicted: Sequence[Any],
    probabilities: Any,
    classes: Sequence[Any],
    task: Task,
    positive: Any = None,
) -> dict[str, float]:
    """All metrics of the task that can be computed.

    `probabilities`: rows × classes in the order of `classes`, or None. ROC AUC and log loss need it. `positive`: see
    `metric`.
    """
    if task == "classification":
        place = positive_place(classes, positive)
        truth, predicted, classes = _coded(truth, predicted, classes)
        positive = classes[place] if len(classes) == 2 else None
    return {
        name: value
        for name in NAMES[task]
        if (value := metric(name, truth, predicted, probabilities, classes, positive=positive)) is not None
    }


def _coded(truth: Sequence[Any], predicted: Sequence[Any], classes: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Texts as numbers, in the classes' order: scikit-learn compares and sorts them several times for each metric."""
    import numpy as np

    code = {name: i for i, name in enumerate(classes)}
    if not all(isinstance(name, str) for name in classes) or not set(truth) | set(predicted) <= set(code):
        return truth, predicted, classes
    return np.array([code[v] for v in truth]), np.array([code[v] for v in predicted]), range(len(code))


def positive_place(classes: Sequence[Any], positive: Any) -> int:
    """Which of two classes is the positive one: the last unless another is named. 0 for fewer classes."""
    return min(1, len(classes) - 1) if positive is None else list(classes).index(positive)


def positive_class(classes: Sequence[Any], wanted: str | None, usual: str = "") -> Any:
    """The class of two that a text names (`1`, `Yes`): the wanted one, else the project's usual one if the model has
    it; None for the last. Raises `UsageError` for a wanted one that is none of two."""
    name = usual if wanted is None else wanted
    found = [one for one in classes if name == str(one) or _same_number(name, one)]
    if found and len(classes) == 2:
        return found[0]
    if wanted is None:  # other models of the project may have other classes
        return None
    if len(classes) > 2:
        raise UsageError(
            f"A positive class is one of two; the model has {len(classes)} classes.",
            "Leave it out: with more classes a metric is the mean over all of them.",
        )
    raise UsageError(
        f"The positive class '{wanted}' is none of the model's: {', '.join(map(str, classes)) or 'it has none'}.",
        closest(wanted, map(str, classes)),
    )


def _same_number(wanted: str, one: Any) -> bool:
    try:
        return not isinstance(one, str) and float(wanted) == float(one)
    except (TypeError, ValueError):
        return False


def metric(
    name: str,
    truth: Sequence[Any],
    predicted: Sequence[Any],
    probabilities: Any,
    classes: Sequence[Any],
    weights: Any = None,
    positive: Any = None,
) -> float | None:
    """One metric; None where it is not defined (one class only, no probabilities). `weights`: one a row.

    `positive`: of two classes the one that F1, precision and recall are of; None: the last. Of more classes they are
    the unweighted mean.
    """
    import numpy as np
    from sklearn import metrics as sk

    y, p = np.asarray(truth), np.asarray(predicted)
    if name == "roc_auc":
        if (
            probabilities is None
            or len(classes) != 2
            or len(np.unique(y if weights is None else y[weights > 0])) < 2
        ):
            return None
        place = positive_place(classes, positive)
        scores = np.asarray(probabilities)[:, place]
        return float(sk.roc_auc_score(y == classes[place], scores, sample_weight=weights))
    if name == "log_loss":
        if probabilities is None or len(classes) < 2:
            return None
        return float(sk.log_loss(y, np.asarray(probabilities), labels=list(classes), sample_weight=weights))
    if name in ("f1", "precision", "recall"):
        score = getattr(sk, f"{name}_score")
        if len(classes) == 2:
            one = classes[positive_place(classes, positive)]
            return float(score(y == one, p == one, sample_weight=weights, zero_division=0.0))
        return float(score(y, p, average="macro", sample_weight=weights, zero_division=0.0))
    if name == "balanced_accuracy":
        recalls = [
            np.average(p[y == c] == c, weights=None if weights is None else weights[y == c])
            for c in np.unique(y)
            if weights is None or weights[y == c].sum() > 0
        ]
        return float(np.mean(recalls))
    functions = {
        "accuracy": sk.accuracy_score,
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
    }
    return float(functions[name](y, p, sample_weight=weights))


def deciding(name: str, task: Task, classes: Sequence[Any], *, probabilities: bool = True) -> str:
    """The metric that decides: the policy's, or the task's usual one. Raises `UsageError` if it does not fit.

    `probabilities`: whether the model gives probabilities, which ROC AUC is made of.
    """
    if not name:
        if task == "classification":
            return "roc_auc" if len(classes) == 2 and probabilities else "balanced_accuracy"
        return "rmse"
    if name not in NAMES[task]:
        raise UsageError(
            f"The gate's metric '{name}' is not one of a {task} model.", closest(name, NAMES[task])
        )
    return name


def better(name: str, value: float, than: float) -> float:
    """How much better `value` is than the other, in the metric's unit; negative: worse."""
    return than - value if name in LOWER_IS_BETTER else value - than


def labels_of(frame: Any, target: str, classes: Sequence[Any], task: Task) -> Any:
    """The label column, checked: there, without gaps; of classes that a classifier knows, finite for a regressor.

    Raises `InvalidData`.
    """
    if target not in frame.columns:
        raise InvalidData(f"The rows have no label column '{target}'.", closest(target, frame.columns))
    labels = frame[target]
    if labels.isna().any():
        raise InvalidData(
            f"The label column '{target}' has {int(labels.isna().sum())} missing values.", "Drop them."
        )
    unknown = set(labels.unique()) - set(classes) if classes else set()
    if unknown:
        raise InvalidData(
            f"The label column '{target}' has values that the model does not know: {sorted(map(str, unknown))[:3]}.",
            "Drop these rows, or name another label column.",
        )
    if task == "regression" and not _finite(labels):
        raise InvalidData(
            f"The label column '{target}' must hold finite numbers. Got {labels.dtype} instead.",
            "Name another label column, or fix it.",
        )
    return labels.to_numpy()


def _finite(labels: Any) -> bool:
    import numpy as np
    import pandas as pd

    return pd.api.types.is_numeric_dtype(labels.dtype) and bool(
        np.isfinite(labels.to_numpy(dtype=float)).all()
    )
