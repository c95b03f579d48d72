"""`python -m mlops_workbench.serving` as a process: starting, refusing, ending, dying."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import model_folders
from serving_kit import ask, free_port, process, wait_ready

ROW = {"dep delay": 50.0, "größe": 2.0, "seats": 100, "carrier": "Sekret", "night": True}


def test_serves_and_ends_cleanly_on_sigterm(classifier_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with process(classifier_folder, PORT=str(port), MLOPS_LOG_URL=f"sqlite:///{tmp_path}/i.db") as server:
        wait_ready(f"http://127.0.0.1:{port}")
        answered: list[str] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                try:
                    answer = ask(f"http://127.0.0.1:{port}/predict", {"rows": [ROW] * 3})
                except OSError:
                    return  # the server has closed its door
                if answer.status == 200:
                    answered.append(answer.json["request_id"])

        callers = [threading.Thread(target=load) for _ in range(4)]
        for caller in callers:
            caller.start()
        while len(answered) < 20:
            stop.wait(0.01)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        stop.set()
        for caller in callers:
            caller.join()
        assert server.stderr is not None
        lines = [json.loads(line) for line in server.stderr.read().splitlines()]
    assert [line["event"] for line in lines] == ["serving", "stopped"]
    with closing(sqlite3.connect(tmp_path / "i.db")) as log:
        rows = log.execute("SELECT request_id, count(*) FROM predictions_flights GROUP BY 1").fetchall()
    logged = dict(rows)
    assert {logged.get(r) for r in answered} == {3}


def test_a_killed_server_has_logged_every_answer(classifier_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with process(classifier_folder, PORT=str(port), MLOPS_LOG_URL=f"sqlite:///{tmp_path}/i.db") as server:
        wait_ready(f"http://127.0.0.1:{port}")
        answered: list[str] = []

        def load() -> None:
            while True:
                try:
                    answer = ask(f"http://127.0.0.1:{port}/predict", {"rows": [ROW]})
                except (OSError, ValueError, http.client.IncompleteRead):
                    return  # the head of an answer may leave before the kill, and its body not
                answered.append(answer.json["request_id"])

        callers = [threading.Thread(target=load) for _ in range(8)]
        for caller in callers:
            caller.start()
        while len(answered) < 60:
            threading.Event().wait(0.01)
        server.kill()
        for caller in callers:
            caller.join()
    with closing(sqlite3.connect(tmp_path / "i.db")) as log:
        logged = {r[0] for r in log.execute("SELECT request_id FROM predictions_flights")}
    assert set(answered) <= logged


def test_a_port_in_use_is_one_sentence(classifier_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(classifier_folder, PORT=str(port)) as server:
            assert server.wait(60) == 3
            assert server.stderr is not None
            said = server.stderr.read()
    assert said == f"The port {port} of 127.0.0.1 is in use. Choose another one.\n"


def test_a_model_that_is_refused_is_one_sentence(classifier_folder: Path, tmp_path: Path) -> None:
    bad = [
        ({"MLOPS_MODEL_DIGEST": "0" * 64}, "is not the model that was registered"),
        ({"MLOPS_MODEL_DIR": str(tmp_path)}, "no workbench.json"),
        ({"MLOPS_MODEL_VERSION": ""}, "MLOPS_MODEL_VERSION is not set"),
        ({"PORT": "80a"}, "PORT must be a number"),
        ({"MLOPS_LOG_URL": "sqlite:////nowhere/at/all.db"}, "cannot be used"),
    ]
    for env, says in bad:
        with process(classifier_folder, **({"PORT": "0"} | env)) as server:
            assert server.wait(60) == 1, env
            assert server.stderr is not None
            said = server.stderr.read()
        assert says in said
        assert said.count("\n") == 1


def test_log_lines_hold_no_data_of_callers(regressor_folder: Path, tmp_path: Path) -> None:
    # OneHotEncoder(handle_unknown="error"), the default, quotes the value in its message
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = model_folders.flights(50)[["carrier"]]
    model = make_pipeline(OneHotEncoder(), LinearRegression()).fit(frame, range(50))
    model_folders.save(tmp_path, model, task="regression", inputs=model_folders.INPUTS[3:4], sample=frame[:2])
    port = free_port()
    with process(tmp_path, PORT=str(port)) as server:
        wait_ready(f"http://127.0.0.1:{port}")
        answer = ask(f"http://127.0.0.1:{port}/predict", {"rows": [{"carrier": "Sekret"}]})
        assert answer.status == 422
        assert "Sekret" in answer.json["message"]  # to the caller, who sent it
        server.terminate()
        server.wait(30)
        assert server.stderr is not None
        assert "Sekret" not in server.stderr.read()


def test_the_runtime_needs_nothing_else_of_ours(classifier_folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; "
        "from mlops_workbench.serving.dataplane import DataPlane; "
        "import mlops_workbench.serving.app, mlops_workbench.serving.settings; "
        f"DataPlane.load(Path({str(classifier_folder)!r}), name='m', version='1').warm(); "
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    ours = {m for m in modules if m.startswith("mlops_workbench")}
    rooms = {m for m in ours if not m.startswith(("mlops_workbench.serving", "mlops_workbench.summary"))}
    assert rooms == {"mlops_workbench", "mlops_workbench.manifest"}
    assert not {"mlflow", "docker", "IPython", "evidently", "papermill"} & modules
