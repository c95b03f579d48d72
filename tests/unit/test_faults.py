"""A process that is killed at any point between MLflow's write and the ledger's, and many processes at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import forks
import pytest
from projects import champion, fit, pipeline, trips

from mlops_workbench.base.errors import Conflict
from mlops_workbench.registry import intents, ledger
from mlops_workbench.registry.intents import Intent
from mlops_workbench.track.tracking import Tracking
from mlops_workbench.workbench import Workbench

pytestmark = [pytest.mark.both_stores, pytest.mark.timeout(900)]

POINTS = ("claimed", "meant", "changed", "half changed", "written")
"""where the process is killed: after the intent was claimed, what is meant was written, MLflow was changed, one
of two aliases was taken away, the ledger was written (but not yet noted)"""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """From now on this process kills itself at that point."""

    def after(owner: Any, name: str, count: int = 1) -> None:
        real, seen = getattr(owner, name), [0]

        def wrapped(*args: Any, **options: Any) -> Any:
            found = real(*args, **options)
            seen[0] += 1
            if seen[0] == count:
                die()
            return found

        setattr(owner, name, wrapped)

    if point == "claimed":
        after(intents, "_claim")
    elif point == "meant":
        after(Intent, "mean")
    elif point in ("changed", "half changed"):
        for name in ("set_alias", "create_version", "delete_version"):
            after(Tracking, name)
        after(Tracking, "remove_alias", 1 if point == "half changed" else 2)
    elif point == "written":
        intents.anchor = lambda *_: die()  # type: ignore[assignment]


def act(root: str, action: str, point: str) -> None:
    workbench = Workbench.open(Path(root))
    workbench.namespace = {"train": trips(seed=1), "test": trips(seed=2)}
    arm(point)
    if action == "promote":
        workbench.promote("trips/2", why="killed", force=True)
    elif action == "rollback":
        workbench.rollback("trips", why="killed")
    elif action == "alias":
        workbench.alias("trips/2", "challenger", why="killed")
    elif action == "retire":
        workbench.retire("trips/1", why="killed")
    elif action == "delete":
        workbench.delete("trips/2", why="killed")
    elif action == "register":
        model = pipeline(C=3.0).fit(trips(seed=1).drop(columns="late"), trips(seed=1)["late"])
        workbench.register(model, name="trips", data="train", evaluate="test")


def picture(workbench: Workbench) -> tuple[dict[str, int], set[int]]:
    return workbench.tracking.aliases("trips"), workbench.tracking.version_numbers("trips")


EXPECTED: dict[str, tuple[dict[str, int], set[int]]] = {
    "promote": ({"champion": 2, "fallback": 1}, {1, 2}),
    "rollback": ({"champion": 2, "fallback": 1}, {1, 2}),
    "alias": ({"champion": 1, "fallback": 1, "challenger": 2}, {1, 2}),
    "retire": ({}, {1, 2}),
    "delete": ({"champion": 1, "fallback": 1}, {1}),
    "register": ({"champion": 1, "fallback": 1}, {1, 2, 3}),
}


def champion_and_another(workbench: Workbench) -> None:
    champion(workbench)
    workbench.register(fit(workbench, c=0.5, run="second"), name="trips")


@pytest.mark.prepared(by=champion_and_another)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("action", EXPECTED)
def test_killed_at_any_point_it_is_before_or_after(workbench: Workbench, action: str, point: str) -> None:
    if point == "half changed" and action != "retire":
        return  # the others change one thing
    if action == "rollback":
        workbench.promote("trips/2", why="to come back from", force=True)
        workbench.promote("trips/1", why="present", force=True)
    workbench.alias("trips/1", "fallback", why="a second alias")
    before, known = picture(workbench), len(ledger.entries(workbench.store))

    process = forks.context().Process(target=act, args=(str(workbench.project.root), action, point))
    process.start()
    process.join(240)
    assert process.exitcode == -signal.SIGKILL

    history = workbench.history("trips")  # whoever looks next repairs it
    entries = ledger.entries(workbench.store)
    happened = point in ("changed", "half changed", "written")
    assert picture(workbench) == (EXPECTED[action] if happened else before)
    assert len(entries) == known + happened
    if happened:
        assert (history.entries[0].action, history.entries[0].evidence.get("repaired")) == (
            action,
            None if point == "written" else True,
        )
    assert ledger.pointers(entries) == workbench.tracking.aliases("trips")
    assert ledger.standing(entries) == workbench.tracking.version_numbers("trips")
    found: Any = workbench.ledger("verify")
    assert found.holds
    assert not intents.under_way(workbench.store, "trips")
    workbench.alias("trips/1", "afterwards", why="the way is free")


def promote_at_once(root: str, version: int, start: Any, told: Any) -> None:
    workbench = Workbench.open(Path(root))
    workbench.tracking.model_names()
    start.wait(120)
    try:
        workbench.promote("trips", version=version, why=f"by process {version}", force=True)
        told.put((version, "won"))
    except Conflict as problem:
        told.put((version, problem.message))


@pytest.mark.prepared(by=champion)
def test_of_two_processes_that_promote_at_once_each_wins_or_gets_a_sentence(workbench: Workbench) -> None:
    for number in (2, 3):
        workbench.register(fit(workbench, c=0.5, run=f"run {number}"), name="trips")
    context = forks.context()
    start, told = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=promote_at_once, args=(str(workbench.project.root), n, start, told))
        for n in (2, 3)
    ]
    for worker in workers:
        worker.start()
    answers = dict(told.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    won = [version for version, answer in answers.items() if answer == "won"]
    assert won, answers  # one after the other both may have their turn
    assert all("Someone else is moving" in a for a in answers.values() if a != "won")
    history = workbench.history("trips")
    assert history.champion in won
    assert sorted(
        e.new_version for e in history.entries if e.action == "promote" and e.new_version != 1
    ) == sorted(won)
    assert ledger.broken(workbench.store) is None


def register_one(root: str, number: int, start: Any) -> None:
    workbench = Workbench.open(Path(root))
    workbench.namespace = {"train": trips(seed=1), "test": trips(seed=2)}
    model = pipeline(C=number + 1.0).fit(trips(seed=1).drop(columns="late"), trips(seed=1)["late"])
    workbench.tracking.model_names()
    start.wait(200)
    workbench.register(model, name="trips", data="train", evaluate="test")


def test_20_processes_that_register_at_once_all_get_a_version(workbench: Workbench) -> None:
    context = forks.context()
    start = context.Barrier(20)
    workers = [
        context.Process(target=register_one, args=(str(workbench.project.root), n, start)) for n in range(20)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(280)
    assert [worker.exitcode for worker in workers] == [0] * 20
    assert sorted(v.version for v in workbench.models().models) == list(range(1, 21))
    entries = ledger.entries(workbench.store, "trips")
    assert sorted(e.new_version or 0 for e in entries) == list(range(1, 21))
    assert ledger.broken(workbench.store) is None


def test_a_change_that_ends_leaves_the_next_one_of_its_model_alone(workbench: Workbench) -> None:
    """The next one may hold the model before the first has looked whether it left something behind."""
    store, tracking = workbench.store, workbench.tracking
    with intents.intent(store, tracking, "trips") as first:
        first.mean("alias", why="one", evidence={}, alias="a", old_version=None, new_version=1)
        first.settle()
        intents._claim(store, "trips", "trips")
    assert intents.under_way(store, "trips")
