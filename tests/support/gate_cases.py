"""Versions before the gate with answers made by hand, for the checks that only look at answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.manifest import Manifest, Task
from mlops_workbench.registry.checks.check import Case, Contestant, ContestantAnswers, GateContext
from mlops_workbench.track import metrics


def contestant(version: int, task: Task = "classification", classes: tuple[Any, ...] = (0, 1)) -> Contestant:
    def asked(_rows: Any) -> Any:
        raise AssertionError("nothing is asked here")

    manifest = Manifest("m", task, (), "", "skops", (), "", "", (), target="y", classes=classes)
    return Contestant(version, manifest, asked)


def judged(
    truth: Any,
    labels: Any,
    task: Task = "classification",
    classes: tuple[Any, ...] = (0, 1),
    scores: Any = None,
) -> ContestantAnswers:
    truth, labels = np.asarray(truth), np.asarray(labels)
    probabilities = None if scores is None else np.column_stack([1 - np.asarray(scores), scores])
    measured = metrics.evaluate(truth, labels, probabilities, classes, task)
    return ContestantAnswers(truth, labels, probabilities, measured)


def case(
    frame: pd.DataFrame,
    truth: Any,
    labels: Any,
    *,
    policy: GatePolicy,
    metric: str = "accuracy",
    task: Task = "classification",
    classes: tuple[Any, ...] = (0, 1),
    scores: Any = None,
) -> Case:
    classes = classes if task == "classification" else ()
    return Case(
        candidate=contestant(2, task, classes),
        champion=None,
        frame=frame,
        metric=metric,
        mine=judged(truth, labels, task, classes, scores),
        theirs=None,
        policy=policy,
        context=GateContext(rows_from="'test', in a file"),
    )
