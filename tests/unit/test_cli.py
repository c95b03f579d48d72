from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import champion, registered, trips

from mlops_workbench import cli
from mlops_workbench.base.errors import spelled
from mlops_workbench.workbench import Workbench, verbs


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


def test_help_names_json_and_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--json print the result, or the error, as JSON" in shown
    assert "how many (default: 20)" in shown
    assert cli.main(["reproduce", "--help"]) == 0
    assert "(default: 1e-06)" in capsys.readouterr().out
    for verb in verbs():
        assert cli.main([verb, "--help"]) == 0


def test_a_picture_is_a_file_where_there_is_only_text(
    workbench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    champion(workbench)
    os.chdir(workbench.project.root)
    assert cli.main(["runs", "--plot", "roc_auc"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("The picture is in ")
    assert "<svg" in Path(said.removeprefix("The picture is in ").rstrip(".")).read_text()
    assert cli.main(["runs"]) == 0
    assert "picture" not in capsys.readouterr().out


def test_doctor_fails_where_it_finds_a_problem(
    workbench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chdir(workbench.project.root)
    assert cli.main(["doctor"]) == 0
    workbench.close()
    for file in ("workbench.db", "workbench.db-wal"):
        (workbench.project.state / file).write_bytes(b"no database" * 1000)
    assert cli.main(["doctor"]) == 1
    assert "✗" in capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["healthy"] is False


def test_next_steps_are_spelled_for_a_shell(workbench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    os.chdir(workbench.project.root)
    registered(workbench)
    assert cli.main(["gate", "trips"]) == 1
    assert "`mlops gate trips --first`" in capsys.readouterr().err
    assert cli.main(["serve", "trips"]) == 1
    assert "`mlops promote trips/VERSION --why …`" in capsys.readouterr().err
    assert spelled("Say which: the option target.", "mlops") == "Say which: --target."
    assert (
        spelled("`pip install x`, `status`, `git add`", "mlops")
        == "`pip install x`, `mlops status`, `git add`"
    )


def test_versions_are_numbers_in_every_json(workbench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    champion(workbench)
    os.chdir(workbench.project.root)
    trips(seed=3).to_parquet("later.parquet")
    assert cli.main(["serve", "trips", "--json"]) == 0
    try:
        served = json.loads(capsys.readouterr().out)
        found = [served["version"]]
        for words in (
            ["predict", "trips", "later.parquet"],
            ["drift", "trips"],
            ["log", "trips", "--version", "1"],
        ):
            assert cli.main([*words, "--json"]) == 0
            found.append(json.loads(capsys.readouterr().out)["version"])
        assert cli.main(["status", "--json"]) == 0
        (model,) = json.loads(capsys.readouterr().out)["models"]
        assert [*found, model["serving_version"], model["champion"]] == [1] * 6
        (live,) = workbench.deployments().deployments
        assert live.version == "1"  # as the serving contracts write it
    finally:
        workbench.stop("trips")
