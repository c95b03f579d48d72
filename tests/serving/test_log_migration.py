"""A log whose key has no role yet: opened by today's runtime, by several at once, and by one that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from typing import Any

import forks
import pytest
import sqlalchemy as sa

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.serving.dataplane import Prediction
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.predlog import LogEntry, LogRefused, PredictionLog
from mlops_workbench.serving.tables import log_engine

FIELDS = (Field("100% ä:ö", "double"), Field("n", "long"), Field("yes", "boolean"))
OLD_TABLE = """
CREATE TABLE predictions_m (
	request_id TEXT NOT NULL,
	row_index INTEGER NOT NULL,
	at DOUBLE PRECISION NOT NULL,
	model_version TEXT NOT NULL,
	role TEXT NOT NULL,
	latency_ms DOUBLE PRECISION NOT NULL,
	prediction TEXT,
	score DOUBLE PRECISION,
	probabilities TEXT,
	"x_100% ä:ö" DOUBLE PRECISION,
	x_n BIGINT,
	x_yes BOOLEAN,
	PRIMARY KEY (request_id, row_index)
)"""
OLD_NAMES = (
    "request_id, row_index, at, model_version, role, latency_ms, prediction, score, probabilities, "
    '"x_100% ä:ö", x_n, x_yes'
)
ROWS = 500


def manifest(*inputs: Field) -> Manifest:
    return Manifest("m", "classification", inputs, "f", "skops", (), "0", "3.11", (), classes=("no", "yes"))


def entry(
    request_id: str, rows: list[dict[str, Any]], label: str = "yes", role: str = "champion"
) -> LogEntry:
    answer = Prediction([label] * len(rows), [[0.25, 0.75]] * len(rows))
    return LogEntry(request_id, rows, answer, version="2", role=role, at=1_800_000_000.5, latency_ms=1.25)


def old_row(request_id: str, index: int = 0) -> tuple[Any, ...]:
    return (request_id, index, 1.5, "1", "champion", 2.5, "yes", 0.75, "[0.25, 0.75]", 0.5, 2**60, True)


def old_insert(connection: sa.Connection, *rows: tuple[Any, ...]) -> None:
    """As an older runtime writes: it names the columns that it knows."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    names = OLD_NAMES if mark == "?" else OLD_NAMES.replace("%", "%%")
    marks = ", ".join([mark] * 12)
    for row in rows:
        connection.exec_driver_sql(f"INSERT INTO predictions_m ({names}) VALUES ({marks})", row)


def ddl(connection: sa.Connection, statement: str) -> None:
    double = "DOUBLE" if connection.dialect.name == "sqlite" else "DOUBLE PRECISION"
    connection.connection.cursor().execute(statement.replace("DOUBLE PRECISION", double))


@pytest.fixture
def old(log_url: str) -> str:
    """The address of a log as it was made before, with a column of a later version, labels, an index and a view."""
    engine = log_engine(log_url)
    with engine.begin() as connection:
        ddl(connection, OLD_TABLE)
        ddl(connection, "CREATE INDEX ix_predictions_m_at ON predictions_m (at)")
        ddl(connection, 'ALTER TABLE predictions_m ADD COLUMN "x_of another" TEXT')
        ddl(
            connection,
            "CREATE TABLE labels_m (request_id TEXT NOT NULL, row_index INTEGER NOT NULL, label TEXT NOT NULL, "
            "at DOUBLE PRECISION NOT NULL, PRIMARY KEY (request_id, row_index))",
        )
        ddl(connection, "INSERT INTO labels_m VALUES ('r1', 0, 'no', 9.0)")
        ddl(connection, "CREATE INDEX of_our_own ON predictions_m (model_version, at)")
        ddl(connection, "CREATE VIEW newest AS SELECT max(at) AS at FROM predictions_m")
        old_insert(connection, *(old_row(f"r{i // 2}", i % 2) for i in range(ROWS)))
        ddl(connection, "UPDATE predictions_m SET \"x_of another\" = 'kept' WHERE request_id = 'r3'")
    engine.dispose()
    return log_url


def state(url: str) -> dict[str, Any]:
    """Key, columns, indexes, rows and labels."""
    engine = log_engine(url)
    with engine.begin() as connection:
        table = sa.Table("predictions_m", sa.MetaData(), autoload_with=connection)
        rows = connection.execute(sa.select(table).order_by(table.c.request_id, table.c.row_index)).mappings()
        found = {
            "key": sa.inspect(connection).get_pk_constraint("predictions_m")["constrained_columns"],
            "columns": {c.name: (type(c.type).__name__, c.nullable) for c in table.columns},
            "indexes": {
                i["name"]: i["column_names"] for i in sa.inspect(connection).get_indexes("predictions_m")
            },
            "tables": sorted(sa.inspect(connection).get_table_names()),
            "rows": [dict(row) for row in rows],
            "labels": [tuple(r) for r in connection.execute(sa.text("SELECT * FROM labels_m")).all()],
            "view": connection.execute(sa.text("SELECT at FROM newest")).scalar_one(),
        }
    engine.dispose()
    return found


