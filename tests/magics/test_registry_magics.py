"""The registry's verbs as cells: what they show, and that a refusal fails its cell."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

FIT = """%%mlops run --name {name} --data train --eval test
model = pipeline(C={c}).fit(train.drop(columns="late"), train["late"])
"""


def made(notebook: Any, name: str, c: float) -> None:
    assert notebook.run(FIT.format(name=name, c=c)).success
    assert notebook.run("%mlops register model --name trips").success


def test_who_let_it_in_is_told_in_cells(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made(notebook, "first", 1.0)
    made(notebook, "second", 0.5)
    for version in (1, 2):
        ran = notebook.run(f'%mlops promote trips/{version} --why "first model" --force')
        assert ran.success, ran.text
    assert notebook.run("%mlops gate trips --version 2").success
    monkeypatch.setenv("MLOPS_USER", "grace")
    ran = notebook.run('%mlops approve trips/2 --why "looked at the slices"')
    assert "grace approved version 2 of 'trips'" in ran.plain
    ran = notebook.run('%mlops alias trips/1 fallback --why "just in case"')
    assert "version 1 of 'trips' is fallback" in ran.plain
    assert "the alias 'fallback' is on it" in notebook.run('%mlops delete trips/1 --why "x"').text
    assert "Retire: version 1 of 'trips'" in notebook.run('%mlops retire trips@fallback --why "old"').plain
    assert "was champion" in notebook.run("%mlops history trips --at 2100-01-01").plain
    assert "<h1>trips, version 2</h1>" in notebook.run("%mlops card trips@champion").html
    assert "approvals" in notebook.run("%mlops lineage trips").plain
    assert "The ledger holds" in notebook.run("%mlops ledger verify").plain
    assert "Which version of 'trips'" in notebook.run('%mlops retire trips --why "x"').text
    refused = notebook.run('%mlops promote trips/1 --why "x"')
    assert not refused.success
    assert "is retired" in refused.text


def test_completion_of_a_verb_with_choices(notebook: Any) -> None:
    with provisionalcompleter():
        found = {c.text for c in notebook.shell.Completer.completions("%mlops ledger ", 14)}
    assert {"show", "verify"} <= found


@pytest.mark.slow
def test_what_is_served_follows_in_cells(notebook: Any) -> None:
    made(notebook, "first", 1.0)
    made(notebook, "second", 0.5)
    assert notebook.run('%mlops promote trips/1 --why "first model" --force').success
    ran = notebook.run("%mlops serve trips --follow")
    try:
        assert "Version 1 of 'trips' answers at" in ran.plain
        assert "follows champion" in ran.plain
        assert notebook.run('%mlops promote trips/2 --why "next" --force').success
        (row,) = [line for line in notebook.run("%mlops deployments").plain.splitlines() if "trips" in line]
        assert row.split()[:4] == ["trips", "2", "champion", "ready"]
        assert "No alert is open." in notebook.run("%mlops alerts").plain
        assert "Which alert has been looked at?" in notebook.run("%mlops alerts ack").text
        assert "There is no alert 7" in notebook.run("%mlops alerts ack 7").text
        assert "not version 2" in notebook.run("%mlops serve trips/2 --follow").text
    finally:
        assert notebook.run("%mlops stop trips").success
