"""The ledger: append-only, hash-chained. Who moved what, when, why, on what evidence.

Each entry's hash covers its own fields and the hash of the entry before it, so that a row that was
changed, removed or moved by hand no longer fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from mlops_workbench.project import user
from mlops_workbench.store.database import Row, Store
from mlops_workbench.store.tables import ledger, now
from mlops_workbench.values import Value

GENESIS = "0" * 64
CHAMPION = "champion"
_HASHED = ("id", "at", "who", "action", "model", "alias", "old_version", "new_version", "why", "evidence")


@dataclass(frozen=True)
class Entry(Value):
    """One line of the ledger. `old_version` → `new_version` is what the alias did, where it is about an alias."""

    id: int
    at: str
    who: str
    action: str
    model: str
    alias: str | None
    old_version: int | None
    new_version: int | None
    why: str
    evidence: Mapping[str, Any]
    hash: str

    @property
    def title(self) -> str:
        moved = f"version {self.new_version} of '{self.model}' is champion"
        before = f", before it version {self.old_version}" if self.old_version else ""
        return f"{self.action.capitalize()}: {moved}{before}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [
            ["who", self.who],
            ["when", self.at[:19].replace("T", " ")],
            ["why", self.why],
            ["evidence", _evidence(self.evidence)],
            ["ledger", f"entry {self.id}, {self.hash[:12]}"],
        ]


@dataclass(frozen=True)
class History(Value):
    """The ledger of one model, newest first."""

    model: str
    champion: int | None
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        now_serving = f"champion: version {self.champion}" if self.champion else "no champion"
        return f"History of '{self.model}' ({now_serving})"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["entry", "when", "who", "action", "champion", "why", "evidence"], [
            [
                e.id,
                e.at[:19].replace("T", " "),
                e.who,
                e.action,
                f"{e.old_version or '–'} → {e.new_version or '–'}" if e.alias else f"version {e.new_version}",
                e.why,
                _evidence(e.evidence),
            ]
            for e in self.entries
        ]


def _evidence(evidence: Mapping[str, Any]) -> str:
    short = {
        k: v[:12] if isinstance(v, str) and len(v) >= 32 else v for k, v in evidence.items() if v is not None
    }
    return ", ".join(f"{k} {v}" for k, v in short.items()) or "–"


def digest(fields: Mapping[str, Any], previous_hash: str) -> str:
    """SHA-256 of the canonical JSON of an entry's fields and the hash before it."""
    body = {key: fields[key] for key in _HASHED} | {"previous_hash": previous_hash}
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def append(
    connection: Connection,
    *,
    action: str,
    model: str,
    new_version: int | None,
    why: str,
    evidence: Mapping[str, Any],
    alias: str | None = None,
    old_version: int | None = None,
    who: str | None = None,
) -> Entry:
    """Add an entry inside a write transaction of the store (the chain needs its lock)."""
    last = connection.execute(select(ledger).order_by(ledger.c.id.desc()).limit(1)).mappings().first()
    fields: dict[str, Any] = {
        "id": (last["id"] if last else 0) + 1,
        "at": now(),
        "who": who or user(),
        "action": action,
        "model": model,
        "alias": alias,
        "old_version": old_version,
        "new_version": new_version,
        "why": why,
        "evidence": json.loads(json.dumps(dict(evidence))),
    }
    previous = last["hash"] if last else GENESIS
    fields["hash"] = digest(fields, previous)
    connection.execute(ledger.insert().values(**fields, previous_hash=previous))
    return Entry(**fields)


def entries(store: Store, model: str | None = None) -> tuple[Entry, ...]:
    """Oldest first."""
    statement = select(ledger).order_by(ledger.c.id)
    if model is not None:
        statement = statement.where(ledger.c.model == model)
    return tuple(_entry(row) for row in store.rows(statement))


def _entry(row: Row) -> Entry:
    return Entry(**{key: row[key] for key in (*_HASHED, "hash")})


def broken(store: Store) -> str | None:
    """The first place where the chain does not hold, as a sentence; None when it does."""
    previous = GENESIS
    for count, row in enumerate(store.rows(select(ledger).order_by(ledger.c.id)), start=1):
        if row["id"] != count:
            return f"Ledger entry {count} is missing: after entry {count - 1} comes entry {row['id']}."
        if row["previous_hash"] != previous:
            return f"Ledger entry {row['id']} does not follow entry {count - 1}: its previous hash differs."
        if digest(row, previous) != row["hash"]:
            return f"Ledger entry {row['id']} was changed after it was written: its hash differs."
        previous = row["hash"]
    return None


def champions(moves: Sequence[Entry]) -> list[int | None]:
    """The champions that a rollback walks back through, the present one last: a promotion adds, a rollback removes.

    None: someone took the alias away, so that there was no champion.
    """
    stack: list[int | None] = []
    for entry in moves:
        if entry.alias != CHAMPION:
            continue
        if entry.action == "rollback":
            while len(stack) > 1 and stack[-1] != entry.new_version:
                stack.pop()
        elif not stack or stack[-1] != entry.new_version:
            stack.append(entry.new_version)
    return stack
