"""Contracts in a notebook: the report inline, the failing cell, and progress."""

from __future__ import annotations

from typing import Any

from projects import trips

from mlops_workbench.data import profiles


def test_an_error_fails_the_cell_and_a_warning_does_not(notebook: Any) -> None:
    assert notebook.run("%mlops contract trips --data train").success
    notebook.shell.user_ns |= {"odd": trips().assign(hour=500), "bad": trips().assign(hour="noon")}
    ran = notebook.run("%mlops validate odd --contract trips")
    assert ran.success, ran.text
    assert "above 30.5 (800 rows)" in ran.html
    assert "1 warning" in ran.plain
    ran = notebook.run("%mlops validate bad --contract trips\nafter = 1")
    assert not ran.success
    assert "after" not in notebook.shell.user_ns
    assert "ContractViolation: 'bad' breaks the contract 'trips': column 'hour'" in ran.text
    assert "type is text, must be number" in ran.html
    assert len(ran.outputs) == 1


def test_a_violation_in_a_tracked_cell_is_shown_once_and_fails_the_run(notebook: Any) -> None:
    notebook.run("%mlops validate train --contract trips")
    notebook.shell.user_ns["bad"] = trips().drop(columns="größe")
    ran = notebook.run("%%mlops run --name first\n%mlops validate bad --contract trips\nafter = 1")
    assert not ran.success
    assert "after" not in notebook.shell.user_ns
    assert ran.html.count("column is missing") == 1
    shown = notebook.run("%mlops contract trips")
    assert "broken" in shown.plain
    runs = notebook.run("kept = %mlops runs") and notebook.shell.user_ns["kept"].runs
    assert runs[0].status == "failed"
    assert runs[0].id in shown.plain
    assert runs[0].tags["contract.trips.verdict"] == "broken"


def test_a_good_validation_in_a_tracked_cell_keeps_the_cells_own_progress(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name first\n%mlops validate train --contract trips\nafter = 1")
    assert ran.success, ran.text
    assert notebook.shell.user_ns["after"] == 1
    workbench = notebook.shell.magics_manager.magics["line"]["mlops"].__self__.workbench
    assert type(workbench.progress).__name__ == "function"  # silent, as before the first line


def test_progress_names_the_columns(notebook: Any, monkeypatch: Any) -> None:
    notebook.run("%mlops validate train --contract trips")
    monkeypatch.setattr("mlops_magics.display._PATIENCE", 0.0)
    told: list[str] = []
    monkeypatch.setattr("IPython.display.display", lambda content, **_: told.append(content.data))
    assert notebook.run("%mlops validate test --contract trips").success
    assert told


def test_a_contract_is_made_shown_and_not_overwritten(notebook: Any) -> None:
    made = notebook.run("%mlops contract trips --data train")
    assert made.success, made.text
    assert "inferred from 'train'" in made.plain
    assert ("whylogs profile" if profiles.available() else profiles.MISSING) in made.plain
    again = notebook.run("%mlops contract trips --data train")
    assert not again.success
    assert "already, and people may have edited it" in again.text
    assert notebook.run("%mlops contract trips --data train --replace").success
    assert "größe" in notebook.run("%mlops contract trips").html
