"""What an installed package may add, by entry points; ours are registered the same way.

| group | what it adds | an object with |
|---|---|---|
| `mlops_workbench.verbs` | a verb in every face | a function marked by `interface.spec.verb` |
| `mlops_workbench.exports` | `export NAME`: files for another tool | `Exporter` |
| `mlops_workbench.engines` | `[jobs] engine`: where jobs run | `JobEngine` |
| `mlops_workbench.channels` | `[alerts] channels`: who hears of an alert | `Channel` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from mlops_workbench.base.errors import InvalidConfig, NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import FILE_NAME, Project
from mlops_workbench.store.context import Context

Group = Literal["verbs", "exports", "engines", "channels"]
OWN: Mapping[str, tuple[str, ...]] = {"engines": ("local",), "channels": ("log",)}
"""what is always installed, so that nothing has to be looked for"""


@dataclass(frozen=True)
class Exported(Value):
    """Files that were written."""

    folder: Path
    files: tuple[Path, ...]
    uses: tuple[str, ...]
    """how each file is used"""

    @property
    def title(self) -> str:
        return f"Written to {self.folder}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["file", "how it is used"], [
            [path.name, use] for path, use in zip(self.files, self.uses, strict=True)
        ]


class Exporter(Protocol):
    def export(self, context: Context, folder: Path) -> Exported:
        """Write the files. Raises `UsageError` where they cannot be written."""
        ...


class JobEngine(Protocol):
    def start(self, context: Context, job: int) -> None:
        """Start the process of a queued job (`python -m mlops_workbench.jobrunner PROJECT JOB`); return at once."""
        ...


@dataclass(frozen=True)
class Message:
    """What a channel sends."""

    title: str
    text: str
    severity: str
    model: str
    at: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Channel(Protocol):
    def send(self, context: Context, message: Message) -> None:
        """Deliver it. Whatever is raised is recorded; the alert stays."""
        ...


@cache
def found(group: Group) -> dict[str, metadata.EntryPoint]:
    """What is installed, by name."""
    return {entry.name: entry for entry in metadata.entry_points(group=f"mlops_workbench.{group}")}


def require_configured(project: Project) -> None:
    """Raises `InvalidConfig` for a job engine or an alert channel in `mlops.toml` that is not installed."""
    policy = project.policy
    named: tuple[tuple[Group, str, tuple[str, ...]], ...] = (
        ("engines", "[jobs] engine", (policy.jobs.engine,)),
        ("channels", "[alerts] channels", policy.alerts.channels),
    )
    for group, key, names in named:
        for name in names:
            if name not in OWN[group] and name not in found(group):
                known = sorted({*OWN[group], *found(group)})
                raise InvalidConfig(
                    f"{project.root / FILE_NAME}: {key} names '{name}', which is not installed.",
                    closest(name, known) + " Others come with plugins.",
                )


def load(group: Group, name: str) -> Any:
    """An instance of an installed class, or a verb's function. Raises `NotFound`."""
    entry = found(group).get(name)
    if entry is None:
        raise NotFound(f"There is no plugin '{name}' for {group}.", closest(name, found(group)))
    loaded = entry.load()
    return loaded() if isinstance(loaded, type) else loaded
