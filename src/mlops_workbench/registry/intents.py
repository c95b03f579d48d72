"""Two writes in two stores, kept in step: what a change does in MLflow, and the ledger's entry about it.

What is meant is written down first (the intent), then MLflow is changed, then entry and intent change in one
transaction. Killed in between, the next one who looks sees from MLflow which half happened, and finishes or
forgets it. For a change of a model's versions the intent is also the lock: two cannot decide about the
same model at once. A registration only adds, so that many may be under way.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import processes
from mlops_workbench.base.errors import Conflict
from mlops_workbench.config.names import user
from mlops_workbench.registry import ledger
from mlops_workbench.registry.ledger import LedgerEntry, NewEntry
from mlops_workbench.store.engine import Store, StoreRow
from mlops_workbench.track.tracking import Tracking

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

ABANDONED_SECONDS = 600
"""A change takes seconds: an older intent of another machine is of a process that ended."""

_IDENTITY = ("model", "host", "pid", "at")
_ADDING = "#"
"""Stands between model and number in the key of an intent that is no lock; no model's name has it."""


@contextmanager
def intent(store: Store, tracking: Tracking, model: str, *, alone: bool = True) -> Iterator[Intent]:
    """Hold the intent of a change; forgotten or finished when the body ends without `settle`.

    `alone`: no other change of this model may be under way. Raises `Conflict` if one is.
    """
    key = model if alone else f"{model}{_ADDING}{uuid.uuid4().hex}"
    claimed = _claim(store, model, key)
    try:
        yield Intent(store, tracking, model, claimed)
    finally:
        for row in _same_of(_stored(store, model), claimed):
            _finish_or_forget(store, tracking, row)


class Intent:
    """One change under way: say what is `meant`, change MLflow, then `settle`."""

    def __init__(self, store: Store, tracking: Tracking, model: str, claimed: StoreRow) -> None:
        self.store, self.tracking, self.model, self.claimed = store, tracking, model, claimed
        self.meant: dict[str, Any] = {}

    def mean(self, action: str, *, why: str, evidence: Mapping[str, Any], **more: Any) -> None:
        """Write down what will be changed. `more`: alias, old_version, new_version, source, aliases."""
        self.meant = {
            "model": self.model,
            "who": user(),
            "action": action,
            "why": why,
            "evidence": dict(evidence),
            **more,
        }
        from sqlalchemy import update

        from mlops_workbench.registry.tables import intents

        with self.store.write() as connection:
            connection.execute(update(intents).where(_same(self.claimed)).values(entry=self.meant))

    def settle(self, **more: Any) -> LedgerEntry:
        """Write the ledger's entry; `more` replaces what could not be known before."""
        entry = _settle(self.store, self.tracking, self.claimed, self.meant | more)
        assert entry is not None, "its process is alive, so that nobody else settles it"
        return entry


def _claim(store: Store, model: str, key: str) -> StoreRow:
    from sqlalchemy.exc import IntegrityError

    from mlops_workbench.registry.tables import intents

    pid, pid_started = processes.me()
    row = {
        "model": key,
        "entry": {},
        "host": socket.gethostname(),
        "pid": pid,
        "pid_started": pid_started,
        "at": store.now(),
    }
    try:
        with store.write() as connection:
            connection.execute(intents.insert().values(**row))
    except IntegrityError:
        raise Conflict(
            f"Someone else is moving the champion of '{model}', or another of its versions, just now.",
            "Look at the history, then try again.",
        ) from None
    return row


def _same(row: StoreRow) -> ColumnElement[bool]:
    """This very intent: once it is settled, the next one of the same model may stand in its place at once."""
    from sqlalchemy import and_

    from mlops_workbench.registry.tables import intents

    return and_(*(intents.c[name] == row[name] for name in _IDENTITY))


def _same_of(found: Sequence[StoreRow], row: StoreRow) -> list[StoreRow]:
    return [one for one in found if all(one[name] == row[name] for name in _IDENTITY)]


