from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from mlops_workbench.registry import ledger
from mlops_workbench.registry.ledger import NewEntry
from mlops_workbench.registry.tables import ledger as table
from mlops_workbench.store.engine import Store

moves = st.lists(
    st.tuples(st.sampled_from(["promote", "rollback", "register"]), st.integers(1, 5)), max_size=12
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/w.db")
    yield made
    made.close()


def write(store: Store, count: int) -> None:
    for number in range(1, count + 1):
        with store.write() as connection:
            ledger.append(
                connection,
                store.now(),
                NewEntry(
                    "promote",
                    "m",
                    number,
                    f"reason {number}",
                    {"gate": number, "note": "größer"},
                    "champion",
                    number - 1 or None,
                ),
            )


def test_an_untouched_chain_holds(store: Store) -> None:
    assert ledger.broken(store) is None
    write(store, 5)
    assert ledger.broken(store) is None
    assert [e.new_version for e in ledger.entries(store, "m")] == [1, 2, 3, 4, 5]
    assert ledger.entries(store, "other") == ()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 5), st.sampled_from(["why", "who", "new_version", "evidence", "at", "action", "model"]))
def test_a_changed_entry_is_found_and_named(tmp_path: Path, entry: int, field: str) -> None:
    file = tmp_path / "changed.db"
    file.unlink(missing_ok=True)
    store = Store(f"sqlite:///{file}")
    write(store, 5)
    value = 99 if field == "new_version" else {"gate": 99} if field == "evidence" else "changed"
    with store.write() as connection:
        connection.execute(update(table).where(table.c.id == entry).values({field: value}))
    assert f"Ledger entry {entry} was changed" in str(ledger.broken(store))
    store.close()


@pytest.mark.parametrize("entry", [1, 2, 4])
def test_a_removed_entry_is_found(store: Store, entry: int) -> None:
    write(store, 5)
    with store.write() as connection:
        connection.execute(delete(table).where(table.c.id == entry))
    assert f"Ledger entry {entry} is missing" in str(ledger.broken(store))


def test_entries_that_changed_places_are_found(store: Store) -> None:
    write(store, 4)
    with store.write() as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute(update(table).where(table.c.id == old).values(id=new))
    assert "does not follow entry 1" in str(ledger.broken(store))


def test_an_entry_recomputed_with_its_hash_breaks_the_next(store: Store) -> None:
    write(store, 3)
    row = dict(store.rows(table.select().where(table.c.id == 2))[0])
    row["why"] = "forged"
    row["hash"] = ledger.digest(row, row["previous_hash"])
    with store.write() as connection:
        connection.execute(update(table).where(table.c.id == 2).values(why="forged", hash=row["hash"]))
    assert "entry 3 does not follow entry 2" in str(ledger.broken(store))


def test_an_entrys_hash_covers_the_one_before(store: Store) -> None:
    """Forged with its hash and the next one's pointer to it, an entry still breaks the next one's own hash."""
    write(store, 3)
    row = dict(store.rows(table.select().where(table.c.id == 2))[0])
    row["why"] = "forged"
    row["hash"] = ledger.digest(row, row["previous_hash"])
    with store.write() as connection:
        connection.execute(update(table).where(table.c.id == 2).values(why="forged", hash=row["hash"]))
        connection.execute(update(table).where(table.c.id == 3).values(previous_hash=row["hash"]))
    assert "entry 3 was changed" in str(ledger.broken(store))


def entry(number: int, action: str, version: int) -> ledger.LedgerEntry:
    return ledger.LedgerEntry(
        number, "", "", action, "m", "champion" if action != "register" else None, None, version, "", {}, ""
    )


@given(moves)
def test_a_rollback_walks_back_through_promotions(steps: list[tuple[str, int]]) -> None:
    """The list beside a plain model of it: a stack."""
    stack: list[int] = []
    written = []
    for number, (action, version) in enumerate(steps):
        if action == "rollback":
            if len(stack) < 2:
                continue
            stack.pop()
            version = stack[-1]
        elif action == "promote" and (not stack or stack[-1] != version):
            stack.append(version)
        written.append(entry(number, action, version))
    assert ledger.champions(written) == stack
