"""Deployments that follow the champion: moved with it, left alone by what does not load, mended after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import forks
import pandas as pd
import pytest
import sqlalchemy as sa
from callers import Callers
from projects import champion, fit, trips
from serving_kit import ask

from mlops_workbench.alerts import records as alerts
from mlops_workbench.base.errors import Conflict, NotFound, ServingFailed, UsageError
from mlops_workbench.registry import intents, ledger
from mlops_workbench.registry.intents import Intent
from mlops_workbench.rollout import cut_over, following
from mlops_workbench.rollout.records import Live
from mlops_workbench.serving.pointer import Pointer
from mlops_workbench.track.tracking import Tracking
from mlops_workbench.workbench import Workbench

ROW = {"hour": 9, "wind speed": 3.0, "größe": 0.5, "carrier": "UA"}


@pytest.fixture
def workbench(workbench: Workbench) -> Iterator[Workbench]:
    yield workbench
    for deployment in workbench.deployments().deployments:
        workbench.stop(deployment.model)


def three_versions(workbench: Workbench) -> None:
    """Version 1 is champion; two others are about as good."""
    champion(workbench)
    for number in (2, 3):
        workbench.register(fit(workbench, c=0.8 + 0.1 * number, run=f"run {number}"), name="trips")


pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.prepared(by=three_versions),
]


def followed(workbench: Workbench) -> Live:
    return workbench.serve("trips", follow=True)


def fewer_columns(workbench: Workbench) -> int:
    """A version that does not read the carrier."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame: pd.DataFrame = trips(seed=1).drop(columns="carrier")
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(
        frame.drop(columns="late"), frame["late"]
    )
    return workbench.register(model, name="trips", data=frame, evaluate=frame).version


def served(live: Live) -> str:
    return str(ask(f"{live.url}/").json["version"])


def eventually(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def logged(workbench: Workbench) -> list[tuple[str, str, float]]:
    """(request id, version, Unix seconds) of every row of the prediction log."""
    engine = sa.create_engine(workbench.project.inference_url)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT request_id, model_version, at FROM predictions_trips")
        ).all()
    engine.dispose()
    return [(r[0], r[1], r[2]) for r in rows]


@pytest.mark.both_stores
def test_64_clients_across_20_swaps(workbench: Workbench) -> None:
    live = followed(workbench)
    moves: list[tuple[float, float, str]] = [(0.0, 0.0, "1")]
    with Callers(live.deployment.port, 64, {"rows": [ROW]}) as callers:
        callers.wait_for(100)
        for turn in range(20):
            begun = time.monotonic()
            if turn % 5 == 4:
                version = str(workbench.rollback("trips", why="back").new_version)
            else:
                version = str(2 + turn % 2)
                workbench.promote(f"trips/{version}", why="on", force=True)
            moves.append((begun, time.monotonic(), version))
            assert served(live) == version
            callers.wait_for(100)
    assert [s for s in callers.said if s.status != 200] == []
    for said in callers.said:
        assert said.version in champions(moves, said.sent, said.received), said
    answers = {s.body["request_id"]: s.version for s in callers.said}
    rows = logged(workbench)
    assert len(answers) == len(callers.said) == len(rows)
    assert {request: version for request, version, _ in rows} == answers
    # and to the microsecond by ledger and log: while the alias moves nobody is answered
    champion_periods = ledger.champion_periods(ledger.entries(workbench.store, "trips"))
    for _, version, at in rows:
        then = [r for r in champion_periods if datetime.fromisoformat(r.since).timestamp() <= at]
        assert str(then[-1].version) == version
    assert {s.version for s in callers.said} == {"1", "2", "3"}
    assert alerts.find(workbench.store) == ()
    assert [d.version for d in workbench.deployments().deployments] == [moves[-1][2]]


def champions(moves: list[tuple[float, float, str]], sent: float, received: float) -> set[str]:
    """Who was champion at some moment between: a move happened at some moment between its begin and its end."""
    found = set()
    for (begun, _, version), after in zip(moves, [*moves[1:], None], strict=True):
        ended = after[1] if after else float("inf")
        if begun <= received and sent <= ended:
            found.add(version)
    return found


