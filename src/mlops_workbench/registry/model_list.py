"""Versions as people see them, described from the registry and the records about them with a few queries for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_workbench.base.values import Value
from mlops_workbench.config.approval import ApprovalPolicy
from mlops_workbench.registry import approvals, gates, ledger
from mlops_workbench.registry.approvals import Approval
from mlops_workbench.registry.ledger import LedgerEntry
from mlops_workbench.store.context import Context
from mlops_workbench.track.records import RegisteredVersion


@dataclass(frozen=True)
class Version(Value):
    """One registered version. `state`: candidate, approved, champion, former champion or retired; `gate`: passed,
    failed or None."""

    name: str
    version: int
    aliases: tuple[str, ...]
    state: str
    created: datetime
    run_id: str
    task: str
    target: str | None
    metrics: Mapping[str, float]
    digest: str
    gate: str | None = None
    image: str | None = None
    path: str = ""
    """what answers when it is served, and why: `fast path: …` or `original path: …`"""
    note: str = ""

    @property
    def title(self) -> str:
        return f"Version {self.version} of '{self.name}' ({self.state})"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        rows: list[list[Any]] = [["task", self.task], ["label", self.target], ["sha256", self.digest[:12]]]
        rows += [["answers by", self.path]] if self.path else []
        rows += [[name, value] for name, value in self.metrics.items()]
        return ["", ""], rows + ([["note", self.note]] if self.note else [])


@dataclass(frozen=True)
class ModelList(Value):
    """Versions by model, newest first."""

    models: tuple[Version, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        names = list(dict.fromkeys(n for v in self.models for n in v.metrics))[:4]
        return ["model", "version", "state", "gate", "created", *names, "path", "image"], [
            [
                *(v.name, v.version, v.state, v.gate, v.created, *(v.metrics.get(n) for n in names)),
                *(v.path.partition(" ")[0] or None, v.image),
            ]
            for v in self.models
        ]


def describe(
    context: Context, found: Sequence[RegisteredVersion], *, images: Mapping[tuple[str, int], str]
) -> list[Version]:
    """Versions with their state, newest gate verdict and image. `images`: tags by model and version."""
    store, policy = context.store, context.project.policy
    entries = ledger.by_model(ledger.entries(store))
    reports = gates.newest(store)
    past = {name: _Past.of(entries.get(name, ())) for name in {stored.name for stored in found}}
    described, now = [], store.clock.now()
    for stored in found:
        key, facts = (stored.name, stored.version), stored.facts
        before, seen = past[stored.name], reports.get(key)
        given = approvals.standing(
            before.approvals.get(stored.version, ()), stored, seen, policy.approval, policy.governance, now
        )
        described.append(
            Version(
                name=stored.name,
                version=stored.version,
                aliases=stored.aliases,
                state=_state(stored, before, given, policy.approval),
                created=stored.created,
                run_id=stored.run_id,
                task=facts.task,
                target=facts.target,
                metrics=facts.metrics,
                digest=facts.digest,
                gate=None if seen is None else "passed" if seen.passed else "failed",
                image=images.get(key),
                path=facts.path,
            )
        )
    return described


@dataclass(frozen=True)
class _Past:
    """What a model's ledger says, by version."""

    retired: set[int]
    champions: set[int | None]
    approvals: Mapping[int | None, Sequence[LedgerEntry]]

    @classmethod
    def of(cls, entries: Sequence[LedgerEntry]) -> _Past:
        approved: dict[int | None, list[LedgerEntry]] = {}
        for entry in entries:
            if entry.action == "approve":
                approved.setdefault(entry.new_version, []).append(entry)
        champions = {entry.new_version for entry in entries if entry.alias == ledger.CHAMPION}
        return cls(ledger.retired(entries), champions, approved)


def _state(stored: RegisteredVersion, past: _Past, given: Sequence[Approval], policy: ApprovalPolicy) -> str:
    if ledger.CHAMPION in stored.aliases:
        return "champion"
    if stored.version in past.retired:
        return "retired"
    if sum(a.valid for a in given) >= max(policy.required, 1):
        return "approved"
    return "former champion" if stored.version in past.champions else "candidate"
