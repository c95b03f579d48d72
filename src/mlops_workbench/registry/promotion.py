"""Moving the champion: MLflow's alias and the ledger's entry are two writes in two stores, kept in step.

What is meant is written down first (the intent), then the alias moves, then entry and intent change in one
transaction. Killed in between, the next one who looks sees from the alias which half happened, and
finishes or forgets it. The intent is also the lock: two cannot move the same champion at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import psutil
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from mlops_workbench.errors import Conflict
from mlops_workbench.registry import ledger
from mlops_workbench.registry.ledger import CHAMPION, Entry
from mlops_workbench.store.database import Row, Store
from mlops_workbench.store.tables import intents, now
from mlops_workbench.track.tracking import Tracking

ABANDONED_SECONDS = 600
"""A move takes seconds: an older intent of another machine is of a process that ended."""

Plan = Callable[[int | None], tuple[int, Mapping[str, Any]]]
"""From the present champion to the new one and the evidence; raises when that must not be."""


def move(store: Store, tracking: Tracking, *, model: str, action: str, why: str, plan: Plan) -> Entry:
    """Make another version the champion. Raises what `plan` raises, or `Conflict` if someone else is moving it."""
    reconcile(store, tracking, model)
    _claim(store, model)
    try:
        old = tracking.alias(model, CHAMPION)
        new, evidence = plan(old)
        meant = {
            "action": action,
            "why": why,
            "old_version": old,
            "new_version": new,
            "evidence": dict(evidence),
        }
        with store.write() as connection:
            connection.execute(update(intents).where(intents.c.model == model).values(entry=meant))
        tracking.set_alias(model, CHAMPION, new)
    except BaseException:
        repair(store, tracking, model, mine=True)
        raise
    return _settle(store, model, meant)


def _claim(store: Store, model: str) -> None:
    me = psutil.Process()
    row = {
        "model": model,
        "entry": {},
        "host": socket.gethostname(),
        "pid": me.pid,
        "pid_started": me.create_time(),
        "at": now(),
    }
    try:
        with store.write() as connection:
            connection.execute(intents.insert().values(**row))
    except IntegrityError:
        raise Conflict(
            f"Someone else is moving the champion of '{model}' just now.",
            "Look at the history, then try again.",
        ) from None


def _settle(store: Store, model: str, meant: Mapping[str, Any], **more: Any) -> Entry:
    with store.write() as connection:
        entry = ledger.append(
            connection,
            model=model,
            alias=CHAMPION,
            action=meant["action"],
            why=meant["why"],
            old_version=meant["old_version"],
            new_version=meant["new_version"],
            evidence=dict(meant["evidence"]) | more,
        )
        connection.execute(delete(intents).where(intents.c.model == model))
    return entry


def repair(store: Store, tracking: Tracking, model: str, *, mine: bool = False) -> None:
    """Finish or forget what a process meant that ended in between; `mine`: what this very call meant."""
    row = store.row(select(intents).where(intents.c.model == model))
    if row is None or (not mine and _alive(row)):
        return
    meant = row["entry"]
    if meant and tracking.alias(model, CHAMPION) == meant["new_version"] != meant["old_version"]:
        _settle(store, model, meant, repaired=True)
    else:
        with store.write() as connection:
            connection.execute(delete(intents).where(intents.c.model == model))


def _alive(row: Row) -> bool:
    """Whether the process of an intent may still be at work; on another machine its age has to tell."""
    if row["host"] != socket.gethostname():
        age = datetime.now(UTC) - datetime.fromisoformat(row["at"])
        return age.total_seconds() < ABANDONED_SECONDS
    try:
        return bool(abs(psutil.Process(row["pid"]).create_time() - row["pid_started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def _compared(store: Store, tracking: Tracking, model: str) -> tuple[int | None, int | None] | None:
    """The champion by the ledger and by the registry where they differ; None while someone is moving it."""
    if store.row(select(intents).where(intents.c.model == model)) is not None:
        return None
    stack = ledger.champions(ledger.entries(store, model))
    recorded = stack[-1] if stack else None
    actual = tracking.alias(model, CHAMPION)
    return None if actual == recorded else (recorded, actual)


def reconcile(store: Store, tracking: Tracking, model: str) -> Entry | None:
    """Record a champion that was moved behind the workbench's back; None when ledger and registry agree."""
    repair(store, tracking, model)
    if _compared(store, tracking, model) is None:
        return None
    with store.write() as connection:
        # Looked at again behind the lock: between the two looks of before, someone may have promoted.
        found = _compared(store, tracking, model)
        if found is None:
            return None
        recorded, actual = found
        return ledger.append(
            connection,
            action="moved outside",
            model=model,
            alias=CHAMPION,
            old_version=recorded,
            new_version=actual,
            why="the alias in MLflow differed from the ledger",
            evidence={},
            who="unknown",
        )
