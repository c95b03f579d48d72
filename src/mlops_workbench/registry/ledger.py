"""The ledger: append-only, hash-chained. Who moved what, when, why, on what evidence.

Each entry's hash covers its own fields and the hash of the entry before it, so that a row that was
changed, removed or moved by hand no longer fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import UsageError
from mlops_workbench.base.values import Value
from mlops_workbench.config.names import user
from mlops_workbench.store.engine import Store, StoreRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

GENESIS = "0" * 64
CHAMPION = "champion"
_HASHED = ("id", "at", "who", "action", "model", "alias", "old_version", "new_version", "why", "evidence")


@dataclass(frozen=True)
class LedgerEntry(Value):
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
        about = f"version {self.new_version} of '{self.model}'"
        if self.alias and self.new_version is None:
            what = f"'{self.model}' has no {self.alias} any more"
        elif self.alias:
            what = f"{about} is {self.alias}"
        else:
            what = about
        before = f", before it version {self.old_version}" if self.old_version else ""
        return f"{self.action.capitalize()}: {what}{before}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [
            ["who", self.who],
            ["when", self.at[:19].replace("T", " ")],
            ["why", self.why],
            ["evidence", _evidence(self.evidence)],
            ["ledger", f"entry {self.id}, {self.hash[:12]}"],
        ]


def _row(entry: LedgerEntry) -> list[Any]:
    moved = f"{entry.old_version or '–'} → {entry.new_version or '–'}"
    about = f"{entry.alias} {moved}" if entry.alias else f"version {entry.new_version}"
    at = entry.at[:19].replace("T", " ")
    return [entry.id, at, entry.who, entry.action, about, entry.why, _evidence(entry.evidence)]


_HEADS = ["entry", "when", "who", "action", "about", "why", "evidence"]


@dataclass(frozen=True)
class ChampionPeriod(Value):
    """Which version was champion from when until when (None: still), and the entry that made it so."""

    version: int | None
    since: str
    until: str | None
    entry: LedgerEntry

    @property
    def title(self) -> str:
        who = f"Version {self.version}" if self.version else "No version"
        ended = f" until {_at(self.until)}" if self.until else ""
        return f"{who} of '{self.entry.model}' was champion from {_at(self.since)}{ended}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return self.entry.table()


def _at(time: str) -> str:
    return time[:19].replace("T", " ")


@dataclass(frozen=True)
class History(Value):
    """The ledger of one model, newest first. `then`: who was champion at the time that was asked for."""

    model: str
    champion: int | None
    entries: tuple[LedgerEntry, ...]
    at: str | None = None
    then: ChampionPeriod | None = None

    @property
    def title(self) -> str:
        if self.at is not None:
            if self.then is None:
                return f"At {_at(self.at)} UTC '{self.model}' had no champion yet."
            who = f"version {self.then.version}" if self.then.version else "no version"
            return f"At {_at(self.at)} UTC {who} of '{self.model}' was champion."
        now_serving = f"champion: version {self.champion}" if self.champion else "no champion"
        return f"History of '{self.model}' ({now_serving})"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        if self.at is None:
            return _HEADS, [_row(e) for e in self.entries]
        if self.then is None:
            return ["", ""], []
        span = [
            ["from (UTC)", _at(self.then.since)],
            ["until (UTC)", _at(self.then.until) if self.then.until else "now"],
        ]
        return ["", ""], [*span, ["by", self.then.entry.action], *self.then.table()[1]]


@dataclass(frozen=True)
class Entries(Value):
    """The newest entries of all models, newest first."""

    entries: tuple[LedgerEntry, ...]

    @property
    def title(self) -> str:
        return "The ledger, newest first"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        heads = [_HEADS[0], "model", *_HEADS[1:]]
        return heads, [[row[0], e.model, *row[1:]] for e in self.entries if (row := _row(e))]


def moment(text: str) -> datetime:
    """A time in ISO 8601; without a zone it is UTC. Raises `UsageError`."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"A time is written as 2026-11-01 or 2026-11-01T12:00 (UTC). Got '{text}' instead."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def champion_periods(entries: Sequence[LedgerEntry]) -> list[ChampionPeriod]:
    """Every champion there was, oldest first; a version of None: there was none for that time."""
    found: list[ChampionPeriod] = []
    for entry in entries:
        ended = entry.action == "retire" and found and found[-1].version == entry.new_version
        if entry.alias != CHAMPION and not ended:
            continue
        version = None if ended else entry.new_version
        if found:
            found[-1] = replace(found[-1], until=entry.at)
        found.append(ChampionPeriod(version, entry.at, None, entry))
    return found


