from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import projects
import pytest
from projects import champion

from mlops_workbench import plugins
from mlops_workbench.alerts import records
from mlops_workbench.base.errors import NotFound, UsageError
from mlops_workbench.interface.spec import verb
from mlops_workbench.plugins import Message
from mlops_workbench.store.context import Context
from mlops_workbench.workbench import Workbench, verbs

HERE = __name__


class Down:
    """A channel whose network is gone."""

    def send(self, _context: Context, _message: Message) -> None:
        raise ConnectionError("no route to host")


@verb(stage="extra", effect="reads")
def greet(session: Workbench, name: str = "world") -> str:
    """Say hello from a plugin."""
    return f"hello {name} from {session.project.name}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a package had brought a verb and a channel."""
    real = plugins.found

    class Entry:
        def __init__(self, made: object) -> None:
            self.load = lambda: made

    more = {"verbs": {"greet": Entry(greet)}, "channels": {"down": Entry(Down)}}
    monkeypatch.setattr(plugins, "found", lambda group: real(group) | more.get(group, {}))
    verbs.cache_clear()
    yield
    verbs.cache_clear()


def test_ours_are_registered_as_any_other() -> None:
    for group, name in (("exports", "grafana"), ("engines", "local"), ("channels", "log")):
        assert plugins.found(group)[name].dist.name == "mlops-workbench"  # type: ignore[index, union-attr]
        assert plugins.load(group, name)  # type: ignore[arg-type]


def test_an_unknown_one_is_a_sentence(workbench: Workbench) -> None:
    with pytest.raises(NotFound, match="no plugin 'lo' for channels"):
        plugins.load("channels", "lo")
    with pytest.raises(UsageError, match="no export 'grafna'"):
        workbench.export("grafna")


@pytest.mark.usefixtures("installed")
def test_a_plugins_verb_is_in_every_face(workbench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(verbs())[-1] == "greet"
    assert workbench.greet(name="ada") == "hello ada from trips"


def raise_one(workbench: Workbench, subject: str) -> records.Alert:
    return records.raised(workbench, records.NewAlert("trips", "a test", subject, "look <b>here</b>"))


def test_every_alert_reaches_the_log_once(workbench: Workbench) -> None:
    raise_one(workbench, "a")
    raise_one(workbench, "a")
    raise_one(workbench, "b")
    lines = (workbench.project.state / "logs" / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["look <b>here</b>"] * 2


@pytest.mark.usefixtures("installed")
def test_a_channel_that_is_down_loses_no_alert(workbench: Workbench) -> None:
    projects.set_policy(workbench, '[alerts]\nchannels = ["down", "log", "gone"]\n')
    alert = raise_one(workbench, "a")
    (kept,) = workbench.alerts().alerts
    assert kept.id == alert.id
    assert kept.details["not delivered"] == {
        "down": "ConnectionError: no route to host",
        "gone": "NotFound: There is no plugin 'gone' for channels. There are: 'log', 'down'.",
    }
    assert (workbench.project.state / "logs" / "alerts.jsonl").is_file()


@pytest.mark.prepared(by=champion)
def test_an_engine_that_is_not_there_starts_nothing(workbench: Workbench) -> None:
    projects.set_policy(workbench, '[jobs]\nengine = "moon"\n')
    with pytest.raises(NotFound, match="no plugin 'moon' for engines"):
        workbench.build("trips", detach=True)
    assert workbench.jobs().jobs == ()


def test_the_table_of_groups_is_complete() -> None:
    text = Path(plugins.__file__).read_text()
    assert all(f"mlops_workbench.{group}" in text for group in ("verbs", "exports", "engines", "channels"))
