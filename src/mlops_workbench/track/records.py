"""What the tracking store holds, as values: runs, registered versions, the project's experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlops_workbench.base.values import Value

PREFIX = "mlops."
"""of the workbench's own tags in MLflow"""

SOURCE = "source.py"
ENVIRONMENT = "requirements.txt"
NOTEBOOK = "notebook.ipynb"
CHANGES = "changes.diff"
"""artifacts of a run: the code that ran, all that was installed, the notebook as executed so far (of a cell), what
differed from the commit (if anything did)"""


@dataclass(frozen=True)
class Run(Value):
    """One tracked run. Times are UTC; `tags` are the workbench's own, without their prefix."""

    id: str
    name: str
    status: str
    started: datetime
    seconds: float | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in MLflow's registry; `tags` are the workbench's own, without their prefix."""

    name: str
    version: int
    source: str
    run_id: str
    created: datetime
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Experiment:
    """MLflow's experiment that holds the project's runs; `tags` are the workbench's own, without their prefix."""

    id: str
    artifact_location: str
    tags: Mapping[str, str]


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def seconds_between(start: int, end: int | None) -> float | None:
    return None if end is None else (end - start) / 1000


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}


def local_path(location: str) -> Path | None:
    """A location on this machine; None for one elsewhere."""
    parsed = urlparse(location)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None