def history(
    model: str, champion: int | None, entries: Sequence[LedgerEntry], at: datetime | None = None
) -> History:
    """`entries`: oldest first. `at`: say who was champion at that time."""
    newest_first = tuple(reversed(entries))
    if at is None:
        return History(model, champion, newest_first)
    past = [r for r in champion_periods(entries) if datetime.fromisoformat(r.since) <= at]
    return History(model, champion, newest_first, at.astimezone(UTC).isoformat(), past[-1] if past else None)


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


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to be added to the ledger. `who`: None is the user of this process."""

    action: str
    model: str
    new_version: int | None
    why: str
    evidence: Mapping[str, Any]
    alias: str | None = None
    old_version: int | None = None
    who: str | None = None


def append(connection: Connection, at: str, new: NewEntry) -> LedgerEntry:
    """Add an entry inside a write transaction of the store (the chain needs its lock). `at`: by the store's clock."""
    from sqlalchemy import select

    from mlops_workbench.registry.tables import ledger

    last = connection.execute(select(ledger).order_by(ledger.c.id.desc()).limit(1)).mappings().first()
    fields: dict[str, Any] = {
        "id": (last["id"] if last else 0) + 1,
        "at": at,
        "who": new.who or user(),
        "action": new.action,
        "model": new.model,
        "alias": new.alias,
        "old_version": new.old_version,
        "new_version": new.new_version,
        "why": new.why,
        "evidence": json.loads(json.dumps(dict(new.evidence))),
    }
    previous = last["hash"] if last else GENESIS
    fields["hash"] = digest(fields, previous)
    connection.execute(ledger.insert().values(**fields, previous_hash=previous))
    return LedgerEntry(**fields)


def require_reason(why: str) -> None:
    """Raises `UsageError` for blanks."""
    if not why.strip():
        raise UsageError("A reason must be given.", "Say why: it is kept in the ledger.")


def entries(store: Store, model: str | None = None) -> tuple[LedgerEntry, ...]:
    """Oldest first."""
    if model is None:
        return entries_of(rows(store))
    sql = "SELECT * FROM workbench_ledger WHERE model = :model ORDER BY id"
    return entries_of(store.read(sql, {"model": model}, ["evidence"]))


def rows(store: Store) -> Sequence[StoreRow]:
    """The whole ledger as it is stored, oldest first."""
    return store.read("SELECT * FROM workbench_ledger ORDER BY id", json_columns=["evidence"])


def entries_of(found: Sequence[StoreRow]) -> tuple[LedgerEntry, ...]:
    return tuple(LedgerEntry(**{key: row[key] for key in (*_HASHED, "hash")}) for row in found)


def newest(store: Store, limit: int) -> Entries:
    """The newest entries of all models."""
    sql = "SELECT * FROM workbench_ledger ORDER BY id DESC LIMIT :limit"
    return Entries(entries_of(store.read(sql, {"limit": limit}, ["evidence"])))


def by_model(found: Sequence[LedgerEntry]) -> dict[str, list[LedgerEntry]]:
    """Entries, in their order, of each model."""
    models: dict[str, list[LedgerEntry]] = {}
    for entry in found:
        models.setdefault(entry.model, []).append(entry)
    return models


def hash_of(store: Store, number: int) -> str | None:
    row = store.read_one("SELECT hash FROM workbench_ledger WHERE id = :id", {"id": number})
    return row["hash"] if row else None


def broken(store: Store, noted: tuple[int, str] | None = None) -> str | None:
    """The first place where the chain does not hold, as a sentence; None when it does."""
    return next(iter(problems(rows(store), noted)), None)


