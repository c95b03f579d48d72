from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_workbench import plugins
from mlops_workbench.base.errors import MlopsError
from mlops_workbench.base.values import Html, Value, html_table
from mlops_workbench.config import project as projects
from mlops_workbench.interface.spec import verb

if TYPE_CHECKING:
    from mlops_workbench.config.project import Project
    from mlops_workbench.session import Session


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

    @property
    def exit_code(self) -> int:
        return 0 if self.healthy else 1

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


@verb(stage="project", effect="reads")
def doctor(session: Session) -> Doctor:
    """Check the set-up: stores, Docker, packages, and what to do about each.

    A broken part never hides the others.
    """
    findings = [
        Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}"),
        *(_package(name) for name in ("mlops-workbench", "mlflow", "scikit-learn", "jupyterlab")),
    ]
    try:
        project = projects.find(session.home)
    except MlopsError as problem:
        return Doctor((*findings, Finding("project", "problem", problem.message, problem.next_step)))
    findings.append(Finding("project", "ok", f"'{project.name}' in {project.root}"))
    findings += [
        _editor_schema(project),
        _try("plugins", lambda: _plugins(project)),
        _rights(project),
        _try("databases", lambda: _whole(project)),
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
        f"Write it: `init {project.name}`.",
    )


def _try(what: str, look: Callable[[], Finding], level: str = "problem") -> Finding:
    try:
        return look()
    except MlopsError as problem:
        return Finding(what, level, problem.message, problem.next_step)
    except Exception as problem:  # a driver's own error must not end the examination
        return Finding(what, level, f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}")


def _plugins(project: Project) -> Finding:
    plugins.require_configured(project)
    policy = project.policy
    return Finding(
        "plugins", "ok", f"jobs: {policy.jobs.engine}; alerts: {', '.join(policy.alerts.channels) or 'none'}"
    )


def _rights(project: Project) -> Finding:
    mode = project.folder().stat().st_mode & 0o777
    if mode & 0o077 == 0:
        return Finding("rights", "ok", ".mlops is readable by its owner only")
    return Finding(
        "rights",
        "note",
        f".mlops has the mode {mode:o}: others may read it",
        f"chmod 700 {project.state}, if not meant.",
    )


def _whole(project: Project) -> Finding:
    from mlops_workbench.store.damage import look

    if (problem := look(project)) is not None:
        raise problem
    return Finding("databases", "ok", "no damage in SQLite's files")


def _store(project: Project) -> Finding:
    from mlops_workbench.registry import ledger
    from mlops_workbench.store.engine import Store

    store = Store(project.store_url)
    try:
        entries, broken = ledger.entries(store), ledger.broken(store)
        dialect = store.dialect
    finally:
        store.close()
    if broken:
        return Finding("workbench store", "problem", broken, "Compare with a backup of the store.")
    return Finding("workbench store", "ok", f"{dialect}, {len(entries)} ledger entries, chain holds")


def _tracking(project: Project) -> Finding:
    from mlops_workbench.track.tracking import Tracking

    tracking = Tracking(project)
    experiment = tracking.experiment
    runs = f"experiment {experiment.id}" if experiment else "no run yet"
    return Finding("tracking store", "ok", f"{runs}, {len(tracking.model_names())} models")


def _docker(project: Project) -> Finding:
    from mlops_workbench.package import docker_client

    with docker_client.connect() as engine:
        here = engine.image(project.base_image) is not None
    where = "is here" if here else "is pulled by the first build"
    return Finding("Docker engine", "ok", f"answers; base image {project.base_image} {where}")
