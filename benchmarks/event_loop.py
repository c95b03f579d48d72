"""How long does a verb hold up a Jupyter server: each verb over HTTP, and how late the event loop is meanwhile.

    event_loop.py [RUNS] [VERSIONS]

A callback is due every 5 ms; how late it comes is what kernels and other requests wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from cli import make

from mlops_workbench.workbench import verbs

TOKEN = "benchmark"
EVERY = 0.005
POSTED: dict[str, dict[str, Any]] = {
    "gate": {"name": "model-0"},
    "promote": {"name": "model-0", "version": 1, "why": "measured"},
    "alias": {"name": "model-0", "alias": "staging", "version": 1, "why": "measured"},
    "backup": {},
}


def main(runs: int = 2_000, versions: int = 200) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        root.mkdir()
        make(root, runs, versions)
        os.chdir(root)
        os.environ["JUPYTER_CONFIG_PATH"] = str(_enabled(Path(scratch)))
        measure(root)


def measure(root: Path) -> None:
    from jupyter_server.serverapp import ServerApp

    app = ServerApp()
    app.initialize(
        [
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            "--no-browser",
            "--allow-root",
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={root}",
        ]
    )
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + EVERY
            await asyncio.sleep(EVERY)
            late.append(time.perf_counter() - due)

    def ask() -> None:
        time.sleep(1)
        print(f"{'verb':<14}{'status':>7}{'seconds':>9}{'latest ms':>11}")
        for name, body in [*((n, None) for n, v in verbs().items() if v.effect == "reads"), *POSTED.items()]:
            late.clear()
            began = time.perf_counter()
            status = _status(app, name, body)
            took = time.perf_counter() - began
            time.sleep(0.05)
            print(f"{name:<14}{status:>7}{took:>9.2f}{max(late) * 1000:>11.1f}", flush=True)
        app.io_loop.add_callback(app.io_loop.stop)

    app.io_loop.add_callback(tick)
    threading.Thread(target=ask, daemon=True).start()
    app.start()


def _status(app: Any, name: str, body: dict[str, Any] | None) -> int:
    query = urllib.parse.urlencode(
        {"token": TOKEN, "html": "1", **(NAMED.get(name, {}) if body is None else {})}
    )
    url = f"http://127.0.0.1:{app.port}/mlops/api/verbs/{name}?{query}"
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Authorization": f"token {TOKEN}"})
    try:
        with urllib.request.urlopen(asked, timeout=300) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code


NAMED = {name: {"name": "model-0"} for name in ("history", "lineage", "card", "drift", "contract")}
NAMED |= {"compare": {"first": "fit", "second": "fit again"}, "ledger": {"action": "verify"}}


def _enabled(folder: Path) -> Path:
    place = folder / "config" / "jupyter_server_config.d"
    place.mkdir(parents=True)
    (place / "mlops_jupyter.json").write_text(
        '{"ServerApp": {"jpserver_extensions": {"mlops_jupyter": true}}}'
    )
    return place.parent


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
