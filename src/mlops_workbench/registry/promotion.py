"""Moving the champion: MLflow's alias and the ledger's entry are two writes in two stores, kept in step.

What is meant is written down first (the intent), then the alias moves, then entry and intent change in one
transaction. Killed in between, the next one who looks sees from the alias which half happened, and
finishes or forgets it. The intent is also the lock: two cannot move the same champion at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
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

Plan = Callable[[int | None], tuple[int, Mapping[str, Any]]]
"""From the present champion to the new one and the evidence; raises when that must not be."""


def move(store: Store, tracking: Tracking, *, model: str, action: str, why: str, plan: Plan) -> Entry:
    """Make another version the champion. Raises what `plan` raises, or `Conflict` if someone else is moving it."""
    reconcile(store, tracking, model)
    _claim(store, tracking, model)
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


def _claim(store: Store, tracking: Tracking, model: str) -> None:
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
    """Whether the process of an intent may still be at work (on another machine that cannot be known)."""
    if row["host"] != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(row["pid"]).create_time() - row["pid_started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def reconcile(store: Store, tracking: Tracking, model: str) -> Entry | None:
    """Record a champion that was moved behind the workbench's back; None when ledger and registry agree."""
    repair(store, tracking, model)
    stack = ledger.champions(ledger.entries(store, model))
    recorded = stack[-1] if stack else None
    actual = tracking.alias(model, CHAMPION)
    if actual == recorded or store.row(select(intents).where(intents.c.model == model)) is not None:
        return None
    with store.write() as connection:
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
