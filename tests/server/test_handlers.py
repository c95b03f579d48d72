"""The server's answers: who may ask, how errors become JSON, what runs where."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mlops_workbench
from mlops_workbench.base import errors
from mlops_workbench.base.values import Value
from mlops_workbench.workbench import verbs

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]

CLASSES = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.MlopsError) and one is not errors.MlopsError
]


CLOSED: list[Path] = []


@dataclass(frozen=True)
class Seen(Value):
    thread: str
    folder: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Recorder:
    """Stands in for a Workbench where a test needs a given failure or a look at the call."""

    folder: Path

    def status(self) -> Value:
        return Seen(threading.current_thread().name, str(self.folder), {})

    def runs(self, **_options: Any) -> Value:
        raise RuntimeError("secret detail")

    def history(self, name: str, at: str | None = None) -> Value:
        wanted = next(one for one in CLASSES if one.__name__ == name)
        raise wanted(f"The model '{name}' is not as it should be.", "Do the next thing.")

    def close(self) -> None:
        CLOSED.append(self.folder)

    def build(self, **options: Any) -> Value:
        return Seen("build", str(self.folder), options)


@pytest.fixture
def jp_server_config(jp_server_config: dict[str, Any]) -> dict[str, Any]:
    return jp_server_config | {"MlopsExtension": {"open_workbench": Recorder}}


@pytest.mark.parametrize("path", ["version", "verbs", "overview", "verbs/status"])
async def test_every_read_needs_a_login(ask: Ask, path: str) -> None:
    status, _ = await ask(path, headers={"Authorization": "token wrong"})
    assert status == 403


@pytest.mark.parametrize("path", ["verbs/promote", "line"])
async def test_every_write_needs_a_login(ask: Ask, path: str) -> None:
    status, _ = await ask(path, body={}, headers={"Authorization": "token wrong"})
    assert status == 403


async def test_version_is_the_packages(ask: Ask) -> None:
    assert await ask("version") == (200, {"version": mlops_workbench.__version__})


async def test_the_table_holds_every_verb(ask: Ask) -> None:
    _, answer = await ask("verbs")
    assert [verb["name"] for verb in answer["verbs"]] == list(verbs())
    promote = next(verb for verb in answer["verbs"] if verb["name"] == "promote")
    assert {arg["name"]: (arg["type"], arg["required"], arg["switch"]) for arg in promote["args"]} == {
        "name": ("text", True, False),
        "version": ("version", False, False),
        "why": ("text", True, False),
        "force": ("switch", False, True),
    }


async def test_the_line_is_what_a_person_types(ask: Ask) -> None:
    options = {"name": "flights", "version": 2, "why": "better on the coast", "force": True}
    _, answer = await ask("line", body={"verb": "promote", "options": options})
    assert answer == {"line": "%mlops promote flights --version 2 --why 'better on the coast' --force"}
    assert (await ask("line", body={"verb": "promte"}))[0] == 400


async def test_verbs_run_in_the_extensions_own_threads(ask: Ask, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    _, answer = await ask("verbs/status", project="work")
    assert answer["thread"].startswith("mlops")
    assert answer["folder"] == str(jp_root_dir.resolve() / "work")
    _, answer = await ask("verbs/status")
    assert answer["folder"] == str(jp_root_dir.resolve())


async def test_the_workbench_is_closed_after_success_and_failure(ask: Ask) -> None:
    CLOSED.clear()
    await ask("verbs/status")
    await ask("verbs/runs")
    assert len(CLOSED) == 2


async def test_what_a_front_end_adds_to_the_query_is_no_option(ask: Ask) -> None:
    # JupyterLab appends the time against caches; a token or a hub's mark may be there too.
    status, _ = await ask("verbs/status", **{"1795243971096": "", "no_track_activity": "1"})
    assert status == 200
    assert (await ask("verbs/status", colour="red"))[0] == 400


async def test_html_is_the_values_own(ask: Ask) -> None:
    _, answer = await ask("verbs/status", html="1")
    assert answer["html"].startswith('<div class="mlops-table">')


async def test_long_verbs_become_jobs(ask: Ask) -> None:
    status, answer = await ask("verbs/build", body={"name": "flights"})
    assert status == 202
    assert answer["thread"] == "build"
    assert answer["options"] == {
        "name": "flights",
        "version": None,
        "base": None,
        "fast_only": False,
        "platform": None,
        "detach": True,
    }


@pytest.mark.parametrize("project", ["..", "/etc", "missing"])
async def test_a_project_outside_the_root_is_not_found(ask: Ask, project: str) -> None:
    status, answer = await ask("verbs/status", project=project)
    assert (status, answer["error"]) == (404, "NotFound")
    assert project in answer["message"]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
async def test_every_error_class_has_its_status_and_sentence(ask: Ask, kind: type[errors.MlopsError]) -> None:
    assert await ask("verbs/history", name=kind.__name__) == (
        kind.status,
        {
            "error": kind.__name__,
            "message": f"The model '{kind.__name__}' is not as it should be.",
            "next_step": "Do the next thing.",
        },
    )


async def test_an_unexpected_error_is_500_and_its_traceback_stays_in_the_log(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    status, answer = await ask("verbs/runs")
    assert status == 500
    assert answer["error"] == "InternalError"
    assert answer["message"] == "RuntimeError: secret detail"
    assert "Traceback" not in str(answer)
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("verbs/nonsense", None, (404, "NotFound")),
        ("verbs/nonsense", {}, (404, "NotFound")),
        ("verbs/promote", None, (405, "MethodNotAllowed")),
        ("verbs/promote", {"name": "flights"}, (400, "UsageError")),
        ("verbs/promote", "no json", (400, "UsageError")),
        ("verbs/promote", [1], (400, "UsageError")),
        ("verbs/register", {"model": "m", "name": "flights"}, (409, "Conflict")),
    ],
)
async def test_wrong_requests_say_what_is_wrong(
    ask: Ask, path: str, body: Any, expected: tuple[int, str]
) -> None:
    status, answer = await ask(path, body=body)
    assert (status, answer["error"]) == expected
