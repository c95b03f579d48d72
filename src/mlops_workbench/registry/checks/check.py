"""What a check is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.data.rows import require_kinds, to_rows
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.proof import Answers
from mlops_workbench.registry.versions import Predictor
from mlops_workbench.track.metrics import LOWER_IS_BETTER, evaluate, labels_of, metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Contestant:
    """A version that can be asked: its manifest, and its registered files loaded by the serving runtime."""

    version: int
    manifest: Manifest
    served: Predictor
    fitted_on: Callable[[], pd.DataFrame | None] = lambda: None
    """the rows it was fitted on; None: they are gone"""
    itself: ModelItself | None = None
    """what is asked for many rows; None: `served` is"""


@dataclass(frozen=True)
class ModelItself:
    """The registered model without JSON around it. `frame`: rows as JSON carries them → as the model reads them;
    `ask`: such rows → answers."""

    frame: Callable[[Sequence[Mapping[str, Any]]], pd.DataFrame]
    ask: Callable[[pd.DataFrame], Answers]


@dataclass(frozen=True)
class ContestantAnswers:
    """A contestant's answers on the labelled rows."""

    truth: Any
    labels: Sequence[Any]
    probabilities: Any
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What requests to a runtime cost: milliseconds as the client sees them, and megabytes (10⁶ bytes)."""

    requests: int
    p50_ms: float
    p99_ms: float
    memory_mb: float


@dataclass(frozen=True)
class GateContext:
    """What the gate gets besides versions and rows. What is None was not given."""

    root: Path = Path()
    """the project, for the files that the policy names"""
    rows_from: str = "the rows that were given"
    """where a person finds the rows that are judged"""
    first_by: str = ""
    """who chose that this is a first version, which needs no champion to be compared with"""
    measure: Callable[[int], Measured] | None = None
    """starts the serving runtime in a process of its own, and asks it requests of so many rows"""
    image: str = ""
    """tag of the version's image, if one was built"""
    ask_image: Predictor | None = None
    """starts a container of it, asks it, and removes it"""


@dataclass(frozen=True)
class Case:
    """A version before the gate, its answers on the labelled rows, and who it is compared with."""

    candidate: Contestant
    champion: Contestant | None
    frame: pd.DataFrame
    metric: str
    mine: ContestantAnswers
    theirs: ContestantAnswers | str | None
    """the champion's answers; a text: why it has none"""
    policy: GatePolicy
    context: GateContext

    @property
    def manifest(self) -> Manifest:
        return self.candidate.manifest

    def measured(self, name: str, at: Any) -> float | None:
        """A metric of the candidate on the rows at `at` (places, or true and false); None where it is not defined."""
        import numpy as np

        mine, manifest = self.mine, self.manifest
        chances = None if mine.probabilities is None else np.asarray(mine.probabilities)[at]
        labels = np.asarray(mine.labels)[at]
        return metric(name, mine.truth[at], labels, chances, manifest.classes, positive=manifest.positive)


def answer(contestant: Contestant, frame: pd.DataFrame) -> ContestantAnswers:
    """Ask the runtime for every row and measure. Raises `InvalidData`."""
    manifest = contestant.manifest
    truth = labels_of(frame, str(manifest.target), manifest.classes, manifest.task)
    read = frame[manifest.taken_from(frame.columns)]
    require_kinds(read, manifest.inputs)
    answers = contestant.served(to_rows(read, manifest.inputs))
    measured = evaluate(
        truth, answers.values, answers.probabilities, manifest.classes, manifest.task, manifest.positive
    )
    return ContestantAnswers(truth, answers.values, answers.probabilities, measured)


def limit_of(name: str, value: float, strict: bool = False) -> str:
    """`≥ 0.6000` for a score, `≤ 0.6000` for an error; strictly, `>` and `<`."""
    sign = ("<" if strict else "≤") if name in LOWER_IS_BETTER else (">" if strict else "≥")
    return f"{sign} {value:.4f}"
