"""Deployments as processes: started, asked, found again, stopped."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_folders
import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_workbench.base.errors import Conflict, InvalidData, NotFound, ServingFailed
from mlops_workbench.manifest import Manifest, Servable
from mlops_workbench.rollout.runtime import deployments
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch


def _start(folder: Path, tmp_path: Path, **options: Any) -> Deployment:
    servable = Servable("flights", "3", options.pop("digest", "") or Manifest.load(folder).sha256)
    log_file = options.pop("log_file", tmp_path / "logs" / "serving.log")
    launch = Launch(**({"log_url": f"sqlite:///{tmp_path}/inference.db"} | options))
    return deployments.start_local(folder, servable, launch, log_file=log_file)


@pytest.fixture
def running(classifier_folder: Path, tmp_path: Path) -> Iterator[Deployment]:
    deployment = _start(classifier_folder, tmp_path)
    yield deployment
    deployments.stop(deployment)


def test_its_whole_life(running: Deployment, tmp_path: Path) -> None:
    assert deployments.alive(running) == "ready"
    frame = model_folders.flights(20, seed=2)
    rows = frame.to_dict(orient="records")  # NaN, numpy.bool and Timestamp, as a notebook has them
    answer = deployments.predict(running, rows, "r1")
    assert answer["predictions"] == model_folders.classifier().predict(frame).tolist()
    with closing(sqlite3.connect(tmp_path / "inference.db")) as log:
        assert log.execute("SELECT count(*) FROM predictions_flights").fetchone() == (20,)
    kept = Deployment.from_dict(running.to_dict())
    assert kept == running
    deployments.stop(kept)
    assert deployments.alive(kept) == "stopped"
    assert '"event": "stopped"' in deployments.logs(kept, 1)
    deployments.stop(kept)  # stopping what is gone is no error
    with pytest.raises(ServingFailed, match="does not answer"):
        deployments.predict(kept, rows)


def test_errors_come_out_as_ours(running: Deployment) -> None:
    row = {"seats": 1, "night": True, "dep delay": pd.NaT, "größe": pd.NA, "carrier": None}
    assert len(deployments.predict(running, [row], "a")["predictions"]) == 1
    with pytest.raises(InvalidData, match="Row 0 has no 'seats'"):
        deployments.predict(running, [{"night": np.bool_(True)}])
    with pytest.raises(Conflict, match="'a' was used before"):
        deployments.predict(running, [row | {"seats": 2}], "a")
    with pytest.raises(NotFound, match="There is no '/x/predict'"):
        deployments.predict(replace(running, url=f"{running.url}/x"), [row])


def test_it_is_no_child_and_no_zombie(running: Deployment) -> None:
    assert running.pid is not None
    process = psutil.Process(running.pid)
    assert process.ppid() != os.getpid()
    assert os.getsid(running.pid) == running.pid
    process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while deployments.alive(running) != "failed" and time.monotonic() < end:
        time.sleep(0.05)
    assert deployments.alive(running) == "failed"


def test_another_process_with_its_pid_is_left_alone(running: Deployment) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        deployments.stop(replace(running, pid=other.pid))
        assert other.poll() is None
        assert deployments.alive(replace(running, pid=other.pid)) == "failed"
        other.kill()
    assert deployments.alive(running) == "ready"


def test_a_port_in_use(classifier_folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"The port {port} "):
            _start(classifier_folder, tmp_path, port=port)


def test_a_start_that_fails_shows_its_log_and_leaves_nothing(classifier_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ServingFailed, match="the registry recorded 0000"):
        _start(classifier_folder, tmp_path, digest="0" * 64)
    with pytest.raises(ServingFailed, match=r"not ready after 0 s"):
        _start(classifier_folder, tmp_path, seconds=0.3)
    assert not [p.pid for p in psutil.process_iter() if _serves(p, tmp_path)]


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Whether it is a runtime whose log is in this folder."""
    try:
        running = process.status() != psutil.STATUS_ZOMBIE
        ours = running and "mlops_workbench.serving" in process.cmdline()
        return ours and str(folder) in process.environ().get("MLOPS_LOG_URL", "")
    except psutil.NoSuchProcess:
        return False