def test_a_version_with_other_columns_takes_over(workbench: Workbench) -> None:
    live = followed(workbench)
    first = ask(f"{live.url}/predict", {"rows": [ROW], "request_id": "one"}).json
    assert "carrier" in ask(f"{live.url}/openapi.json").body.decode()
    workbench.promote("trips", version=fewer_columns(workbench), why="fewer", force=True)
    told = ask(f"{live.url}/").json
    assert (told["version"], [f["name"] for f in told["inputs"]]) == ("4", ["hour", "wind speed", "größe"])
    assert "carrier" not in ask(f"{live.url}/openapi.json").body.decode()
    assert ask(f"{live.url}/v2/models/trips").json["versions"] == ["4"]
    assert ask(f"{live.url}/v2/models/trips/versions/1").status == 404
    assert ask(f"{live.url}/v2/models/trips/versions/4/ready").status == 200
    assert ask(f"{live.url}/health/ready").json["digest"] == told["digest"]
    metrics = ask(f"{live.url}/metrics").body.decode()
    assert 'mlops_queue_rows{model="trips",version="4"}' in metrics
    assert 'mlops_queue_rows{model="trips",version="1"}' not in metrics
    assert 'mlops_predictions_total{model="trips",version="1"} 1.0' in metrics
    assert ask(f"{live.url}/predict", {"rows": [ROW]}).status == 422
    fewer = {k: v for k, v in ROW.items() if k != "carrier"}
    assert ask(f"{live.url}/predict", {"rows": [fewer], "request_id": "two"}).json["version"] == "4"
    # 'one' stands for a row with a carrier, whatever this version reads
    assert ask(f"{live.url}/predict", {"rows": [fewer], "request_id": "one"}).status == 409
    workbench.rollback("trips", why="back")
    again = ask(f"{live.url}/predict", {"rows": [ROW], "request_id": "one"}).json
    assert again == first
    answers = workbench.predict("trips", trips(3, seed=5))
    assert answers.version == "1"
    assert sorted(v for _, v, _ in logged(workbench)) == ["1", "1", "1", "1", "4"]
    tree = workbench.lineage("trips", version=4).to_dict()
    assert len(tree["deployments"]) == 1


def damage(workbench: Workbench, version: int) -> Path:
    """The model's file in the artifact store is not what was registered any more."""
    folder = workbench.tracking.folder(workbench.tracking.version("trips", version))
    path = next(p for p in folder.iterdir() if p.name.startswith("model."))
    path.write_bytes(path.read_bytes() + b"x")
    return path


def test_a_version_that_does_not_load_is_not_promoted(workbench: Workbench) -> None:
    live = followed(workbench)
    workbench.gate("trips", version=2)
    path = damage(workbench, 2)
    entries = len(ledger.entries(workbench.store))
    for times in (1, 2):
        with pytest.raises(ServingFailed, match=r"not made champion: .* cannot load it: .* is not the model"):
            workbench.promote("trips/2", why="damaged")
        (alert,) = workbench.alerts().alerts
        assert (alert.kind, alert.subject, alert.count) == (following.NOT_LOADED, "version 2", times)
        # it is not wanted any more, so that the next attempt is another occurrence
        eventually(lambda: ask(f"{live.url}/").json["follow"]["failed"] is None)
    assert workbench.tracking.alias("trips", "champion") == 1
    assert len(ledger.entries(workbench.store)) == entries
    assert not intents.under_way(workbench.store, "trips")
    assert served(live) == "1"
    assert ask(f"{live.url}/predict", {"rows": [ROW]}).json["version"] == "1"
    # forced, it is champion all the same; what serves goes on with the old one
    forced = workbench.promote("trips/2", why="never mind", force=True)
    assert "cannot load it" in forced.evidence["not followed"][0]
    status = workbench.status()
    assert any(w.startswith(f"Alert {alert.id}: Version 2 of 'trips' did not load") for w in status.warnings)
    assert served(live) == "1"
    assert 'mlops_follow_failed{model="trips",version="1"} 1.0' in ask(f"{live.url}/metrics").body.decode()
    assert '"event": "version did not load"' in Path(str(live.deployment.log_file)).read_text()
    # acknowledged, it is not raised again while it goes on
    (acknowledged,) = workbench.alerts("ack", alert.id).alerts
    assert acknowledged.acknowledged_by
    workbench.status()
    assert workbench.alerts().alerts == ()
    assert len(workbench.alerts(everything=True).alerts) == 1
    with pytest.raises(Conflict, match="acknowledged already"):
        workbench.alerts("ack", alert.id)
    # mended, it is loaded from what is there now
    path.write_bytes(path.read_bytes()[:-1])
    workbench.promote("trips/1", why="first another one", force=True)
    workbench.promote("trips/2", why="mended")
    assert served(live) == "2"
    assert 'mlops_follow_failed{model="trips",version="2"} 0.0' in ask(f"{live.url}/metrics").body.decode()


