"""What waits is one call and one commit; a bad request fails alone; a full queue says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import model_folders
import pytest
from sqlalchemy import event, func, select

from mlops_workbench.serving.batcher import Batcher, Limits, Pending
from mlops_workbench.serving.dataplane import DataPlane, Prediction, Row
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.serving.predlog import PredictionLog

GOOD = {"dep delay": 50.0, "größe": 2.0, "seats": 100, "carrier": "AA", "night": True}


class Gate(DataPlane):
    """The real model, held until the test lets it go; it remembers how many rows each call had."""

    def __init__(self, plane: DataPlane) -> None:
        super().__init__(plane.manifest, name=plane.name, version=plane.version, original=plane.original)
        self.open = threading.Event()
        self.entered = threading.Event()
        self.calls: list[int] = []

    def predict(self, rows: Sequence[Row], *, wait: bool = True) -> Prediction:
        self.calls.append(len(rows))
        self.entered.set()
        assert self.open.wait(30)
        return super().predict(rows, wait=wait)


class Setup:
    def __init__(self, folder: Path, tmp_path: Path, limits: Limits | None = None) -> None:
        self.plane = Gate(DataPlane.load(folder, name="flights", version="3"))
        self.log = PredictionLog(f"sqlite:///{tmp_path}/i.db", self.plane.manifest, "flights")
        self.commits = 0
        event.listen(self.log.engine, "checkout", self._watched)
        self.metrics = Metrics(model="flights", version="3")
        self.batcher = Batcher(self.plane, self.log, limits=limits or Limits(), metrics=self.metrics)
        self.batcher.start()

    def _watched(self, connection: Any, *_: Any) -> None:
        connection.set_trace_callback(self._said)

    def _said(self, statement: str) -> None:
        self.commits += statement == "COMMIT"

    def send(
        self, request_id: str, *rows: dict[str, Any], role: str = "champion", variant: str | None = None
    ) -> Any:
        pending = Pending(request_id, list(rows or (GOOD,)), time.perf_counter(), role, variant)
        return self.batcher.submit(pending)

    def hold(self) -> Any:
        """A first request that the model is busy with, so that what follows has to wait."""
        future = self.send("first")
        assert self.plane.entered.wait(30)
        return future

    def logged(self) -> int:
        with self.log.engine.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(self.log.table)).scalar_one())


@pytest.fixture
def make(classifier_folder: Path, tmp_path: Path) -> Iterator[Any]:
    made: list[Setup] = []

    def build(limits: Limits | None = None) -> Setup:
        made.append(Setup(classifier_folder, tmp_path, limits))
        return made[-1]

    yield build
    for setup in made:
        setup.plane.open.set()
        setup.batcher.close()
        setup.log.close()


def test_what_waits_is_one_call_and_one_commit(make: Any) -> None:
    setup = make()
    first = setup.hold()
    before = setup.commits
    waiting = [setup.send(f"r{i}", GOOD, GOOD | {"dep delay": -50.0}) for i in range(20)]
    assert setup.batcher.waiting_rows == 40
    setup.plane.open.set()
    answers = [f.result(30).prediction.values for f in waiting]
    assert first.result(30).prediction.values == ["late"]
    assert answers == [["late", "on time"]] * 20
    assert setup.plane.calls == [1, 40]
    assert setup.commits - before == 2
    assert setup.logged() == 41


def test_small_requests_do_not_wait_for_a_large_one(make: Any) -> None:
    setup = make()
    first = setup.hold()
    large = setup.send("large", *[GOOD] * 5000)
    small = setup.send("small")
    other = setup.send("other large", *[GOOD] * 3000)
    small.add_done_callback(lambda _: done.append("small"))
    large.add_done_callback(lambda _: done.append("large"))
    done: list[str] = []
    setup.plane.open.set()
    answers = large.result(30).prediction
    assert (len(answers.values), set(answers.values), len(answers.probabilities)) == (5000, {"late"}, 5000)
    assert len(other.result(30).prediction.values) == 3000
    assert first.result(30).prediction.values == small.result(30).prediction.values == ["late"]
    assert done == ["small", "large"]
    assert setup.plane.calls[:4] == [1, 1024, 1, 1024]
    assert setup.logged() == 8002
    assert setup.batcher.waiting_rows == 0


def test_an_answer_is_in_the_log_before_it_is_given(make: Any) -> None:
    setup = make()
    setup.plane.open.set()
    for i in range(5):
        setup.send(f"r{i}").result(30)
        assert setup.logged() == i + 1


def test_a_call_holds_at_most_batch_rows(make: Any) -> None:
    setup = make(Limits(batch_rows=4))
    setup.hold()
    futures = [setup.send(f"r{i}", GOOD, GOOD, GOOD) for i in range(3)] + [setup.send("big", *[GOOD] * 9)]
    setup.plane.open.set()
    assert [len(f.result(30).rows) for f in futures] == [3, 3, 3, 9]
    assert setup.plane.calls == [1, 3, 3, 3, 9]


def test_one_bad_request_fails_alone(make: Any) -> None:
    setup = make()
    setup.hold()
    good = setup.send("good")
    bad = setup.send("bad", GOOD | {"seats": "not a number"})  # behind the schema: the model itself refuses
    other = setup.send("other")
    setup.plane.open.set()
    assert good.result(30).prediction.values == other.result(30).prediction.values == ["late"]
    with pytest.raises(ServingError, match="does not accept these rows") as caught:
        bad.result(30)
    assert caught.value.status == 422
    assert setup.logged() == 3


def test_beyond_the_queue_requests_are_refused(make: Any) -> None:
    setup = make(Limits(waiting_rows=3))
    setup.hold()
    kept = [setup.send("a", GOOD, GOOD), setup.send("b")]
    with pytest.raises(ServingError, match="3 rows are waiting") as caught:
        setup.send("c")
    assert caught.value.status == 503
    assert caught.value.headers == {"Retry-After": "1"}
    setup.plane.open.set()
    assert [len(f.result(30).rows) for f in kept] == [2, 1]
    setup.send("c").result(30)


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits(make: Any) -> None:
    setup = make(Limits(waiting_rows=3))
    setup.plane.open.set()
    assert len(setup.send("big", *[GOOD] * 10).result(30).rows) == 10


def test_the_same_id_twice_in_one_batch(make: Any) -> None:
    setup = make()
    setup.hold()
    same = [setup.send("x"), setup.send("x"), setup.send("x", GOOD | {"seats": 1}), setup.send("y")]
    setup.plane.open.set()
    assert same[0].result(30).prediction == same[1].result(30).prediction
    with pytest.raises(ServingError, match="'x' was used before for other rows"):
        same[2].result(30)
    same[3].result(30)
    assert setup.logged() == 3


def test_role_and_variant_are_of_the_request(make: Any) -> None:
    """Requests of one call are logged each in its own role; a request and its shadow are two rows."""
    setup = make()
    setup.hold()
    sent = [
        setup.send("a", role="canary", variant="blue"),
        setup.send("a", role="shadow"),
        setup.send("b", GOOD, GOOD),
        setup.send("b", role="canary"),
    ]
    setup.plane.open.set()
    assert [(f.result(30).role, f.result(30).variant) for f in sent[:3]] == [
        ("canary", "blue"),
        ("shadow", None),
        ("champion", None),
    ]
    with pytest.raises(ServingError, match="'b' was used before for other rows"):
        sent[3].result(30)
    assert setup.plane.calls == [1, 5]
    with setup.log.engine.begin() as connection:
        table = setup.log.table.c
        query = select(table.request_id, table.row_index, table.role, table.variant)
        found = [tuple(r) for r in connection.execute(query.order_by(*query.selected_columns)).all()]
    assert found[:4] == [
        ("a", 0, "canary", "blue"),
        ("a", 0, "shadow", None),
        ("b", 0, "champion", None),
        ("b", 1, "champion", None),
    ]


def test_a_caller_that_went_away_is_left_out(make: Any) -> None:
    setup = make()
    setup.hold()
    gone, stays = setup.send("gone"), setup.send("stays")
    assert gone.cancel()
    setup.plane.open.set()
    stays.result(30)
    assert setup.plane.calls == [1, 1]
    assert setup.logged() == 2


def test_no_answer_without_its_log(make: Any) -> None:
    setup = make()
    setup.plane.open.set()
    setup.send("a").result(30)
    with setup.log.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {setup.log.table.name} RENAME TO away")
        connection.exec_driver_sql(f"CREATE TABLE {setup.log.table.name} (x INTEGER)")  # not one of ours
    with pytest.raises(ServingError, match="could not be logged") as caught:
        setup.send("b").result(30)
    assert caught.value.kind == "LogUnavailable"
    with setup.log.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {setup.log.table.name}")
        connection.exec_driver_sql(f"ALTER TABLE away RENAME TO {setup.log.table.name}")
    setup.send("b").result(30)  # the worker lives on


def test_closing_answers_what_waits(make: Any) -> None:
    setup = make()
    setup.hold()
    waiting = [setup.send(f"r{i}") for i in range(10)]
    closing = threading.Thread(target=setup.batcher.close)
    closing.start()
    setup.plane.open.set()
    closing.join(30)
    assert all(f.done() for f in waiting)
    assert setup.logged() == 11
    with pytest.raises(ServingError, match="shutting down"):
        setup.send("late")


def test_many_threads_get_their_own_answers(make: Any) -> None:
    setup = make()
    setup.plane.open.set()
    frame = model_folders.flights(60, seed=3).drop(columns="sched")
    rows = [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict(orient="records")]
    alone = setup.plane.predict(rows).values
    futures: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: futures.update({i: setup.send(f"r{i}", rows[i])}))
        for i in range(len(rows))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [futures[i].result(30).prediction.values[0] for i in range(len(rows))] == alone
