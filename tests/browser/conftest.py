"""A real JupyterLab on loopback and a headless Chromium.

The project must be installed in the environment that runs the tests. `MLOPS_SCREENSHOTS=folder` keeps
pictures of what was seen, and of what was on the screen when a test failed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlops_workbench.workbench import Workbench

TOKEN = "browser-test"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Keeps whether the test itself has failed, for what is done after it."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, and the folder it shows."""

    url: str
    root: Path

    def address(self, path: str = "") -> str:
        """Of a file in JupyterLab, in a workspace of its own: which panels were open must not carry over."""
        place = f"/tree/{path}" if path else ""
        return f"{self.url}/lab/workspaces/{uuid.uuid4().hex}{place}?token={TOKEN}"


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """Playwright's own loop runs in this thread; pytest-jupyter's must not be put beside it."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """There is no server of pytest-jupyter here to clean up."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("home")
    root = home / "work"
    root.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            _command(port, root), env=_isolated(home), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_up(url, process, home / "lab.log")
            yield Lab(url, root)
        finally:
            process.terminate()
            process.wait(30)
            _stop_what_serves(root)


def _command(port: int, root: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.allow_root=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--ServerApp.root_dir={root}",
    ]


def _isolated(home: Path) -> dict[str, str]:
    """An environment without the workspaces, settings and kernels of whoever runs this."""
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    # the question about Jupyter's news is a front-end setting, not a server one
    settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    folders = {
        "HOME": home,
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "IPYTHONDIR": home / "ipython",
    }
    # no engine answers, so that what is served is a local process, which starts at once
    engine = {"DOCKER_HOST": f"unix://{home}/no-engine.sock"}
    return os.environ | engine | {name: str(path) for name, path in folders.items()}


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/status?token={TOKEN}", timeout=2).close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.2)


def _stop_what_serves(root: Path) -> None:
    """A deployment outlives JupyterLab on purpose; a test that failed half-way must not leave one."""
    for policy in root.glob("*/mlops.toml"):
        workbench = Workbench(policy.parent)
        for deployment in workbench.deployments().deployments:
            workbench.stop(deployment.model)
        workbench.close()


@pytest.fixture
def page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh window; a JavaScript error that nobody caught fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(30_000)
    uncaught: list[str] = []
    page.on("pageerror", lambda error: uncaught.append(str(error)))
    yield page
    folder = os.environ.get("MLOPS_SCREENSHOTS")
    if folder and request.node.stash.get(FAILED, False):
        page.screenshot(path=str(Path(folder) / f"failed-{request.node.name}.png"))
    context.close()
    assert uncaught == []


def write_notebook(path: Path, cells: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    for cell in notebook.cells:
        if cell.source.startswith("strength: "):
            cell.metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
