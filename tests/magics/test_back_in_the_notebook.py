"""What was registered and logged comes back into a notebook: as objects, frames and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FIT = """%%mlops run --name first --data train --eval test
model = pipeline().fit(train.drop(columns="late"), train["late"])
"""


def champion(notebook: Any) -> None:
    assert notebook.run(FIT).success
    assert notebook.run("%mlops register model --name trips").success
    assert notebook.run('%mlops promote trips/1 --why "first" --force').success


def test_a_notebook_opened_later_has_the_champion_and_mlflow(notebook: Any) -> None:
    champion(notebook)
    wanted = notebook.shell.user_ns["model"].predict_proba(
        notebook.shell.user_ns["test"].drop(columns="late")
    )
    ran = notebook.run("%mlops load trips --as again")
    assert "Version 1 of 'trips' is 'again': Pipeline." in ran.plain
    ran = notebook.run(
        "import mlflow\n"
        'rows = test.drop(columns="late")\n'
        "found = again.predict_proba(rows)\n"
        'through = mlflow.sklearn.load_model("models:/trips/1").predict_proba(rows)\n'
    )
    assert ran.success, ran.text
    for name in ("found", "through"):
        np.testing.assert_array_equal(notebook.shell.user_ns[name], wanted)
    refused = notebook.run("%mlops load trips --as 2nd")
    assert "'2nd' cannot be a variable's name." in refused.text
    assert "no version 7" in notebook.run("%mlops load trips/7 --as x").text


def test_mlflow_stays_where_a_person_pointed_it(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert notebook.run("%mlops status").success
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///elsewhere.db"


def test_logged_rows_come_back_with_their_labels(notebook: Any) -> None:
    champion(notebook)
    assert notebook.run("%mlops serve trips --kind process").success
    try:
        assert notebook.run("answers = %mlops predict trips test --out answers.parquet").success
    finally:
        notebook.run("%mlops stop trips")
    answers = notebook.shell.user_ns["answers"].frame
    pd.testing.assert_frame_equal(
        pd.read_parquet(notebook.folder / "answers.parquet"), answers, check_index_type=False
    )
    assert "No logged row of 'trips' has a label yet" in notebook.run("%mlops log trips --labelled").text
    notebook.run("real = answers.frame.assign(late=test['late'])[:300]")
    assert notebook.run("%mlops label trips real").success
    ran = notebook.run("%mlops log trips --labelled --as labelled --out labelled.csv.gz")
    assert "300 logged rows of 'trips', 300 with a label." in ran.plain
    rows = notebook.shell.user_ns["labelled"]
    sent = notebook.shell.user_ns["test"]
    assert rows["label"].tolist() == sent["late"][:300].tolist()
    assert rows["carrier"].tolist() == sent["carrier"][:300].tolist()
    assert len(pd.read_csv(Path(notebook.folder / "labelled.csv.gz"))) == 300
    assert (
        "800 logged rows of version 1 of 'trips', 300 with a label"
        in notebook.run("%mlops log trips/1").plain
    )
    assert "'rows.xlsx'" in notebook.run("%mlops log trips --out rows.xlsx").text
