"""What a Jupyter server has loaded after the sidebar has read everything: nothing that takes seconds or gigabytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from projects import champion, fit

from mlops_workbench.workbench import Workbench, verbs

CONFIG = Path(__file__).parents[2] / "jupyter_ext" / "server-config" / "mlops_jupyter.json"
SERVER = """
import json, os, sys, threading, urllib.error, urllib.parse, urllib.request
from jupyter_server.serverapp import ServerApp

reads = json.loads(sys.argv.pop())
app = ServerApp()
app.initialize([
    "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--no-browser", "--allow-root",
    "--IdentityProvider.token=t", f"--ServerApp.root_dir={os.getcwd()}",
])
seen = {}

def read():
    for name, options in reads:
        query = urllib.parse.urlencode(options | {"token": "t", "project": "project", "html": "1"})
        url = f"http://127.0.0.1:{app.port}/mlops/api/verbs/{name}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                seen[name] = answer.status
        except urllib.error.HTTPError as problem:
            seen[name] = problem.read().decode()
        except OSError as problem:
            seen[name] = str(problem)
    app.io_loop.add_callback(app.io_loop.stop)

app.io_loop.add_callback(threading.Thread(target=read, daemon=True).start)
app.start()
print(json.dumps([seen, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
OPTIONS = {
    "history": {"name": "trips"},
    "lineage": {"name": "trips"},
    "card": {"name": "trips"},
    "compare": {"first": "first", "second": "second"},
    "runs": {"sort": "roc_auc", "where": "roc_auc > 0.1"},
    "drift": {"name": "trips", "data": "rows.csv"},
    "contract": {"name": "trips"},
    "quality": {"name": "trips/1"},
}
HEAVY = {"mlflow", "sklearn", "evidently"}


def test_a_server_that_has_read_everything_has_loaded_nothing_heavy(
    workbench: Workbench, tmp_path: Path
) -> None:
    champion(workbench)
    fit(workbench, run="second", c=0.1)
    workbench.validate("train", contract="trips", infer=True)
    workbench.namespace["test"].to_csv(workbench.project.root / "rows.csv")
    reads = [(name, OPTIONS.get(name, {})) for name, verb in verbs().items() if verb.effect == "reads"]
    done = subprocess.run(
        [sys.executable, "-c", SERVER, json.dumps(reads)],
        cwd=workbench.project.root.parent,
        env=os.environ | {"JUPYTER_CONFIG_PATH": str(_enabled(tmp_path)), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    seen, packages = json.loads(done.stdout.splitlines()[-1])
    assert seen.pop("quality").startswith('{"error": "NotFound"')  # nothing was answered yet
    assert seen == {name: 200 for name, _ in reads if name != "quality"}
    assert len(seen) > 12
    assert HEAVY & set(packages) == set()


def _enabled(folder: Path) -> Path:
    """A configuration folder in which the extension is enabled as its installed file does it."""
    place = folder / "config" / "jupyter_server_config.d"
    place.mkdir(parents=True)
    (place / CONFIG.name).write_text(CONFIG.read_text())
    return place.parent
