"""Verbs in the process beside the server, as they are carried out unless it is configured otherwise."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlops_jupyter.beside import VerbProcess

CONFIG = Path(__file__).parents[2] / "jupyter_ext" / "server-config" / "mlops_jupyter.json"
Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return dict(json.loads(CONFIG.read_text()))


@pytest.fixture(autouse=True)
def closed(jp_serverapp: Any) -> Any:
    yield
    jp_serverapp.web_app.settings["mlops_beside"].close()


def beside() -> list[psutil.Process]:
    """Processes of this one that carry verbs out."""
    return [p for p in psutil.Process().children() if "mlops_jupyter.beside" in p.cmdline()]


async def test_it_writes_refuses_and_answers_as_the_server_does(ask: Ask, jp_root_dir: Path) -> None:
    assert beside() == []
    assert (await ask("verbs/init", {"name": "x"}))[0] == 200
    (worker,) = beside()
    (jp_root_dir / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    status, made = await ask("verbs/snapshot", {"data": "rows.csv"}, html="1")
    assert (status, made["name"], "html" in made) == (200, "rows", True)
    status, refused = await ask("verbs/promote", {"name": "none", "version": 1, "why": "x"})
    assert (status, refused["error"]) == (404, "NotFound")
    assert refused["message"].startswith("There is no model")
    status, refused = await ask("verbs/snapshot", {"data": "../../etc/passwd.csv"})
    assert (status, refused["error"]) == (404, "NotFound")
    status, refused = await ask("verbs/drift", name="none")
    assert (status, refused["error"]) == (404, "NotFound")
    status, refused = await ask("verbs/init", name="y")  # a change by GET
    assert (status, refused["error"]) == (405, "MethodNotAllowed")
    assert beside() == [worker]


async def test_records_are_read_in_the_server(ask: Ask) -> None:
    await ask("verbs/init", {"name": "x"})
    (worker,) = beside()
    worker.suspend()
    try:
        for name in ("overview", "verbs", "verbs/status", "verbs/models"):
            assert (await ask(name))[0] == 200
    finally:
        worker.resume()


async def test_one_that_is_killed_is_started_again(ask: Ask) -> None:
    """What it was doing is answered by a sentence, also for those who wait beside."""
    await ask("verbs/init", {"name": "x"})
    (worker,) = beside()
    worker.suspend()
    asked = [asyncio.ensure_future(ask("verbs/init", {"name": "x"})) for _ in range(3)]
    await asyncio.sleep(0.3)
    worker.send_signal(signal.SIGKILL)
    for status, said in await asyncio.gather(*asked):
        assert (status, said["error"]) == (500, "Ended")
        assert said["message"].endswith("ended before it was done (exit code -9).")
    assert (await ask("verbs/init", {"name": "x"}))[0] == 200
    assert [one.pid for one in beside()] != [worker.pid]


async def test_it_ends_with_the_server(ask: Ask, jp_serverapp: Any) -> None:
    await ask("verbs/init", {"name": "x"})
    (worker,) = beside()
    jp_serverapp.web_app.settings["mlops_beside"].close()
    await asyncio.to_thread(worker.wait, 30)


def test_no_module_of_the_folder_takes_a_library_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('of the folder')")
    monkeypatch.chdir(tmp_path)
    process = VerbProcess(1)
    request = {"name": "init", "raw": {"name": "x"}, "folder": str(tmp_path), "root": str(tmp_path)}
    assert process.run(request | {"reading": False, "html": False})["name"] == "x"
    process.close()
