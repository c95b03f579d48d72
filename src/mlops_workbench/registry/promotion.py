"""Moving an alias: MLflow's pointer and the ledger's entry, and finding what was moved behind the workbench's back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from mlops_workbench.base.errors import Conflict, MlopsError, UsageError
from mlops_workbench.config.policy import Policy
from mlops_workbench.registry import approvals, gates, intents, ledger
from mlops_workbench.registry.intents import anchor, intent, repair, under_way
from mlops_workbench.registry.ledger import CHAMPION, LedgerEntry, NewEntry
from mlops_workbench.store.engine import Store
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking

AliasPlan = Callable[[int | None], tuple[int | None, Mapping[str, Any]]]
"""From the version the alias is on to the new one (None: the alias is taken away) and the evidence; raises when
that must not be."""


class Followers(Protocol):
    """What follows an alias, while that is moved."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What the ledger should say of it."""
        ...

    def pause(self) -> None:
        """Requests wait from now on: the alias moves."""
        ...


CutOver = Callable[[int | None], AbstractContextManager[Followers]]
"""Entered, it has what follows the alias make the new version ready (None: the alias goes), and raises when that fails;
left, it has them take what the alias is on then. Handed in by the verb."""


@dataclass(frozen=True, slots=True)
class _Nothing:
    evidence: Mapping[str, Any]

    def pause(self) -> None:
        """There is nothing that could wait."""


def unfollowed(_new: int | None) -> AbstractContextManager[Followers]:
    return nullcontext(_Nothing({}))


def move(
    context: TrackedContext,
    *,
    model: str,
    action: str,
    why: str,
    plan: AliasPlan,
    cut_over: CutOver = unfollowed,
    alias: str = CHAMPION,
) -> LedgerEntry:
    """Put an alias on another version. Raises what `plan` and `cut_over` raise, or `Conflict` if someone else is moving
    it."""
    store, tracking = context.store, context.tracking
    reconcile(store, tracking, model)
    with intent(store, tracking, model) as change:
        old = tracking.alias(model, alias)
        new, evidence = plan(old)
        with cut_over(new) as prepared:
            known = {**evidence, **prepared.evidence}
            change.mean(action, why=why, evidence=known, alias=alias, old_version=old, new_version=new)
            prepared.pause()
            if new is None:
                tracking.remove_alias(model, alias)
            else:
                tracking.set_alias(model, alias, new)
            return change.settle()


def to_champion(
    store: Store, stored: RegisteredVersion, champion: int | None, policy: Policy, *, force: bool
) -> tuple[int, Mapping[str, Any]]:
    """Whether a version may become champion, and on what evidence. Raises `GateFailed`, `Conflict`.

    `force`: what it lacks is recorded instead.
    """
    name, version = stored.name, stored.version
    if champion == version:
        raise Conflict(f"Version {version} of '{name}' is the champion already.")
    seen = gates.latest(store, name, version)
    entries = ledger.entries(store, name)
    given = approvals.standing(entries, stored, seen, policy.approval, policy.governance, store.clock.now())

    def not_retired() -> None:
        if version in ledger.retired(entries):
            raise Conflict(
                f"Version {version} of '{name}' is retired.", "Register it again, or force it with a reason."
            )

    lacking = []
    for check in (
        not_retired,
        lambda: gates.require_green(name, version, champion, seen, policy.gate.digest),
        lambda: approvals.require(given, stored, policy.approval),
    ):
        try:
            check()
        except MlopsError as problem:
            if not force:
                raise
            lacking.append(problem.message)
    evidence = {
        "gate": seen.id if seen else None,
        "digest": seen.digest if seen else None,
        "sha256": stored.facts.digest,
        "policy": policy.governance,
        "approvals": [a.entry for a in given if a.valid] or None,
    }
    return version, evidence | ({"forced": True, "lacking": lacking} if force else {})


