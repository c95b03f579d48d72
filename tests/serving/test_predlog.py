"""The inference log on SQLite, and on PostgreSQL where MLOPS_TEST_POSTGRES names one."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import forks
import pytest
from sqlalchemy import exc, inspect, select

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.serving.dataplane import Prediction
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.predlog import LogEntry, LogRefused, PredictionLog
from mlops_workbench.serving.tables import feature_columns, slug, table_name

STRANGE = (
    "a b",
    "100%",
    "ä:ö",
    "x(y)",
    'q"uote',
    "semi;colon",
    "a.b",
    "[x]",
    "Case",
    "case",
    "l" * 80,
    "日本",
    "%(x)s",
    ":p",
)
FIELDS = (
    *(Field(name, "double") for name in STRANGE),
    Field("n", "long"),
    Field("s", "string"),
    Field("t", "datetime"),
    Field("yes", "boolean"),
)
ROW = {name: i + 0.1 for i, name in enumerate(STRANGE)} | {
    "n": 2**62,
    "s": "Zürich 'x'",
    "t": datetime(2026, 1, 2, 3, 4, 5),
    "yes": True,
}


def manifest(inputs: tuple[Field, ...] = FIELDS, **values: Any) -> Manifest:
    given = {"task": "classification", "classes": ("no", "yes"), "expected": ()} | values
    return Manifest(
        name="m",
        inputs=inputs,
        model_file="f",
        serialization="skops",
        trusted=(),
        sha256="0",
        python="3.11",
        requirements=(),
        **given,
    )


def entry(
    request_id: str,
    rows: list[dict[str, Any]],
    label: Any = "yes",
    chances: Any = (0.25, 0.75),
    role: str = "champion",
    variant: str | None = None,
) -> LogEntry:
    probabilities = None if chances is None else [list(chances)] * len(rows)
    answer = Prediction([label] * len(rows), probabilities)
    return LogEntry(request_id, rows, answer, "3", role, 1_800_000_000.5, 1.25, variant)


def rows_in(log: PredictionLog) -> list[dict[str, Any]]:
    with log.engine.begin() as connection:
        query = select(log.table).order_by(log.table.c.request_id, log.table.c.row_index)
        return [dict(r) for r in connection.execute(query).mappings()]


@pytest.fixture
def url(log_url: str) -> str:
    return log_url


@pytest.fixture
def log(url: str) -> Iterator[PredictionLog]:
    log = PredictionLog(url, manifest(), "My Flights!")
    yield log
    log.close()


def test_every_kind_of_value_under_every_name(log: PredictionLog) -> None:
    log.write([entry("b", [ROW]), entry("a", [ROW, {}])])
    first, empty, last = rows_in(log)
    columns = feature_columns(log.manifest.columns)
    assert {n: first[c] for n, c in columns.items()} == ROW | {"t": "2026-01-02T03:04:05"}
    assert {empty[c] for c in columns.values()} == {None}
    assert (first["request_id"], empty["row_index"], last["request_id"]) == ("a", 1, "b")
    assert (first["prediction"], first["score"], json.loads(first["probabilities"])) == (
        "yes",
        0.75,
        [0.25, 0.75],
    )
    assert (first["at"], first["model_version"], first["role"], first["latency_ms"]) == (
        1_800_000_000.5,
        "3",
        "champion",
        1.25,
    )


def test_a_known_request_id_writes_nothing(log: PredictionLog) -> None:
    log.write([entry("a", [ROW])])
    with pytest.raises(exc.IntegrityError):
        log.write([entry("new", [ROW]), entry("a", [ROW])])
    assert len(rows_in(log)) == 1


def test_the_same_request_again_gets_the_answer_of_then(log: PredictionLog) -> None:
    log.write([entry("a", [ROW, {}], label="yes")])
    again = log.write_or_replay(entry("a", [ROW, {}], label="no", chances=(1.0, 0.0)))
    assert again.prediction == Prediction(["yes", "yes"], [[0.25, 0.75], [0.25, 0.75]])
    assert len(rows_in(log)) == 2


def test_a_request_has_one_answer_and_a_row_a_role(log: PredictionLog) -> None:
    """What was predicted beside is no answer; an answer of then counts in whatever role it was given."""
    log.write([entry("a", [ROW], label="yes", role="shadow"), entry("b", [ROW], label="yes", role="shadow")])
    given = entry("a", [ROW], label="no", role="canary", variant="blue")
    assert log.write_or_replay(given) == given
    log.write_or_replay(entry("b", [ROW], label="no"))
    with pytest.raises(exc.IntegrityError):
        log.write([entry("new", [ROW]), entry("a", [ROW], role="champion")])
    with pytest.raises(exc.IntegrityError):
        log.write([entry("twice", [ROW]), entry("twice", [ROW], role="canary")])
    again = log.write_or_replay(entry("a", [ROW], label="yes", role="champion"))
    assert (again.prediction.values, again.role, again.variant) == (["no"], "canary", "blue")
    with pytest.raises(ServingError, match="'a' was used before for other rows"):
        log.write_or_replay(entry("a", [{}], role="champion"))
    shadow = log.write_or_replay(entry("a", [ROW], label="no", role="shadow"))
    assert (shadow.prediction.values, shadow.role) == (["yes"], "shadow")
    found = [(r["request_id"], r["role"], r["variant"], r["prediction"]) for r in rows_in(log)]
    assert sorted(found, key=str) == [
        ("a", "canary", "blue", "no"),
        ("a", "shadow", None, "yes"),
        ("b", "champion", None, "no"),
        ("b", "shadow", None, "yes"),
    ]


@pytest.mark.parametrize("rows", [[ROW], [ROW, ROW], [{}, ROW], [ROW, {}, {}], [ROW | {"s": "x"}, {}]])
def test_the_same_id_for_other_rows_is_a_conflict(log: PredictionLog, rows: list[dict[str, Any]]) -> None:
    log.write([entry("a", [ROW, {}])])
    with pytest.raises(ServingError, match="'a' was used before for other rows") as caught:
        log.write_or_replay(entry("a", rows))
    assert caught.value.status == 409


@pytest.mark.parametrize(
    ("task", "classes", "label", "chances", "stored", "score"),
    [
        ("classification", (0, 1), 1, (0.2, 0.8), 1.0, 0.8),
        ("classification", (False, True), False, (0.9, 0.1), 0.0, 0.1),
        ("classification", ("a", "b", "c"), "b", (0.2, 0.5, 0.3), "b", 0.5),
        ("classification", ("a", "b"), "a", None, "a", None),
        ("regression", (), 2.5, None, 2.5, None),
        ("regression", (), float("nan"), None, None, None),
        ("other", (), [1, "x"], None, '[1, "x"]', None),
    ],
)
def test_predictions_by_task(
    url: str, task: Any, classes: Any, label: Any, chances: Any, stored: Any, score: Any
) -> None:
    expected = ([1, "x"],) if task == "other" else ()
    log = PredictionLog(url, manifest(FIELDS[-2:], task=task, classes=classes, expected=expected), "m")
    log.write([entry("a", [{}], label, chances)])
    (row,) = rows_in(log)
    assert (row["prediction"], row["score"]) == (stored, score)
    replayed = log.write_or_replay(entry("a", [{}], label, chances)).prediction.values
    assert replayed == ([None] if stored is None else [label])
    assert type(replayed[0]) is (type(None) if stored is None else type(label))
    log.close()


def test_a_later_version_adds_columns_and_drops_none(url: str) -> None:
    first = PredictionLog(url, manifest((Field("a", "double"), Field("b", "string"))), "m")
    first.write([entry("1", [{"a": 1.0, "b": "x"}])])
    second = PredictionLog(url, manifest((Field("a", "double"), Field("100% new", "boolean"))), "m")
    second.write([entry("2", [{"a": 2.0, "100% new": False}])])
    first.write([entry("3", [{"a": 3.0, "b": "y"}])])
    with second.engine.begin() as connection:
        names = {c["name"] for c in inspect(connection).get_columns(table_name("m"))}
        indexed = inspect(connection).get_indexes(table_name("m"))
    assert {"x_a", "x_b", "x_100% new"} <= names
    assert ["at"] in [i["column_names"] for i in indexed]
    assert [r["x_100% new"] for r in rows_in(second)] == [None, False, None]
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("before", "after"), [("double", "string"), ("long", "double"), ("string", "boolean")]
)
def test_a_column_of_another_type_is_refused(url: str, before: Any, after: Any) -> None:
    PredictionLog(url, manifest((Field("a", before),)), "m").close()
    with pytest.raises(LogRefused, match="'x_a' holds"):
        PredictionLog(url, manifest((Field("a", after),)), "m")


def _open_at_once(url: str, barrier: Any, done: Any) -> None:
    barrier.wait()
    log = PredictionLog(url, manifest(), "m")
    log.write([entry(uuid.uuid4().hex, [ROW])])
    log.close()
    done.put(1)


def test_several_processes_start_at_once(url: str) -> None:
    context = forks.context()
    barrier, done = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_open_at_once, args=(url, barrier, done)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0] * 4
    log = PredictionLog(url, manifest(), "m")
    assert len(rows_in(log)) == 4
    log.close()


def test_writable_leaves_nothing(log: PredictionLog) -> None:
    assert log.writable()
    assert rows_in(log) == []
    with log.engine.begin() as connection:
        connection.exec_driver_sql(f'ALTER TABLE "{log.table.name}" RENAME COLUMN role TO part')
    assert not log.writable()


def test_a_table_that_is_gone_is_made_again(log: PredictionLog) -> None:
    for look in (log.writable, lambda: log.write([entry("a", [ROW])])):
        with log.engine.begin() as connection:
            connection.exec_driver_sql(f'DROP TABLE "{log.table.name}"')
        assert look() in (True, None)
    assert [row["request_id"] for row in rows_in(log)] == ["a"]


def test_a_log_that_cannot_be_written_says_so_without_the_rows(log: PredictionLog) -> None:
    with log.engine.begin() as connection:
        connection.exec_driver_sql(f'ALTER TABLE "{log.table.name}" RENAME COLUMN role TO part')
    with pytest.raises(ServingError, match="could not be logged") as caught:
        log.write([entry("a", [ROW])])
    assert caught.value.status == 503
    assert "Zürich" not in str(caught.value.to_dict())


@pytest.mark.parametrize("bad", ["nonsense", "sqlite:////nowhere/at/all/x.db", "oracle://x/y"])
def test_addresses_that_cannot_be_used(bad: str) -> None:
    with pytest.raises(LogRefused):
        PredictionLog(bad, manifest(), "m")


def test_sqlite_is_in_wal_mode(tmp_path: Path) -> None:
    PredictionLog(f"sqlite:///{tmp_path}/i.db", manifest(), "m").close()
    with sqlite3.connect(tmp_path / "i.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_too_many_columns() -> None:
    with pytest.raises(LogRefused, match="1501 columns"):
        PredictionLog("sqlite://", manifest(tuple(Field(f"f{i}", "double") for i in range(1501))), "m")


def test_no_two_names_share_a_table() -> None:
    names = [
        "flights",
        "Flights",
        "fl ights",
        "fl_ights",
        "flights!",
        "x" * 100,
        "x" * 101,
        "ä",
        "ö",
        "",
        "_",
    ]
    names += [slug(n) for n in names]  # a name may look like the slug of another
    assert len({slug(n) for n in set(names)}) == len(set(names))
    assert slug("flights") == "flights"
    assert all(len(f"ix_{table_name(n)}_at") <= 63 for n in names)
    assert all(set(slug(n)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for n in names)


def test_column_names_are_plain_unless_they_cannot_be() -> None:
    assert feature_columns(["a b", "Größe"]) == {"a b": "x_a b", "Größe": "x_Größe"}
    made = feature_columns(["a", "A", "ü" * 40, "ü" * 41])
    assert len({c.lower() for c in made.values()}) == 4
    assert all(len(c.encode()) <= 63 for c in made.values())
