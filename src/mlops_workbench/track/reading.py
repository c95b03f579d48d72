"""What can be asked of a tracking store. `sql_reader` and `client` both answer it; a test compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mlops_workbench.track.queries import NameKind
from mlops_workbench.track.ranking import RunTest
from mlops_workbench.track.records import Experiment, RegisteredVersion, Run


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Runs of an experiment that fulfil all tests, sorted by what `kind` and `key` name.

    The newest comes first among equals; those that have no such value come last.
    """

    experiment: str
    tests: Sequence[RunTest]
    kind: NameKind
    key: str
    ascending: bool
    limit: int


class RunReader(Protocol):
    """Experiments and runs. Nothing is made by asking: what is not there is None or empty."""

    def experiment(self, name: str) -> Experiment | None: ...

    def run(self, run_id: str) -> Run | None: ...

    def newest_run(self, experiment: str, name: str) -> Run | None:
        """The newest run of that name."""
        ...

    def find_runs(self, query: RunQuery) -> list[Run]: ...

    def running(self, experiment: str) -> list[Run]:
        """Runs that have not ended."""
        ...

    def has(self, experiment: str, kind: NameKind, key: str) -> bool:
        """Whether a run has a metric, parameter or tag of that name."""
        ...

    def artifact_location(self, run_id: str) -> str | None: ...


class RegistryReader(Protocol):
    """Registered models, without the prompts that MLflow keeps in the same tables."""

    def model_names(self) -> list[str]: ...

    def versions(self, name: str | None = None) -> list[RegisteredVersion]:
        """Versions of one model or of all, sorted by model, newest first."""
        ...

    def version(self, name: str, number: int) -> RegisteredVersion | None: ...

    def version_numbers(self) -> Mapping[str, set[int]]:
        """The numbers of all versions, by model."""
        ...

    def aliases(self) -> Mapping[str, Mapping[str, int]]:
        """Every alias and the version it points at, by model."""
        ...

    def model_location(self, model_id: str) -> str | None:
        """Where the files of a logged model are."""
        ...


class TrackingReader(RunReader, RegistryReader, Protocol):
    """A whole tracking store."""
