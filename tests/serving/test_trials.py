"""Trials of a version: a real runtime in a process of its own, which is gone afterwards whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fast_models
import psutil
import pytest
from model_folders import classifier, save
from serving_kit import ask
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.manifest import Manifest, Servable
from mlops_workbench.rollout.runtime import trials


def named(digest: str) -> Servable:
    return Servable("flights", "3", digest)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return save(tmp_path / "model", classifier())


def test_requests_are_measured_and_the_process_is_gone(tmp_path: Path, manifest: Manifest) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    found = trials.measure(tmp_path / "model", named(manifest.sha256), manifest.sample, 7)
    assert found.requests == 200
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.memory_mb > 50  # an interpreter with pandas alone is more
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_it_is_the_real_runtime_and_logs_to_a_place_of_its_own(tmp_path: Path, manifest: Manifest) -> None:
    with trials.process(tmp_path / "model", named(manifest.sha256)) as trial:
        url = f"http://127.0.0.1:{trial.port}"
        answered = ask(f"{url}/predict", {"rows": list(manifest.sample)}).json
        assert answered["predictions"] == list(manifest.expected)
        assert ask(f"{url}/").json["role"] == "trial"
        environment = psutil.Process(trial.pid).environ()
        log = Path(environment["MLOPS_LOG_URL"].removeprefix("sqlite:///"))
        assert log.is_file()
    assert not psutil.pid_exists(trial.pid)
    assert not log.parent.exists()


def test_it_ends_when_the_work_is_interrupted(tmp_path: Path, manifest: Manifest) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        trials.process(tmp_path / "model", named(manifest.sha256)) as trial,
    ):
        raise KeyboardInterrupt
    assert not psutil.pid_exists(trial.pid)


HOLDS = """
import sys, time
from pathlib import Path
from mlops_workbench.manifest import Servable
from mlops_workbench.rollout.runtime import trials
with trials.process(Path(sys.argv[1]), Servable("flights", "3", sys.argv[2])) as trial:
    print(trial.pid, flush=True)
    time.sleep(600)
"""


def test_it_ends_when_who_asked_is_killed(tmp_path: Path, manifest: Manifest) -> None:
    words = [sys.executable, "-c", HOLDS, str(tmp_path / "model"), manifest.sha256]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as asking:
        assert asking.stdout is not None
        server = psutil.Process(int(asking.stdout.readline()))
        assert server.is_running()
        asking.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the runtime was left behind"
        time.sleep(0.05)


def test_a_runtime_that_does_not_start_says_why(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ServingFailed, match="did not start for a trial") as failed:
        trials.measure(tmp_path / "model", named("0" * 64), manifest.sample, 1)
    assert "SHA-256" in failed.value.message


def test_rows_that_the_runtime_refuses_are_no_measurement(tmp_path: Path, manifest: Manifest) -> None:
    wrong = [{**row, "seats": "many"} for row in manifest.sample]
    with pytest.raises(ServingFailed, match="answered its own sample rows with HTTP 4"):
        trials.measure(tmp_path / "model", named(manifest.sha256), wrong, 1)


def test_the_policy_says_which_path_is_tried(tmp_path: Path) -> None:
    model, frame = fast_models.fitted(
        make_pipeline(fast_models.prepared(), LogisticRegression(max_iter=500)), 2
    )
    manifest = fast_models.saved(tmp_path, model, 2, frame)
    for fast, path in ((True, "fast"), (False, "original")):
        with trials.process(tmp_path, Servable("m", "1", manifest.sha256), fast=fast) as trial:
            assert ask(f"http://127.0.0.1:{trial.port}/").json["path"] == path
