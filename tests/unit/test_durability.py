"""What a commit outlives: records of the workbench a power cut, answered rows what the project says."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_folders import classifier, save

from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.manifest import Manifest
from mlops_workbench.rollout.runtime.environment import variables
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.settings import Settings
from mlops_workbench.workbench import Workbench

FULL, NORMAL = 2, 1
"""SQLite's numbers: with FULL each commit is flushed to the disk"""


def test_ledger_and_queue_outlive_a_power_cut(workbench: Workbench) -> None:
    with workbench.store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(("durability", "wanted"), [("process", NORMAL), ("power", FULL)])
def test_the_log_does_what_the_project_says(tmp_path: Path, durability: str, wanted: int) -> None:
    save(tmp_path, classifier())
    policy = ServingPolicy(durability=durability)  # type: ignore[arg-type]
    settings = Settings.from_env(
        variables(policy, tmp_path)
        | {"MLOPS_MODEL_DIR": str(tmp_path), "MLOPS_MODEL_NAME": "m", "MLOPS_MODEL_VERSION": "1"}
    )
    log = PredictionLog(f"sqlite:///{tmp_path}/log.db", Manifest.load(tmp_path), "m", power=settings.power)
    with log.engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == wanted
    log.close()