def _settle(
    store: Store, tracking: Tracking, claimed: StoreRow, meant: Mapping[str, Any]
) -> LedgerEntry | None:
    from sqlalchemy import delete

    from mlops_workbench.registry.tables import intents

    with store.write() as connection:
        if not connection.execute(delete(intents).where(_same(claimed))).rowcount:
            return None  # someone else repaired it meanwhile
        new = NewEntry(
            action=meant["action"],
            model=meant["model"],
            new_version=meant.get("new_version"),
            why=meant["why"],
            evidence=meant["evidence"],
            alias=meant.get("alias"),
            old_version=meant.get("old_version"),
            who=meant["who"],
        )
        entry = ledger.append(connection, store.now(), new)
    anchor(store, tracking, entry)
    return entry


def record(store: Store, tracking: Tracking, new: NewEntry) -> LedgerEntry:
    """An entry about something that changes nothing in MLflow, such as an approval."""
    with store.write() as connection:
        entry = ledger.append(connection, store.now(), new)
    anchor(store, tracking, entry)
    return entry


def anchor(store: Store, tracking: Tracking, entry: LedgerEntry) -> None:
    """Note the newest entry in the other store too: the chain alone does not show that its end was cut off.

    What was noted and is not in the ledger stays noted: it is the witness that somebody was at it.
    """
    noted = tracking.noted_ledger()
    if noted is None or ledger.hash_of(store, noted[0]) == noted[1]:
        tracking.note_ledger(entry.id, entry.hash)


def repair(store: Store, tracking: Tracking, model: str) -> None:
    """Finish or forget what processes meant that ended in between."""
    for row in _stored(store, model):
        if not _alive(store, row):
            _finish_or_forget(store, tracking, row)


def _stored(store: Store, model: str | None = None) -> list[StoreRow]:
    """Intents of a model, or of all; few are ever under way."""
    found = store.read("SELECT * FROM workbench_intents", {}, ["entry"])
    return [row for row in found if model in (None, row["model"].partition(_ADDING)[0])]


def concerned(store: Store) -> set[str]:
    """Models that an intent is about."""
    return {row["model"].partition(_ADDING)[0] for row in _stored(store)}


def _finish_or_forget(store: Store, tracking: Tracking, row: StoreRow) -> None:
    meant = row["entry"]
    found = _happened(tracking, meant) if meant else None
    if found is None:
        from sqlalchemy import delete

        from mlops_workbench.registry.tables import intents

        with store.write() as connection:
            connection.execute(delete(intents).where(_same(row)))
    else:
        evidence = meant["evidence"] | {"repaired": True}
        _settle(store, tracking, row, meant | found | {"evidence": evidence})


def _happened(tracking: Tracking, meant: Mapping[str, Any]) -> dict[str, Any] | None:
    """What must be known besides to settle it, when MLflow was changed; None when it was not."""
    model, action = meant["model"], meant["action"]
    if action == "register":
        number = tracking.version_from(model, meant["source"])
        return None if number is None else {"new_version": number}
    if action == "delete":
        return None if tracking.has_version(model, meant["new_version"]) else {}
    if action == "retire":
        held = [a for a, n in tracking.aliases(model).items() if n == meant["version"]]
        if len(held) == len(meant["aliases"]):
            return None  # not one was taken away: it had not begun
        for alias in held:
            tracking.remove_alias(model, alias)
        return {}
    actual = tracking.alias(model, meant["alias"])
    return {} if actual == meant["new_version"] != meant["old_version"] else None


def under_way(store: Store, model: str) -> bool:
    return bool(store.read("SELECT 1 FROM workbench_intents WHERE model = :model", {"model": model}))


def _alive(store: Store, row: StoreRow) -> bool:
    """Whether the process of an intent may still be at work; on another machine its age decides."""
    if row["host"] != socket.gethostname():
        age = store.clock.now() - datetime.fromisoformat(row["at"])
        return age.total_seconds() < ABANDONED_SECONDS
    return processes.alive(row["pid"], row["pid_started"])
