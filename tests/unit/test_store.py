from __future__ import annotations

from pathlib import Path

import forks
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import all_tables
from sqlalchemy import create_engine, select

from mlops_workbench.base.clock import SYSTEM, stamp
from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.data.tables import validations
from mlops_workbench.jobs.tables import jobs
from mlops_workbench.store import engine as database
from mlops_workbench.store.engine import VERSION_TABLE, Store


def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/w.db")
    with store.engine.connect() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), all_tables()
            )
            == []
        )
    assert store.revision() == database.HEAD
    store.close()


def test_the_newest_migration_is_the_one_that_the_code_expects() -> None:
    assert ScriptDirectory(str(database.MIGRATIONS)).get_current_head() == database.HEAD


def test_jobs_of_an_earlier_release_keep_their_line_and_machine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/w.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(database.MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        columns = "kind, model, who, state, options, step, created"
        options = '{"base": "x", "line": "build trips", "host": "there"}'
        connection.exec_driver_sql(
            f"INSERT INTO workbench_jobs ({columns}) VALUES ('build', 'trips', 'ada', 'failed', '{options}', '', 'x')"
        )
    engine.dispose()
    store = Store(url)
    (row,) = store.rows(select(jobs))
    assert (row["line"], row["host"], row["options"]) == ("build trips", "there", {"base": "x"})
    store.close()


def test_a_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/w.db")

    def half() -> None:
        with store.write() as connection:
            connection.execute(validations.insert().values(**row("half")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.rows(select(validations)) == []
    store.close()


def row(name: str) -> dict[str, object]:
    return {
        "at": stamp(SYSTEM.now()),
        "contract": name,
        "contract_digest": "",
        "data": "",
        "passed": 1,
        "report": {},
    }


def open_and_write(url: str, number: int) -> None:
    store = Store(url)
    for step in range(20):
        with store.write() as connection:
            found = connection.execute(select(validations.c.id)).all()
            connection.execute(validations.insert().values(**row(f"{number}-{step}-{len(found)}")))
    store.close()


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/w.db"
    context = forks.context()
    workers = [context.Process(target=open_and_write, args=(url, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    store = Store(url)
    names = [r["contract"] for r in store.rows(select(validations))]
    store.close()
    assert len(names) == 80
    # each saw all that was written before it: reads and writes did not interleave
    assert sorted(int(n.split("-")[2]) for n in names) == list(range(80))


@pytest.mark.parametrize("url", ["nonsense", "nodriver://x", "sqlite:////proc/none/w.db"])
def test_a_store_that_cannot_be_opened_is_one_sentence(url: str) -> None:
    with pytest.raises(InvalidConfig, match="store"):
        Store(url)
