"""A tracked cell is an ordinary cell: magics, semicolons, annotations; what cannot be is one sentence."""

from __future__ import annotations

from typing import Any

FIT = 'model = pipeline().fit(train.drop(columns="late"), train["late"])'


def test_a_cell_with_a_line_magic_makes_models_and_data(notebook: Any) -> None:
    ran = notebook.run(f"%%mlops run --name a --data fresh\n%time fresh = train.head(400)\n{FIT}")
    assert ran.success, ran.text
    assert "made model" in ran.plain
    assert notebook.run("%mlops register model --name trips").success


def test_a_semicolon_before_a_comment_hides_the_value(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name a\n'sho' + 'wn';  # not this one")
    assert ran.success
    assert "shown" not in ran.text


def test_annotations_are_those_of_the_cell(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name a\ndef f(x: int): ...\nprint(f.__annotations__)")
    assert "<class 'int'>" in ran.text
    notebook.run("from __future__ import annotations")
    ran = notebook.run("%%mlops run --name b\ndef f(x: int): ...\nprint(f.__annotations__)")
    assert "{'x': 'int'}" in ran.text


def test_a_cell_that_awaits_is_refused_before_anything_runs(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name a\ntouched = 1\nimport asyncio\nawait asyncio.sleep(0)")
    assert not ran.success
    assert ran.text.strip().splitlines() == [
        "UsageError: A tracked cell cannot await.",
        "→ Await in a cell before it.",
    ]
    assert "touched" not in notebook.shell.user_ns
    assert "(none)" in notebook.run("%mlops runs").plain


def test_what_is_offered_for_a_missing_variable_is_the_persons_own(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name a --data nope\nx = 1")
    assert "'train', 'test'" in ran.text
    assert "get_ipython" not in ran.text
