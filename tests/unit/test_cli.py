from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import champion, trips

from mlops_workbench import cli
from mlops_workbench.workbench import Workbench


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_workbench", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_verbs_give_text_json_and_exit_codes(workbench: Workbench) -> None:
    champion(workbench)
    root = workbench.project.root
    os.chdir(root)
    done = run(root, "models")
    assert (done.returncode, "champion" in done.stdout) == (0, True), done.stderr
    done = run(root, "history", "trips", "--json")
    assert json.loads(done.stdout)["champion"] == 1
    done = run(root, "gate", "tripz", "--version", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["NotFound: There is no model 'tripz'.", "→ Did you mean 'trips'?"]
    assert done.stdout == ""


def test_usage_errors_exit_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promte"]) == 2
    assert "Did you mean 'promote'" in capsys.readouterr().err
    assert cli.main(["promote", "--help"]) == 0
    assert "mlops promote" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mlops-workbench 0.")
    os.chdir(tmp_path)
    assert cli.main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "NotFound"


def test_a_script_is_a_run_and_a_file_is_data(
    workbench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workbench.project.root
    os.chdir(root)
    trips(seed=1).to_parquet("train.parquet")
    trips(seed=2).to_parquet("test.parquet")
    Path("fit.py").write_text(
        "import pandas as pd, skops.io\nfrom projects import pipeline\n"
        "train = pd.read_parquet('train.parquet')\n"
        "model = pipeline().fit(train.drop(columns='late'), train['late'])\n"
        "skops.io.dump(model, 'fitted.skops')\n"
    )
    words = ["run", "fit.py", "--name", "script", "--data", "train", "--eval", "test.parquet"]
    assert cli.main(words) == 0, capsys.readouterr().err
    assert "Run 'script' finished" in capsys.readouterr().out
    assert cli.main(["validate", "train.parquet", "--contract", "trips"]) == 0
    assert cli.main(["register", "fitted.skops", "--name", "trips", "--run", "script"]) == 0
    assert cli.main(["gate", "trips", "--version", "1", "--first"]) == 0
    assert cli.main(["promote", "trips", "--version", "1", "--why", "from a shell"]) == 0
    capsys.readouterr()
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["champion"] == 1