def test_an_alias_moved_in_mlflow_is_followed_after_the_next_look(workbench: Workbench) -> None:
    live = followed(workbench)
    damage(workbench, 3)
    workbench.tracking.set_alias("trips", "champion", 2)
    workbench.status()
    eventually(lambda: served(live) == "2")
    workbench.tracking.set_alias("trips", "champion", 3)
    workbench.deployments()
    eventually(lambda: bool(ask(f"{live.url}/").json["follow"]["failed"]))
    warnings = workbench.status().warnings
    assert any("Version 3 of 'trips' did not load" in w and "goes on with version 2" in w for w in warnings)
    assert served(live) == "2"
    workbench.tracking.remove_alias("trips", "champion")
    assert any("on no version any more" in a.message for a in workbench.alerts().alerts)
    assert served(live) == "2"
    (row,) = workbench.deployments().deployments
    assert (row.version, row.deployment.follows, row.state) == ("2", "champion", "ready")


def test_what_is_served_goes_with_its_alias(workbench: Workbench) -> None:
    workbench.alias("trips/2", "challenger", why="try")
    with pytest.raises(UsageError, match="not version 2"):
        workbench.serve("trips/2", follow=True)
    with pytest.raises(NotFound, match="has no alias 'other'"):
        workbench.serve("trips@other", follow=True)
    live = workbench.serve("trips@challenger", follow=True)
    assert (live.version, live.deployment.role) == ("2", "challenger")
    assert "follows challenger" in live.title
    place = workbench.project.state / "follow" / "trips@challenger"
    assert place.is_dir()
    workbench.promote("trips/2", why="another alias", force=True)
    workbench.alias("trips/1", "challenger", why="the other way round")
    assert served(live) == "1"
    assert not any("the champion is" in w for w in workbench.status().warnings)
    workbench.alias("trips", "challenger", remove=True, why="enough")
    assert workbench.deployments().deployments == ()
    followed(workbench)
    workbench.retire("trips/2", why="old")
    assert workbench.deployments().deployments == ()


# killed


POINTS = ("prepared", "meant", "paused", "moved", "settled")


def promote_and_die(root: str, point: str) -> None:
    workbench = Workbench.open(Path(root))
    owner: Any
    owner, name = {
        "prepared": (cut_over, "announce"),
        "meant": (Intent, "mean"),
        "paused": (cut_over, "announce_pause"),
        "moved": (Tracking, "set_alias"),
        "settled": (Intent, "settle"),
    }[point]
    real = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, wrapped)
    workbench.promote("trips/2", why="killed", force=True)


@pytest.mark.both_stores
def test_killed_at_any_point_the_next_look_repairs_it(workbench: Workbench) -> None:
    live = followed(workbench)
    with Callers(live.deployment.port, 4, {"rows": [ROW]}) as callers:
        for point in POINTS:
            process = forks.context().Process(
                target=promote_and_die, args=(str(workbench.project.root), point)
            )
            process.start()
            process.join(120)
            assert process.exitcode == -signal.SIGKILL, point
            now = "2" if point in ("moved", "settled") else "1"
            workbench.status()
            assert str(workbench.tracking.alias("trips", "champion")) == now, point
            eventually(lambda now=now: served(live) == now)
            place = workbench.project.state / "follow" / "trips@champion" / "current.json"
            there = Pointer.read(place)
            assert (there.current.version, there.next, there.pause) == (now, None, False), point
            callers.wait_for(20)
            if now == "2":
                workbench.promote("trips/1", why="to begin anew", force=True)
    assert [s for s in callers.said if s.status != 200] == []


def promote_at_once(root: str, version: int, start: Any) -> None:
    workbench = Workbench.open(Path(root))
    workbench.tracking.model_names()
    start.wait(120)
    for _ in range(3):
        try:
            workbench.promote("trips", version=version, why=f"by process {version}", force=True)
        except Conflict:
            time.sleep(0.05)


@pytest.mark.both_stores
def test_of_two_who_promote_at_once_the_pointer_ends_at_the_champion(workbench: Workbench) -> None:
    live = followed(workbench)
    context = forks.context()
    start = context.Barrier(3)
    workers = [
        context.Process(target=promote_at_once, args=(str(workbench.project.root), n, start)) for n in (2, 3)
    ]
    for worker in workers:
        worker.start()
    start.wait(120)
    for _ in range(5):
        workbench.status()  # and somebody looks meanwhile
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    last = str(workbench.tracking.alias("trips", "champion"))
    assert last in ("2", "3")
    assert served(live) == last
    assert alerts.find(workbench.store) == ()
    assert [d.version for d in workbench.deployments().deployments] == [last]
