"""How long after JupyterLab is ready does the sidebar show a project? In Chromium, with a fresh server each round.

`opened`: the sidebar is clicked once JupyterLab has come up. `restored`: the page is loaded again with the sidebar
open; 0 when its content stands before JupyterLab's splash has gone.

    sidebar.py [ROUNDS] [RUNS] [VERSIONS]
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cli import make

TOKEN = "benchmark"
SIDEBAR = "#mlops-workbench h2"
WATCH = """
window.seen = {};
new MutationObserver(() => {
  const now = performance.now();
  const up = document.querySelector('#jp-main-dock-panel') && !document.querySelector('#jupyterlab-splash');
  if (!seen.lab && up) seen.lab = now;
  if (!seen.sidebar && document.querySelector('SIDEBAR')?.textContent) seen.sidebar = now;
}).observe(document, { subtree: true, childList: true, characterData: true });
""".replace("SIDEBAR", SIDEBAR)


def main(rounds: int = 5, runs: int = 10_000, versions: int = 1_000) -> None:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    found: dict[str, list[float]] = {"opened": [], "restored": []}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root = Path(scratch) / "project"
        root.mkdir()
        make(root, runs, versions)
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for number in range(rounds):
            for name, seconds in one(browser, root, Path(scratch) / f"home{number}").items():
                found[name].append(seconds)
        browser.close()
    print(f"{runs} runs, {versions} versions; {rounds} rounds, seconds")
    for name, each in found.items():
        print(f"{name:<10} median {statistics.median(each):.2f}  slowest {max(each):.2f}")


def one(browser: Any, root: Path, home: Path) -> dict[str, float]:
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    words += [
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.allow_root=True",
        f"--ServerApp.root_dir={root}",
    ]
    words += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    env = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home),
        "JUPYTER_DATA_DIR": str(home / "data"),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(words, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _until_up(url)
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{url}/lab?token={TOKEN}")
        page.wait_for_function("() => window.seen.lab", timeout=120_000)
        clicked = time.perf_counter()
        page.locator('.jp-SideBar .lm-TabBar-tab[data-id="mlops-workbench"]').click()
        page.locator(SIDEBAR).wait_for(timeout=60_000)
        opened = time.perf_counter() - clicked
        page.wait_for_timeout(3_000)  # JupyterLab writes its layout after a moment
        page.goto(f"{url}/lab?token={TOKEN}")
        page.wait_for_function("() => window.seen.lab && window.seen.sidebar", timeout=120_000)
        seen = page.evaluate("() => window.seen")
        page.close()
        return {"opened": opened, "restored": max(0.0, (seen["sidebar"] - seen["lab"]) / 1000)}
    finally:
        server.terminate()
        server.wait(30)


def _until_up(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/api/status?token={TOKEN}", timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("JupyterLab did not come up")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