def problems(stored: Sequence[StoreRow], noted: tuple[int, str] | None = None) -> list[str]:
    """Every place where the chain does not hold, oldest first: rows changed, removed or re-ordered by hand.

    `noted`: number and hash of the newest entry as the other store remembers it; without it, entries cut off
    at the end cannot be missed.
    """
    found, previous, expected, hashes = [], GENESIS, 1, {}
    for row in stored:
        number, at = row["id"], f"Ledger entry {row['id']}"
        if number != expected:
            gap = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            after = f"after entry {expected - 1} comes entry {number}"
            found.append(f"Ledger entry {gap} is missing: {after}.")
        elif row["previous_hash"] != previous:
            found.append(f"{at} does not follow entry {number - 1}: its previous hash differs.")
        if digest(row, row["previous_hash"]) != row["hash"]:
            found.append(f"{at} was changed after it was written: its hash differs.")
        previous, expected = row["hash"], number + 1
        hashes[number] = row["hash"]
    if noted is not None:
        number, known = noted
        if number >= expected:
            found.append(f"Ledger entry {number} is missing: the ledger ends with entry {expected - 1}.")
        elif number in hashes and hashes[number] != known:
            found.append(
                f"Ledger entry {number} is not the one that was written: the tracking store noted another."
            )
    return found


@dataclass(frozen=True)
class Verification(Value):
    """What a walk along the whole chain found."""

    entries: int
    head: str
    noted: int | None
    problems: tuple[str, ...]
    anchored: int | None = None
    """the newest entry that an anchor outside was compared with"""

    def with_anchors(self, entries: Sequence[int], problems: Sequence[str]) -> Verification:
        """Compared with what is kept outside, too."""
        return replace(self, anchored=max(entries, default=None), problems=(*self.problems, *problems))

    @property
    def holds(self) -> bool:
        return not self.problems

    @property
    def title(self) -> str:
        if self.problems:
            return f"The ledger does NOT hold: {len(self.problems)} places in {self.entries:,} entries."
        return f"The ledger holds: {self.entries:,} entries, each hashed with the one before it."

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"holds": self.holds}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        if self.problems:
            return [""], [[problem] for problem in self.problems]
        noted = f"entry {self.noted}" if self.noted else "nothing yet"
        anchored = f"up to entry {self.anchored}" if self.anchored else "not compared with an anchor outside"
        return ["", ""], [
            ["newest hash", self.head[:16]],
            ["noted in the tracking store", noted],
            ["anchored", anchored],
        ]


def verify(store: Store, noted: tuple[int, str] | None) -> Verification:
    """Walk the chain from its beginning."""
    found = rows(store)
    head = found[-1]["hash"] if found else GENESIS
    return Verification(len(found), head, noted[0] if noted else None, tuple(problems(found, noted)))


def pointers(moves: Sequence[LedgerEntry]) -> dict[str, int]:
    """Where each alias is, by the ledger (oldest entry first)."""
    found: dict[str, int] = {}
    for entry in moves:
        if entry.action == "retire":
            found = {alias: number for alias, number in found.items() if number != entry.new_version}
        elif entry.alias is not None and entry.new_version is not None:
            found[entry.alias] = entry.new_version
        elif entry.alias is not None:
            found.pop(entry.alias, None)
    return found


def standing(moves: Sequence[LedgerEntry]) -> set[int]:
    """Versions that were registered and not deleted."""
    found: set[int] = set()
    for entry in moves:
        if entry.new_version is not None and entry.action in ("delete", "deleted outside"):
            found.discard(entry.new_version)
        elif entry.new_version is not None and entry.action == "register":
            found.add(entry.new_version)
    return found


def retired(moves: Sequence[LedgerEntry]) -> set[int]:
    """Versions out of use: retired, and not made champion by force after that."""
    found: set[int] = set()
    for entry in moves:
        if entry.action == "retire" and entry.new_version is not None:
            found.add(entry.new_version)
        elif entry.alias == CHAMPION and entry.new_version is not None:
            found.discard(entry.new_version)
    return found


def champions(moves: Sequence[LedgerEntry]) -> list[int | None]:
    """The champions that a rollback walks back through, the present one last: a promotion adds, a rollback removes.

    None: someone took the alias away, so that there was no champion.
    """
    stack: list[int | None] = []
    for entry in moves:
        if entry.action == "retire" and stack and stack[-1] == entry.new_version:
            stack.append(None)
        if entry.alias != CHAMPION:
            continue
        if entry.action == "rollback":
            while len(stack) > 1 and stack[-1] != entry.new_version:
                stack.pop()
        elif not stack or stack[-1] != entry.new_version:
            stack.append(entry.new_version)
    return stack
