"""What the tracking store holds, as values: runs, registered versions, the project's experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlops_workbench.base.values import Value
from mlops_workbench.manifest import Servable

PREFIX = "mlops."
"""of the workbench's own tags in MLflow"""

SOURCE = "source.py"
ENVIRONMENT = "requirements.txt"
NOTEBOOK = "notebook.ipynb"
CHANGES = "changes.diff"
"""artifacts of a run: the code that ran, all that was installed, the notebook as executed so far (of a cell), what
differed from the commit (if anything did)"""
CHOSEN = "params.chosen"
"""tag: names of the parameters that are not the default of their class, as JSON"""


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

    @property
    def held_out(self) -> frozenset[str]:
        """The metrics that were measured on held-out rows."""
        return frozenset(filter(None, self.tags.get("held_out", "").split(",")))

    @property
    def chosen(self) -> dict[str, str]:
        """The parameters that somebody chose; all, where it is not known which are defaults."""
        names = json.loads(self.tags.get(CHOSEN) or "null")
        return {k: v for k, v in self.params.items() if names is None or k in names}

    @property
    def judged_on(self) -> RowsMark | None:
        """The held-out rows that its metrics are of."""
        return RowsMark.of(self.tags, "evaluate")


TRAINING = "training_"
"""how MLflow's autologging begins the names of metrics on the rows that a model was fitted on"""


def is_training(metric: str) -> bool:
    return metric.startswith(TRAINING)


def metrics_in_order(metrics: Mapping[str, float], tags: Mapping[str, str]) -> dict[str, float]:
    """Those on held-out rows first, those on the rows fitted on last."""
    held_out = set(tags.get("held_out", "").split(","))
    return dict(sorted(metrics.items(), key=lambda item: (item[0] not in held_out, is_training(item[0]))))


@dataclass(frozen=True, slots=True)
class RowsMark:
    """Which rows: a name and the SHA-256 of the snapshot that keeps them."""

    name: str
    sha256: str
    rows: int
    columns: int

    @classmethod
    def of(cls, tags: Mapping[str, str], kind: str) -> RowsMark | None:
        """From tags such as `data.sha256`; None where none are named."""
        sha256 = tags.get(f"{kind}.sha256")
        if not sha256:
            return None
        rows, columns = (int(tags.get(f"{kind}.{key}") or 0) for key in ("rows", "columns"))
        return cls(tags.get(f"{kind}.name", ""), sha256, rows, columns)


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What was recorded with a version when it was registered.

    `digest`, `plan`: SHA-256 of the model's files and of its fast path; `path`: which of the two answers, as a
    sentence; `data`, `evaluate`: rows it was fitted on and is judged by; `metrics`: the gate's, else the run's;
    `variable`: its name in the notebook.
    """

    digest: str
    plan: str
    path: str
    task: str
    target: str | None
    variable: str
    registered_by: str | None
    metrics: Mapping[str, float]
    data: RowsMark | None
    evaluate: RowsMark | None
    content: str = ""
    """hash of the fitted model: two versions that are the same model have one; empty where it is not known"""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in MLflow's registry; `tags` are the workbench's own, without their prefix: see `facts`."""

    name: str
    version: int
    source: str
    run_id: str
    created: datetime
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def servable(self) -> Servable:
        facts = self.facts
        return Servable(self.name, str(self.version), facts.digest, facts.plan or None)

    @property
    def facts(self) -> VersionFacts:
        tags = self.tags
        return VersionFacts(
            digest=tags.get("digest", ""),
            plan=tags.get("fast.sha256", ""),
            path=tags.get("path", ""),
            task=tags.get("task", "other"),
            target=tags.get("target") or None,
            content=tags.get("content", ""),
            variable=tags.get("variable", ""),
            registered_by=tags.get("registered by"),
            metrics=json.loads(tags.get("metrics", "{}")),
            data=RowsMark.of(tags, "data"),
            evaluate=RowsMark.of(tags, "evaluate"),
        )


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


RENAMED = {"git.untold": "git.omitted_files"}
"""tags of older runs, read under today's names"""


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    own = {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}
    return {RENAMED.get(key, key): value for key, value in own.items()}


def local_path(location: str) -> Path | None:
    """A location on this machine; None for one elsewhere."""
    parsed = urlparse(location)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None