def opened(url: str) -> PredictionLog:
    return PredictionLog(url, manifest(*FIELDS), "m")


def test_an_old_log_keeps_all_it_has_and_takes_roles(old: str) -> None:
    before = state(old)
    assert before["key"] == ["request_id", "row_index"]
    log = opened(old)
    after = state(old)
    assert after["key"] == ["request_id", "row_index", "role"]
    assert len(before["rows"]) == ROWS
    assert after["rows"] == [row | {"variant": None} for row in before["rows"]]
    assert after["rows"][-1]["x_n"] == 2**60
    assert [r["x_of another"] for r in after["rows"] if r["request_id"] == "r3"] == ["kept"] * 2
    assert after["columns"] == before["columns"] | {"variant": ("TEXT", True)}
    assert after["indexes"].items() >= before["indexes"].items()
    assert {name: after[name] for name in ("labels", "tables", "view")} == {
        name: before[name] for name in ("labels", "tables", "view")
    }
    opened(old).close()
    assert state(old) == after  # nothing is left to be done
    # what was answered before is answered alike, whoever would answer it now
    rows = [{"100% ä:ö": 0.5, "n": 2**60, "yes": True}] * 2
    again = log.write_or_replay(entry("r7", rows, label="no", role="canary"))
    assert (again.prediction.values, again.version, again.role) == (["yes", "yes"], "1", "champion")
    with pytest.raises(ServingError, match="used before for other rows"):
        log.write_or_replay(entry("r7", rows[:1]))
    log.write([entry("r7", rows, label="no", role="shadow"), entry("new", rows, role="canary")])
    assert len(state(old)["rows"]) == ROWS + 4
    log.close()


def test_an_older_runtime_goes_on_with_a_migrated_log(old: str) -> None:
    engine = log_engine(old)
    with engine.connect() as connection:  # its connection stays open across the migration
        with connection.begin():
            old_insert(connection, old_row("before"))
        log = opened(old)
        with connection.begin():
            old_insert(connection, old_row("after"))
        with pytest.raises(sa.exc.IntegrityError), connection.begin():
            old_insert(connection, old_row("fresh"), old_row("after"))
    engine.dispose()
    rows = [{"100% ä:ö": 0.5, "n": 2**60, "yes": True}]
    assert log.write_or_replay(entry("after", rows, label="no")).prediction.values == ["yes"]
    assert {"before", "after"} <= {r["request_id"] for r in state(old)["rows"]}
    assert len(state(old)["rows"]) == ROWS + 2
    log.close()


def _open_and_write(url: str, barrier: Any) -> None:
    barrier.wait()
    log = opened(url)
    log.write([entry(uuid.uuid4().hex, [{}])])
    log.close()


@pytest.mark.slow
def test_several_open_it_at_once_while_an_older_runtime_writes(old: str) -> None:
    context = forks.context()
    barrier = context.Barrier(4)
    workers = [context.Process(target=_open_and_write, args=(old, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    written: list[str] = []
    over = threading.Event()

    def older() -> None:
        engine = log_engine(old)
        while not over.is_set():
            name = f"older {len(written)}"
            with engine.begin() as connection:
                old_insert(connection, old_row(name))
            written.append(name)
            time.sleep(0.001)
        engine.dispose()

    writer = threading.Thread(target=older)
    writer.start()
    barrier.wait(60)
    for worker in workers:
        worker.join(60)
    over.set()
    writer.join(60)
    assert [w.exitcode for w in workers] == [0] * 3
    found = state(old)
    assert found["key"] == ["request_id", "row_index", "role"]
    assert {row["request_id"] for row in found["rows"]} >= {*written}
    assert len(found["rows"]) == ROWS + 3 + len(written)


def _killed_after(url: str, statements: int) -> None:
    """Opens the log, and dies by SIGKILL after so many statements of the migration's transaction."""
    done = 0

    def executed(*_: Any) -> None:
        nonlocal done
        done += 1
        if done > statements:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "after_cursor_execute", executed)
    opened(url).close()


def test_killed_at_any_statement_it_is_the_old_one_or_the_new_one(old: str) -> None:
    before = state(old)
    killed = 0
    for statements in range(200):
        worker = forks.context().Process(target=_killed_after, args=(old, statements))
        worker.start()
        worker.join(60)
        after = state(old)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
        killed += 1
        if after["key"] != before["key"]:  # killed behind the migration's commit: it is the new one, below
            break
        assert after == before
    assert killed > 5
    assert after["key"] == ["request_id", "row_index", "role"]
    assert [{k: v for k, v in r.items() if k != "variant"} for r in after["rows"]] == before["rows"]
    opened(old).close()


def test_what_is_refused_is_not_migrated(old: str) -> None:
    before = state(old)
    with pytest.raises(LogRefused, match="'x_n' holds"):
        PredictionLog(old, manifest(Field("n", "string")), "m")
    assert state(old) == before
