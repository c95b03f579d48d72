"""Deployments that follow the champion: moved with it, left alone by what does not load, mended after a kill."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from callers import Callers
from projects import champion, fit, pipeline, trips
from serving_kit import ask

from mlops_workbench import alerts
from mlops_workbench.errors import Conflict, NotFound, ServingFailed, UsageError
from mlops_workbench.registry import intents, ledger
from mlops_workbench.registry.intents import Intent
from mlops_workbench.rollout import following
from mlops_workbench.rollout.records import Live
from mlops_workbench.serving.pointer import Pointer
from mlops_workbench.track.tracking import Tracking
from mlops_workbench.workbench import Workbench

pytestmark = [pytest.mark.both_stores, pytest.mark.timeout(300)]

ROW = {"hour": 9, "wind speed": 3.0, "größe": 0.5, "carrier": "UA"}


@pytest.fixture
def workbench(workbench: Workbench) -> Iterator[Workbench]:
    yield workbench
    for deployment in workbench.deployments().deployments:
        workbench.stop(deployment.model)


def followed(workbench: Workbench, versions: int = 2) -> Live:
    """Version 1 is champion, and what is served follows; others are registered."""
    champion(workbench)
    for number in range(2, versions + 1):
        workbench.register(fit(workbench, c=0.1 * number, run=f"run {number}"), name="trips")
    return workbench.serve("trips", follow=True)


def fewer_columns(workbench: Workbench) -> int:
    """A version that does not read the carrier."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame: pd.DataFrame = trips(seed=1).drop(columns="carrier")
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(frame.drop(columns="late"), frame["late"])
    return workbench.register(model, name="trips", data=frame, evaluate=frame).version


def served(live: Live) -> str:
    return str(ask(f"{live.url}/").json["version"])


def eventually(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def logged(workbench: Workbench) -> list[tuple[str, str]]:
    """(request id, version) of every row of the prediction log."""
    engine = sa.create_engine(workbench.project.inference_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT request_id, model_version FROM predictions_trips")).all()
    engine.dispose()
    return [(r[0], r[1]) for r in rows]


def test_64_clients_across_20_swaps(workbench: Workbench) -> None:
    live = followed(workbench, 3)
    moves: list[tuple[float, float, str]] = [(0.0, 0.0, "1")]
    with Callers(live.deployment.port, 64, lambda _: {"rows": [ROW]}) as callers:
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
    assert dict(rows) == answers
    assert {s.version for s in callers.said} == {"1", "2", "3"}
    assert alerts.find(workbench._store) == ()
    assert [d.version for d in workbench.deployments().deployments] == [moves[-1][2]]


def champions(moves: list[tuple[float, float, str]], sent: float, received: float) -> set[str]:
    """Who was champion at some moment between: a move happened at some moment between its begin and its end."""
    found = set()
    for (begun, _, version), after in zip(moves, [*moves[1:], None], strict=True):
        ended = after[1] if after else float("inf")
        if begun <= received and sent <= ended:
            found.add(version)
    return found
