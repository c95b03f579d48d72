from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_workbench import plugins
from mlops_workbench.base.values import Value, VersionText
from mlops_workbench.interface.spec import verb

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.registry.gates import GateVerdict
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.rollout.records import Live
    from mlops_workbench.session import Session
    from mlops_workbench.track.records import RegisteredVersion

_JOBS = 50
"""the newest, which are looked at"""


@dataclass(frozen=True)
class ModelStatus:
    """One model: its champion, how many versions there are, where it is served, and what that follows."""

    name: str
    champion: int | None
    versions: int
    serving: str | None
    serving_version: VersionText | None
    follows: str | None = None


@dataclass(frozen=True)
class ProjectStatus(Value):
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


@verb(stage="project", effect="reads")
def status(session: Session) -> ProjectStatus:
    """What is in production, what runs, what needs a look."""
    from mlops_workbench.alerts import records as alerts
    from mlops_workbench.jobs import queue
    from mlops_workbench.registry import gates, ledger, promotion
    from mlops_workbench.rollout import following, records

    plugins.require_configured(session.project)
    store, tracking = session.store, session.tracking
    promotion.reconcile_all(store, tracking)
    following.sync_followers(session)
    entries = ledger.entries(store)
    live = records.current(store)
    versions = tracking.versions()
    models = models_served(versions, live, entries)
    jobs = queue.find(store, _JOBS)
    broken = ledger.broken(store, tracking.noted_ledger())
    warnings = [
        *([broken] if broken else []),
        *(warning for model in models for warning in _of_serving(model, _newest(live).get(model.name))),
        *_of_ledger(entries),
        *_of_jobs(jobs),
        *_of_gates(versions, entries, gates.newest(store)),
        *(f"Alert {a.id}: {a.message}" for a in alerts.find(store)),
    ]
    project = session.project
    running = sum(job.state in ("queued", "running") for job in jobs)
    return ProjectStatus(project.name, str(project.root), models, running, tuple(warnings))


def _newest(live: Sequence[Live]) -> dict[str, Live]:
    return {one.model: one for one in reversed(live)}  # they come newest first


def models_served(
    versions: Sequence[RegisteredVersion], live: Sequence[Live], entries: Sequence[LedgerEntry]
) -> tuple[ModelStatus, ...]:
    """Each model's champion, and the newest of what serves it."""
    from mlops_workbench.registry import ledger

    count: dict[str, int] = {}
    for version in versions:
        count[version.name] = count.get(version.name, 0) + 1
    moves: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        moves.setdefault(entry.model, []).append(entry)
    found, served = [], _newest(live)
    for name, number in count.items():
        past = ledger.champions(moves.get(name, []))
        one = served.get(name)
        found.append(
            ModelStatus(
                name,
                past[-1] if past else None,
                number,
                one.url if one else None,
                one.version if one else None,
                one.deployment.follows if one else None,
            )
        )
    return tuple(found)


def _of_serving(model: ModelStatus, live: Live | None) -> list[str]:
    if live is None:
        return []
    if live.state != "ready":
        return [f"The deployment of '{model.name}' at {live.url} is {live.state}."]
    serves_champion = live.deployment.follows in (None, "champion")
    if model.champion and live.version != str(model.champion) and serves_champion:
        return [f"'{model.name}' serves version {live.version}, the champion is version {model.champion}."]
    return []


def _of_jobs(jobs: Sequence[Job]) -> list[str]:
    """The last job of a kind and model, if it failed."""
    last: dict[tuple[str, str], Job] = {}
    for job in jobs:
        if job.ended:
            last.setdefault((job.kind, job.model), job)
    return [
        f"Job {job.id} ({job.kind} {job.model}) failed {str(job.ended)[:16].replace('T', ' ')}: {job.error}"
        for job in last.values()
        if job.state == "failed"
    ]


def _of_gates(
    versions: Sequence[RegisteredVersion],
    entries: Sequence[LedgerEntry],
    reports: Mapping[tuple[str, int], GateVerdict],
) -> list[str]:
    """A champion that a later report did not pass; the newest version, if it has no evaluation or did not pass."""
    from mlops_workbench.registry import ledger

    by_model = ledger.by_model(entries)
    newest = {v.name: v for v in sorted(versions, key=lambda v: v.version)}
    found = []
    for name, version in newest.items():
        moves = by_model.get(name, [])
        champion = (ledger.champions(moves) or [None])[-1]
        if champion is not None and (seen := reports.get((name, champion))) and not seen.passed:
            move = [e for e in moves if e.alias == ledger.CHAMPION and e.new_version == champion][-1]
            if move.evidence.get("gate") != seen.id:
                found.append(
                    f"Version {champion} of '{name}' is champion, but a later gate report ({seen.id}) did not pass."
                )
        if version.version in (champion, *ledger.retired(moves)):
            continue
        verdict, title = (
            reports.get((name, version.version)),
            f"The newest version of '{name}', {version.version},",
        )
        if verdict is not None and not verdict.passed:
            found.append(f"{title} did not pass the gate (report {verdict.id}).")
        elif verdict is None and version.facts.evaluate is None:
            found.append(f"{title} has no held-out rows to be judged by.")
    return found


def _of_ledger(entries: Sequence[LedgerEntry]) -> list[str]:
    """What was changed behind the workbench's back."""
    from mlops_workbench.registry import ledger

    latest = {e.model: e for e in entries if e.alias == ledger.CHAMPION}  # a later decision settles it
    return [
        f"{e.at[:19].replace('T', ' ')}: the champion of '{e.model}' was moved behind the workbench's back."
        for e in latest.values()
        if e.action == "moved outside"
    ] + [
        f"{e.at[:19].replace('T', ' ')}: version {e.new_version} of '{e.model}' was deleted behind the workbench's "
        "back."
        for e in entries
        if e.action == "deleted outside"
    ]
