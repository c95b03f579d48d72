"""Lines as people type them, and errors of their own code as they know them."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_workbench.registry import ledger

FIT = 'model = pipeline().fit(train.drop(columns="late"), train["late"])'


def test_a_line_is_continued(notebook: Any) -> None:
    ran = notebook.run(f"%%mlops run --name first \\\n  --data train \\\n  --eval test\n{FIT}")
    assert ran.success, ran.text
    run = notebook.run("runs = %mlops runs").plain and notebook.shell.user_ns["runs"].runs[0]
    assert run.metrics["roc_auc"] > 0.7
    ran = notebook.run("%mlops register model \\\n   --name trips")
    assert ran.success, ran.text
    ran = notebook.run("%mlops lineage trips --version 1 \\")
    assert ran.success, ran.text


def test_a_reason_is_kept_as_it_is_typed(notebook: Any) -> None:
    assert notebook.run(f"%%mlops run --name first --data train\n{FIT}").success
    assert notebook.run("%mlops register model --name trips").success
    for reason in ("-- see mail", "--because", "{train} as in $train", "-5 % better"):
        ran = notebook.run(f'%mlops promote trips/1 --force --why "{reason}"')
        assert ran.success, ran.text
        magics = notebook.shell.magics_manager.magics["line"]["mlops"].__self__
        assert ledger.entries(magics.workbench.store, "trips")[-1].why == reason
        assert notebook.run("%mlops register model --name trips").success
        notebook.run("%mlops alias trips other --version 2 --why x")
        ran = notebook.run('%mlops promote trips@latest --force --why "next"')
        assert ran.success, ran.text


def test_variables_stand_in_other_words(notebook: Any) -> None:
    notebook.shell.user_ns |= {"count": 3, "label": "rows"}
    assert notebook.run("%mlops snapshot train --name {label}").success
    ran = notebook.run("found = %mlops runs --limit {count}")
    assert ran.success, ran.text
    ran = notebook.run("%mlops runs --limit {nothing}")
    assert "Got '{nothing}' instead" in ran.text


@pytest.mark.parametrize(
    ("body", "shown", "name"),
    [
        ("def inner(x):\n    return 1 / x\ninner(0)", "inner(0)", "ZeroDivisionError"),
        ("x = (1", "was never closed", "SyntaxError"),
        ("import json\njson.loads('{')", "json.loads('{')", "JSONDecodeError"),
    ],
)
def test_an_error_of_ones_own_shows_ones_own_frames(notebook: Any, body: str, shown: str, name: str) -> None:
    ran = notebook.run(f"%%mlops run --name broken\n{body}")
    assert not ran.success
    assert name in ran.text
    assert shown in ran.text
    for ours in ("mlops_workbench", "mlops_magics", "cell.execute", "interactiveshell"):
        assert ours not in ran.text
    assert notebook.run("%mlops runs").plain.count("failed") == 1
    if name != "SyntaxError":
        assert ran.text.strip().splitlines()[-1].startswith("The run is kept as failed: ")


def test_next_steps_are_spelled_for_a_notebook(notebook: Any) -> None:
    notebook.shell.run_cell("import os; os.chdir('/')")
    magics = notebook.shell.magics_manager.magics["line"]["mlops"].__self__
    magics.workbench.close()
    magics.workbench._seen = None
    ran = notebook.run("%mlops status")
    assert "→ Make a project: `%mlops init NAME`." in ran.text
