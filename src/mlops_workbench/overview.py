"""`status` and `doctor`: what is in production and whether the set-up can do its work."""

from __future__ import annotations

import html
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.base.values import Html, Value, html_table
from mlops_workbench.config import project as projects
from mlops_workbench.config.project import Project

if TYPE_CHECKING:
    from mlops_workbench.alerts.records import Alert
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.registry.ledger import Entry
    from mlops_workbench.rollout.records import Live
    from mlops_workbench.track.tracking import Stored


@dataclass(frozen=True)
class ModelStatus:
    """One model: its champion, how many versions there are, where it is served, and what that follows."""

    name: str
    champion: int | None
    versions: int
    serving: str | None
    serving_version: str | None
    follows: str | None = None


@dataclass(frozen=True)
class Status(Value):
    """What is in production, and what needs a look."""

    project: str
    root: str
    models: tuple[ModelStatus, ...]
    running_jobs: int
    warnings: tuple[str, ...]

    @property
    def title(self) -> str:
        running = (
            f", {self.running_jobs} running job{'s' * (self.running_jobs != 1)}" if self.running_jobs else ""
        )
        return f"Project '{self.project}' in {self.root}{running}"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["model", "champion", "versions", "served at", "follows"], [
            [m.name, m.champion, m.versions, m.serving, m.follows] for m in self.models
        ]

    def text(self) -> str:
        return "\n".join([super().text(), *(f"! {w}" for w in self.warnings)])

    def _repr_html_(self) -> str:
        notes = "".join(f'<div style="color:#b07d00">! {html.escape(w)}</div>' for w in self.warnings)
        return super()._repr_html_() + notes


def status(
    project: Project,
    versions: Sequence[Stored],
    deployments: Sequence[Live],
    jobs: Sequence[Job],
    entries: Sequence[Entry],
    broken: str | None,
    alerts: Sequence[Alert],
) -> Status:
    """Put the records together."""
    from mlops_workbench.registry import ledger

    by_model = {d.model: d for d in reversed(deployments)}  # they come newest first; the newest counts
    models, warnings = [], [broken] if broken else []
    for name in dict.fromkeys(v.name for v in versions):
        past = ledger.champions([e for e in entries if e.model == name])
        served = by_model.get(name)
        champion = past[-1] if past else None
        models.append(
            ModelStatus(
                name,
                champion,
                sum(v.name == name for v in versions),
                served.url if served else None,
                served.version if served else None,
                served.deployment.follows if served else None,
            )
        )
        if served and served.state != "ready":
            warnings.append(f"The deployment of '{name}' at {served.url} is {served.state}.")
        elif served and champion and served.version != str(champion) and by_champion(served):
            warnings.append(f"'{name}' serves version {served.version}, the champion is version {champion}.")
    latest = {e.model: e for e in entries if e.alias == ledger.CHAMPION}  # a later decision settles it
    warnings += [
        f"{e.at[:19].replace('T', ' ')}: the champion of '{e.model}' was moved behind the workbench's back."
        for e in latest.values()
        if e.action == "moved outside"
    ]
    warnings += [
        f"{e.at[:19].replace('T', ' ')}: version {e.new_version} of '{e.model}' was deleted behind the workbench's "
        "back."
        for e in entries
        if e.action == "deleted outside"
    ]
    warnings += [f"Alert {a.id}: {a.message}" for a in alerts]
    return Status(
        project.name,
        str(project.root),
        tuple(models),
        sum(j.state in ("queued", "running") for j in jobs),
        tuple(warnings),
    )


def by_champion(served: Live) -> bool:
    """Whether it is meant to serve the champion."""
    return served.deployment.follows in (None, "champion")


@dataclass(frozen=True)
class Finding:
    """One checked part of the set-up. `level`: ok, note (optional part) or problem."""

    what: str
    level: str
    found: str
    next_step: str = ""


@dataclass(frozen=True)
class Doctor(Value):
    """All findings; `healthy` when none is a problem."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(f.level != "problem" for f in self.findings)

    @property
    def title(self) -> str:
        return "The set-up is in order." if self.healthy else "The set-up needs a hand."

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"healthy": self.healthy}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        mark = {"ok": "✓", "note": "–", "problem": "✗"}
        return ["", "part", "found", "next step"], [
            [mark[f.level], f.what, f.found, f.next_step or ""] for f in self.findings
        ]

    def _repr_html_(self) -> str:
        heads, rows = self.table()
        colour = {"✓": "#2e8540", "–": "#b07d00", "✗": "#d1383d"}
        marked = [[Html(f'<b style="color:{colour[r[0]]}">{r[0]}</b>'), *r[1:]] for r in rows]
        return html_table(heads, marked, title=self.title)


def doctor(folder: Path) -> Doctor:
    """Look at each part; a broken one never hides the others."""
    findings = [
        Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}"),
        *(_package(name) for name in ("mlops-workbench", "mlflow", "scikit-learn", "jupyterlab")),
    ]
    try:
        project = projects.find(folder)
    except MlopsError as problem:
        return Doctor((*findings, Finding("project", "problem", problem.message, problem.next_step)))
    findings.append(Finding("project", "ok", f"'{project.name}' in {project.root}"))
    findings += [
        _editor_schema(project),
        _try("workbench store", lambda: _store(project)),
        _try("tracking store", lambda: _tracking(project)),
        _try("Docker engine", lambda: _docker(project), level="note"),
    ]
    return Doctor(tuple(findings))


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "problem", "not installed", f"Install {name}.")


def _editor_schema(project: Project) -> Finding:
    if projects.has_schema(project.root):
        return Finding("schema for editors", "ok", "mlops.schema.json")
    return Finding(
        "schema for editors",
        "note",
        "mlops.schema.json is not this release's",
        f"Write it: init {project.name}.",
    )


def _try(what: str, look: Callable[[], Finding], level: str = "problem") -> Finding:
    try:
        return look()
    except MlopsError as problem:
        return Finding(what, level, problem.message, problem.next_step)
    except Exception as problem:  # a driver's own error must not end the examination
        return Finding(what, level, f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}")


def _store(project: Project) -> Finding:
    from mlops_workbench.registry import ledger
    from mlops_workbench.store.engine import Store

    store = Store(project.store_url)
    try:
        entries, broken = ledger.entries(store), ledger.broken(store)
        dialect = store.engine.dialect.name
    finally:
        store.close()
    if broken:
        return Finding("workbench store", "problem", broken, "Compare with a backup of the store.")
    return Finding("workbench store", "ok", f"{dialect}, {len(entries)} ledger entries, chain holds")


def _tracking(project: Project) -> Finding:
    from mlops_workbench.track.tracking import Tracking

    tracking = Tracking(project)
    return Finding(
        "tracking store", "ok", f"experiment {tracking.experiment_id}, {len(tracking.model_names())} models"
    )


def _docker(project: Project) -> Finding:
    from mlops_workbench.package import docker_client

    with docker_client.connect() as engine:
        here = engine.image(project.base_image) is not None
    where = "is here" if here else "is pulled by the first build"
    return Finding("Docker engine", "ok", f"answers; base image {project.base_image} {where}")
