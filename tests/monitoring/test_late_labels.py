"""Labels that come late: by request and by key, before their prediction, again, corrected, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.config.monitor import MonitorPolicy
from mlops_workbench.monitor import inference, judged, keyed, retention, sealing
from mlops_workbench.monitor.inference import LogSelection
from mlops_workbench.monitor.keyed import EntityKey, write_keyed_labels
from mlops_workbench.monitor.labels import LabelForm, write_labels
from mlops_workbench.monitor.windowed import WindowLog

DAY = 86_400.0
START = 1_767_225_600.0
NOW = datetime(2026, 1, 18, tzinfo=UTC)
BY = EntityKey("customer", "seen", 7 * DAY)
CLASSES = LabelForm(classes=["no", "yes"])


@dataclass
class Log:
    """A prediction log that rows can be added to, as the runtime or an import adds them."""

    url: str
    table: sa.Table

    @classmethod
    def made(cls, url: str, key: Any = sa.Text) -> Log:
        table = sa.Table(
            "predictions_m",
            sa.MetaData(),
            sa.Column("request_id", sa.Text, primary_key=True),
            sa.Column("row_index", sa.Integer, primary_key=True),
            sa.Column("role", sa.Text, primary_key=True),
            sa.Column("at", sa.Double, nullable=False),
            sa.Column("model_version", sa.Text),
            sa.Column("prediction", sa.Text),
            sa.Column("score", sa.Double),
            sa.Column("x_customer", key),
        )
        engine = sa.create_engine(url)
        table.drop(engine, checkfirst=True)
        table.create(engine)
        engine.dispose()
        return cls(url, table)

    def add(self, *rows: tuple[str, float, Any], role: str = "champion") -> None:
        """(request, days since the start, customer)"""
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            for request, day, customer in rows:
                values = {"at": START + day * DAY, "model_version": "1", "prediction": "yes", "score": 0.5}
                key = {"request_id": request, "row_index": 0, "role": role, "x_customer": customer}
                connection.execute(sa.insert(self.table).values(values | key))
        engine.dispose()

    def labels(self) -> dict[str, str]:
        keyed.settle(self.url, "m")
        facts = inference.read(self.url, "m", features=[]).facts
        return {r: v for r, v in zip(facts["request_id"], facts["label"], strict=True) if v is not None}

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
        engine.dispose()
        return [tuple(row) for row in found]


def given_labels(*rows: tuple[Any, float, str | None]) -> pd.DataFrame:
    """(customer, days since the start, label)"""
    frame = pd.DataFrame(rows, columns=["customer", "seen", "outcome"])
    frame["seen"] = pd.to_datetime(START + frame["seen"] * DAY, unit="s", utc=True)
    return frame


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    if request.param == "sqlite":
        return Log.made(f"sqlite:///{tmp_path / 'log.db'}")
    return Log.made(request.getfixturevalue("database"))


def test_a_label_is_of_the_nearest_answer_before_it(log: Log) -> None:
    log.add(("a", 1, "ada"), ("b", 3, "ada"), ("c", 6, "ada"), ("d", 3, "bob"), ("old", -9, "eve"))
    log.add(("s", 4, "ada"), role="shadow")
    labels = given_labels(
        ("ada", 5, "yes"),
        ("bob", 3, "no"),
        ("eve", 0, "yes"),
        ("ada", 0, "no"),
        ("bob", 9, None),
        ("bob", 11, "yes"),
    )
    receipt = write_keyed_labels(log.url, "m", labels, BY, CLASSES)
    assert log.labels() == {"b": "yes", "d": "no"}
    assert (receipt.matched, receipt.unmatched, receipt.skipped, receipt.total) == (2, 3, 1, 5)
    assert "3 wait for theirs and are kept" in receipt.title


def test_a_label_waits_for_its_prediction_and_moves_to_a_nearer_one(log: Log) -> None:
    log.add(("a", 1, "ada"))
    receipt = write_keyed_labels(log.url, "m", given_labels(("ada", 5, "yes"), ("bob", 5, "no")), BY, CLASSES)
    assert (receipt.matched, receipt.unmatched) == (1, 1)
    assert log.labels() == {"a": "yes"}
    log.add(("b", 4, "ada"), ("c", 2, "bob"))  # logged later than their labels came
    assert log.labels() == {"b": "yes", "c": "no"}


def test_a_correction_keeps_the_earlier_value_and_a_repeated_label_its_time(log: Log) -> None:
    log.add(("a", 1, "ada"), ("b", 1, "bob"))
    both = given_labels(("ada", 2, "yes"), ("bob", 2, "yes"))
    write_keyed_labels(log.url, "m", both, BY, CLASSES)
    receipt = write_keyed_labels(log.url, "m", both.assign(outcome=["no", "yes"]), BY, CLASSES)
    assert (receipt.replaced, receipt.corrected) == (2, 1)
    assert log.labels() == {"a": "no", "b": "yes"}
    ((_, _, column, key, value, at, _),) = log.rows("label_history_m")
    assert (column, key, value, at) == ("customer", "ada", "yes", START + 2 * DAY)
    frame = pd.DataFrame({"request_id": ["a", "b"], "y": ["yes", "yes"]})
    assert write_labels(log.url, "m", frame, CLASSES).corrected == 1
    assert log.labels() == {"a": "yes", "b": "yes"}
    assert len(log.rows("label_history_m")) == 2
    # what names the row itself counts before what names its key, whichever came last
    write_keyed_labels(log.url, "m", both.assign(outcome="no"), BY, CLASSES)
    assert log.labels() == {"a": "yes", "b": "yes"}


def test_repeated_labels_by_request_keep_their_time(log: Log) -> None:
    log.add(("a", 1, "ada"))
    frame = pd.DataFrame({"request_id": ["a"], "y": ["yes"]})
    for day, value, since in ((1, "yes", 1), (2, "yes", 1), (3, "no", 3)):
        write_labels(log.url, "m", frame.assign(y=value), CLASSES, now=datetime(2026, 1, day, tzinfo=UTC))
        assert log.rows("labels_m") == [
            ("a", 0, value, datetime(2026, 1, since, tzinfo=UTC).timestamp(), None)
        ]
    assert log.rows("label_history_m")[0][4:6] == ("yes", datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def test_wrong_ids_are_pointed_out_and_may_wait(log: Log) -> None:
    log.add(("a", 1, "ada"))
    frame = pd.DataFrame({"request_id": ["x"], "y": ["yes"]})
    with pytest.raises(
        InvalidData, match=r"None of the 1 labels belongs to a logged prediction.*the option wait"
    ):
        write_labels(log.url, "m", frame, CLASSES)
    with pytest.raises(InvalidData, match="None of the 1 keys was ever asked about, such as customer 'Ada'"):
        write_keyed_labels(log.url, "m", given_labels(("Ada", 5, "yes")), BY, CLASSES)
    waiting = LabelForm(classes=["no", "yes"], wait=True)
    receipt = write_labels(log.url, "m", frame, waiting)
    assert (receipt.matched, receipt.unmatched) == (0, 1)
    assert "check the ids" in receipt.title
    assert write_keyed_labels(log.url, "m", given_labels(("Ada", 5, "yes")), BY, waiting).unmatched == 1
    log.add(("x", 1, "eve"), ("y", 4, "Ada"))
    assert log.labels() == {"x": "yes", "y": "yes"}


def test_labels_may_come_before_the_first_prediction(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with pytest.raises(NotFound, match="No prediction of 'm'"):
        write_keyed_labels(url, "m", given_labels(("ada", 5, "yes")), BY, CLASSES)
    assert not (tmp_path / "log.db").exists()
    waiting = LabelForm(classes=["no", "yes"], wait=True)
    write_keyed_labels(url, "m", given_labels(("ada", 5, "yes")), BY, waiting)
    write_labels(url, "m", pd.DataFrame({"request_id": ["b"], "y": ["no"]}), waiting)
    log = Log.made(url)
    log.add(("a", 1, "ada"), ("b", 1, "bob"))
    assert log.labels() == {"a": "yes", "b": "no"}


def test_keys_of_numbers_and_what_does_not_fit(tmp_path: Path) -> None:
    log = Log.made(f"sqlite:///{tmp_path / 'log.db'}", key=sa.Double)
    log.add(("a", 1, 7.0), ("b", 1, 7.5), ("gap", 1, None))
    labels = given_labels((7, 2, "yes"), (7.5, 2, "no"), (None, 2, "no"))
    assert write_keyed_labels(log.url, "m", labels, BY, CLASSES).skipped == 1
    assert log.labels() == {"a": "yes", "b": "no"}
    seconds = labels.assign(seen=START + 3 * DAY, outcome="no")
    assert write_keyed_labels(log.url, "m", seconds, BY, CLASSES).matched == 2
    assert log.labels() == {"a": "no", "b": "no"}
    with pytest.raises(InvalidData, match=r"'seen' of a label must be a time\. Got 'soon'"):
        write_keyed_labels(log.url, "m", labels.assign(seen="soon"), BY, CLASSES)
    with pytest.raises(InvalidData, match=r"The log has no feature 'custom'.*'customer'"):
        write_keyed_labels(log.url, "m", labels, EntityKey("custom", "seen"), CLASSES)


def test_what_is_deleted_for_its_age_leaves_no_label_behind(log: Log) -> None:
    """Not the value before a correction, and not a label that waits for a row of that time."""
    log.add(("old", 1, "ada"), ("new", 9, "bob"))
    for value in ("yes", "no"):
        write_labels(log.url, "m", pd.DataFrame({"request_id": ["old", "new"], "y": value}), CLASSES, now=NOW)
        both = given_labels(("ada", 2, value), ("bob", 10, value), ("eve", 2, value), ("eve", 10, value))
        write_keyed_labels(log.url, "m", both, BY, CLASSES, now=NOW)
    assert len(log.rows("label_history_m")) == 6
    waiting = LabelForm(classes=["no", "yes"], wait=True)
    for request, day in (("never", 2), ("later", 17)):
        one = pd.DataFrame({"request_id": [request], "y": ["yes"]})
        write_labels(log.url, "m", one, waiting, now=datetime(2026, 1, day, tzinfo=UTC))
    windows = WindowLog(log.url, "m", lambda _: None)
    sealing.seal(windows, START + 20 * DAY)
    retention.prune(windows, MonitorPolicy(keep_rows="15d"), START + 20 * DAY)
    assert log.labels() == {"new": "no"}
    assert {row[0] for row in log.rows("labels_m")} == {"new", "later"}
    assert sorted((row[1], row[2]) for row in log.rows("keyed_labels_m")) == [
        ("bob", START + 10 * DAY),
        ("eve", START + 10 * DAY),
    ]
    history = [(row[0], row[3], row[4]) for row in log.rows("label_history_m")]
    assert sorted(history, key=str) == [
        ("new", "bob", "yes"),  # which was matched when it was corrected
        ("new", None, "yes"),
        (None, "eve", "yes"),
    ]


def test_quality_reads_the_same_rows_from_any_store(log: Log) -> None:
    log.add(*((f"r{i}", i % 3, f"c{i}") for i in range(7)))
    log.add(("r1", 1, "c1"), role="shadow")
    write_labels(
        log.url, "m", pd.DataFrame({"request_id": ["r1", "r4", "later"], "y": ["yes", "no", "no"]}), CLASSES
    )
    for since in (None, START + 0.5 * DAY):
        rows = judged.read(log.url, "m", LogSelection(["1"], since=since), ["customer"])
        found = {c: (a, v) for c, a, v in zip(rows.features["customer"], rows.at, rows.label, strict=True)}
        labels = {"c1": "yes", "c4": "no"}
        assert found == {
            f"c{i}": (START + i % 3 * DAY, labels.get(f"c{i}")) for i in range(7) if since is None or i % 3
        }
        assert rows.labelled.sum() == 2
        assert np.isfinite(rows.labelled_at).sum() == 2
    assert len(judged.read(log.url, "m", LogSelection(["2"]))) == 0
    assert judged.read(log.url, "m", LogSelection(roles=["shadow"])).label.tolist() == ["yes"]


def test_row_numbers_with_wide_gaps_find_their_labels() -> None:
    rows = np.array([5, 10**12, 7])
    assert judged._places(rows, np.array([7, 6, 10**12])).tolist() == [2, -1, 1]
    assert judged._places(np.array([5, 9, 7]), np.array([7, 6, 10**12, 1])).tolist() == [2, -1, -1, -1]
    assert judged._places(rows[:0], rows).tolist() == [-1, -1, -1]


def test_an_older_table_of_labels_is_brought_up_to_date(log: Log) -> None:
    log.add(("a", 1, "ada"))
    engine = sa.create_engine(log.url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE labels_m (request_id TEXT NOT NULL, row_index INTEGER NOT NULL, label TEXT NOT NULL, "
            "at DOUBLE PRECISION NOT NULL, PRIMARY KEY (request_id, row_index))"
        )
        connection.exec_driver_sql("INSERT INTO labels_m VALUES ('a', 0, 'no', 5)")
    engine.dispose()
    assert log.labels() == {"a": "no"}
    assert (
        write_labels(log.url, "m", pd.DataFrame({"request_id": ["a"], "y": ["yes"]}), CLASSES).corrected == 1
    )
    assert log.labels() == {"a": "yes"}


def expected(rows: Sequence[tuple[str, int, str]], labels: Sequence[tuple[str, int, str]]) -> dict[str, str]:
    """The definition, row by row."""
    final = {(customer, day): value for customer, day, value in labels}
    found: dict[str, tuple[int, str]] = {}
    for (customer, day), value in final.items():
        near = [(d, r) for r, d, c in rows if c == customer and day - 7 <= d <= day]
        if near:
            request = max(near)[1]
            found[request] = max(found.get(request, (-1, "")), (day, value))
    return {request: value for request, (_, value) in found.items()}


@settings(max_examples=12)
@given(
    days=st.lists(st.tuples(st.integers(0, 20), st.sampled_from("ab")), min_size=1, max_size=8),
    outcomes=st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.integers(0, 25)),
        st.sampled_from(["no", "yes"]),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 99),
)
def test_the_order_of_rows_and_labels_does_not_matter(
    days: list[tuple[int, str]],
    outcomes: dict[tuple[str, int], str],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rows = [(f"r{i}", day, customer) for i, (day, customer) in enumerate(days)]
    labels = [(customer, day, value) for (customer, day), value in outcomes.items()]
    log = Log.made(f"sqlite:///{tmp_path_factory.mktemp('order') / 'log.db'}")
    events: list[tuple[str, Any]] = [("row", row) for row in rows] + [("label", one) for one in labels]
    waiting = LabelForm(classes=["no", "yes"], wait=True)
    for place in np.random.default_rng(seed).permutation(len(events)):
        what, value = events[place]
        if what == "row":
            log.add(value)
        else:
            write_keyed_labels(log.url, "m", given_labels(value), BY, waiting)
    assert log.labels() == expected(rows, labels)
