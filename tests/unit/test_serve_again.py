"""`serve` again: the address and what is followed stay, what changes is said, and of two at once one is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from callers import Callers
from projects import champion, fit
from serving_kit import ask

from mlops_workbench.workbench import Workbench

ROW = {"hour": 9, "wind speed": 3.0, "größe": 0.5, "carrier": "UA"}


def two_versions(workbench: Workbench) -> None:
    champion(workbench)
    workbench.register(fit(workbench, c=0.9, run="second"), name="trips")


pytestmark = [pytest.mark.timeout(300), pytest.mark.prepared(by=two_versions)]


@pytest.fixture
def workbench(workbench: Workbench) -> Iterator[Workbench]:
    yield workbench
    for deployment in workbench.deployments().deployments:
        workbench.stop(deployment.model)


def test_the_address_stays_and_callers_go_on(workbench: Workbench) -> None:
    old = workbench.serve("trips", kind="process")
    with Callers(old.deployment.port, 4, {"rows": [ROW]}) as callers:
        callers.wait_for(50)
        new = workbench.serve("trips/2", kind="process")
        callers.wait_for(50)
    unanswered = [s for s in callers.said if s.status != 200]
    assert len(unanswered) <= 2 * 4, "no more than the connections that were open, and what came in between"
    assert {s.version for s in callers.said if s.status == 200} == {"1", "2"}
    assert max((s for s in callers.said if s.status == 200), key=lambda s: s.sent).version == "2"
    assert (new.url, new.version) == (old.url, "2")
    assert new.changed == "version 1 → 2"
    assert ask(f"{old.url}/").json["version"] == "2"
    (kept,) = workbench.deployments().deployments
    assert (kept.url, kept.deployment.port, kept.state) == (old.url, old.deployment.port, "ready")


def test_what_followed_goes_on_following_unless_a_version_is_named(workbench: Workbench) -> None:
    first = workbench.serve("trips", kind="process", follow=True)
    again = workbench.serve("trips", kind="process")
    assert (again.deployment.follows, again.url, again.changed) == ("champion", first.url, "")
    named = workbench.serve("trips/2", kind="process")
    assert named.deployment.follows is None
    assert named.changed == "version 1 → 2; it no longer follows champion"
    assert "no longer follows champion" in named.text()


def test_of_two_at_once_one_is_left(workbench: Workbench) -> None:
    others = [Workbench(workbench.home) for _ in range(2)]
    threads = [
        threading.Thread(target=one.serve, args=("trips",), kwargs={"kind": "process"}) for one in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (left,) = workbench.deployments().deployments
    assert left.state == "ready"
    assert ask(f"{left.url}/").json["version"] == "1"
