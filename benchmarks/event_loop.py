"""How long does a verb hold up a Jupyter server: each verb over HTTP, and how late the event loop is meanwhile.

    event_loop.py [RUNS] [VERSIONS]

A callback is due every 5 ms; how late it comes is what kernels and other requests wait. Verbs that read come first,
then those that write, in the order of a model's life. `build` needs an engine with a base image (MLOPS_BASE_IMAGE).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli import make

from mlops_workbench.workbench import verbs

TOKEN = "benchmark"
EVERY = 0.005
WHY = {"why": "measured"}
MODEL = {"name": "model-0"}
REGISTERED = 0
"""stands for the version that `register` made"""

NAMED: Mapping[str, dict[str, Any]] = {
    **dict.fromkeys(("history", "lineage", "card", "drift", "contract"), MODEL),
    "compare": {"first": "fit", "second": "fit again"},
    "ledger": {"action": "verify"},
}
WRITING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gate", {**MODEL, "version": 1}),
    ("approve", {**MODEL, "version": 1, **WHY}),
    ("alias", {**MODEL, "alias": "staging", "version": 2, **WHY}),
    ("validate", {"data": "rows.parquet", "contract": "rows"}),
    ("validate", {"data": "rows.csv", "contract": "rows"}),
    ("contract", {"name": "again", "data": "rows.csv"}),
    ("snapshot", {"data": "rows.csv"}),
    (
        "register",
        {"model": "model.skops", **MODEL, "data": "rows.parquet", "evaluate": "rows.csv", "target": "late"},
    ),
    ("gate", {**MODEL, "version": REGISTERED}),
    ("promote", {**MODEL, "version": REGISTERED, "force": True, **WHY}),
    ("rollback", {**MODEL, **WHY}),
    ("serve", {**MODEL, "version": REGISTERED, "kind": "process"}),
    ("predict", {**MODEL, "data": "rows.parquet", "out": "answers.parquet"}),
    ("label", {**MODEL, "data": "answers.parquet", "column": "prediction"}),
    ("drift", {**MODEL, "version": REGISTERED}),
    ("drift", {**MODEL, "version": REGISTERED, "report": "drift.html"}),
    ("stop", MODEL),
    ("export", {"what": "grafana"}),
    ("retire", {**MODEL, "version": REGISTERED, **WHY}),
    ("delete", {**MODEL, "version": 3, **WHY}),
    ("run", {"script": "fit.py"}),
    ("retrain", {**MODEL, "notebook": "fit.ipynb"}),
    ("reproduce", {**MODEL, "version": 1}),
    ("build", {**MODEL, "version": 1}),
    ("backup", {"out": "backup.tar.gz"}),
    ("restore", {"archive": "backup.tar.gz"}),
    ("move", {}),
    ("init", {"name": "benchmark"}),
)


def main(runs: int = 2_000, versions: int = 200) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        root.mkdir()
        forked = multiprocessing.get_context(
            "spawn"
        )  # the server has imported nothing of it, as a person's has not
        made = forked.Process(target=project, args=(root, runs, versions))
        made.start()
        made.join()
        os.chdir(root)
        os.environ["JUPYTER_CONFIG_PATH"] = str(_enabled(Path(scratch)))
        measure()


def project(root: Path, runs: int, versions: int) -> None:
    make(root, runs, versions)
    files(root)


def files(root: Path) -> None:
    """What the verbs are given, since a request has no variables: rows, a model, a script, a notebook."""
    import nbformat
    import numpy as np
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(7)
    frame = pd.DataFrame({f"x{i}": draw.normal(size=20_000) for i in range(8)})
    frame["late"] = (frame["x0"] + draw.logistic(size=len(frame)) > 0).astype(int)
    frame.to_parquet(root / "rows.parquet")
    frame[:2_000].to_csv(root / "rows.csv", index=False)
    skops.io.dump(LogisticRegression().fit(frame.drop(columns="late"), frame["late"]), root / "model.skops")
    code = (
        "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "train = pd.read_csv('rows.csv')\n"
        "model = LogisticRegression().fit(train.drop(columns='late'), train['late'])"
    )
    (root / "fit.py").write_text(code)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel), root / "fit.ipynb"
    )
    if base := os.environ.get("MLOPS_BASE_IMAGE"):
        with (root / "mlops.toml").open("a") as policy:
            policy.write(f'\n[image]\nbase = "{base}"\n')


def measure() -> None:
    from jupyter_server.serverapp import ServerApp

    app = ServerApp()
    app.initialize(
        [
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            "--no-browser",
            "--allow-root",
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={Path.cwd()}",
        ]
    )
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + EVERY
            await asyncio.sleep(EVERY)
            late.append(time.perf_counter() - due)

    def ask() -> None:
        try:
            _ask_all(app, late)
        finally:
            app.io_loop.add_callback(app.io_loop.stop)

    app.io_loop.add_callback(tick)
    threading.Thread(target=ask, daemon=True).start()
    app.start()


def _ask_all(app: Any, late: list[float]) -> None:
    time.sleep(1)
    print(f"{'verb':<14}{'status':>7}{'seconds':>9}{'latest ms':>11}{'99 % ms':>9}")
    late.clear()
    time.sleep(3)  # what the machine alone makes of it
    print(f"{'(nothing)':<14}{'':>7}{3:>9.2f}{max(late) * 1000:>11.1f}{_usual(late):>9.1f}", flush=True)
    reading = [name for name, verb in verbs().items() if verb.effect == "reads"]
    made = 0
    for name, body in [*((name, None) for name in reading), *WRITING]:
        if body is not None and body.get("version") == REGISTERED:
            body = {**body, "version": made}
        late.clear()
        began = time.perf_counter()
        status, answer = _answer(app, name, body)
        took = time.perf_counter() - began
        time.sleep(0.05)
        print(f"{name:<14}{status:>7}{took:>9.2f}{max(late) * 1000:>11.1f}{_usual(late):>9.1f}", flush=True)
        if name == "register" and status == 200:
            made = answer["version"]
        if status == 202:  # a process of its own does it now, on the same cores
            _ended(app, answer["id"])
        elif status >= 400:
            print(f"    {answer.get('message')}")


def _usual(late: list[float]) -> float:
    return statistics.quantiles(late, n=100)[98] * 1000


def _ended(app: Any, job: int) -> None:
    while not _answer(app, "jobs", None, {"id": job})[1]["jobs"][0]["ended"]:
        time.sleep(0.5)


def _answer(
    app: Any, name: str, body: dict[str, Any] | None, query: Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    """`body`: of a POST; None asks with GET, by `query`."""
    words = {"token": TOKEN, "html": "1"}
    if body is None:
        words |= NAMED.get(name, {}) if query is None else query
    url = f"http://127.0.0.1:{app.port}/mlops/api/verbs/{name}?{urllib.parse.urlencode(words)}"
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Authorization": f"token {TOKEN}"})
    try:
        with urllib.request.urlopen(asked, timeout=300) as answer:
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.load(problem)


def _enabled(folder: Path) -> Path:
    place = folder / "config" / "jupyter_server_config.d"
    place.mkdir(parents=True)
    (place / "mlops_jupyter.json").write_text(
        '{"ServerApp": {"jpserver_extensions": {"mlops_jupyter": true}}}'
    )
    return place.parent


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