def back(store: Store, tracking: Tracking, name: str) -> tuple[int, Mapping[str, Any]]:
    """The champion before the present one that is still there and in use. Raises `Conflict`."""
    entries = ledger.entries(store, name)
    usable = tracking.version_numbers(name) - ledger.retired(entries)
    stack = ledger.champions(entries)
    before = [number for number in stack[:-1] if number in usable and number != stack[-1]]
    if not before:
        raise Conflict(
            f"'{name}' had no champion before the present one that could serve.",
            f"Look at its history: `history {name}`.",
        )
    number = before[-1]
    assert number is not None, "None is in no set of versions"
    return number, {"sha256": tracking.version(name, number).facts.digest}


def check_alias(alias: str) -> None:
    """Raises `UsageError` for a name that MLflow keeps for itself, and for the champion's."""
    if alias == CHAMPION:
        raise UsageError("The champion is moved by promote, rollback and retire.", "They ask the gate.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", alias) or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise UsageError(
            f"An alias is 1 to 100 letters, digits, '_' or '-', and not 'latest' or 'v3'. Got '{alias}' instead."
        )


def to_alias(
    name: str, alias: str, old: int | None, target: RegisteredVersion | None
) -> tuple[int | None, Mapping[str, Any]]:
    """Raises `Conflict` when the alias is there already, or nowhere."""
    if target is None:
        if old is None:
            raise Conflict(f"'{name}' has no alias '{alias}'.", "Nothing was changed.")
        return None, {}
    if old == target.version:
        raise Conflict(f"The alias '{alias}' of '{target.name}' is on version {old} already.")
    return target.version, {"sha256": target.facts.digest}


AliasDifference = tuple[str, int | None, int | None]


def _compared(store: Store, tracking: Tracking, model: str) -> list[AliasDifference]:
    """Aliases that are on another version (None: on none) than the ledger says. Empty while someone moves one."""
    if under_way(store, model):
        return []
    recorded = ledger.pointers(ledger.entries(store, model))
    actual = tracking.aliases(model)
    return [
        (alias, recorded.get(alias), actual.get(alias))
        for alias in sorted({*recorded, *actual})
        if recorded.get(alias) != actual.get(alias)
    ]


def _lost(store: Store, tracking: Tracking, model: str) -> list[int]:
    """Versions that the ledger knows and MLflow has no more."""
    there = tracking.version_numbers(model)
    return sorted(ledger.standing(ledger.entries(store, model)) - there)


def reconcile_all(store: Store, tracking: Tracking) -> None:
    """`reconcile` for every model, asking both stores once: as a rule nothing was changed outside."""
    recorded = ledger.by_model(ledger.entries(store))
    aliases, numbers = tracking.all_aliases(), tracking.all_version_numbers()
    meant = intents.concerned(store)
    for model in sorted({*tracking.model_names(), *meant}):
        moves = recorded.get(model, [])
        moved = ledger.pointers(moves) != aliases.get(model, {})
        if moved or ledger.standing(moves) - numbers.get(model, set()) or model in meant:
            reconcile(store, tracking, model)


def reconcile(store: Store, tracking: Tracking, model: str) -> LedgerEntry | None:
    """Record what was moved or deleted behind the workbench's back; None when ledger and registry agree."""
    repair(store, tracking, model)
    if not _compared(store, tracking, model) and not _lost(store, tracking, model):
        return None
    entry = None
    with store.write() as connection:
        # Looked at again behind the lock: between the two reads, someone may have promoted.
        for version in [] if under_way(store, model) else _lost(store, tracking, model):
            gone = NewEntry(
                "deleted outside", model, version, "MLflow has this version no more", {}, who="unknown"
            )
            entry = ledger.append(connection, store.now(), gone)
        for alias, recorded, actual in _compared(store, tracking, model):
            moved = NewEntry(
                "moved outside",
                model,
                actual,
                "the alias in MLflow differed from the ledger",
                {},
                alias,
                recorded,
                who="unknown",
            )
            entry = ledger.append(connection, store.now(), moved)
    if entry is not None:
        anchor(store, tracking, entry)
    return entry
