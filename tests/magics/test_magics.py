from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from jupyter_client.manager import start_new_kernel

FIT = """%%mlops run --name first --data train --eval test
model = pipeline().fit(train.drop(columns="late"), train["late"])
"a last value"
"""


def test_the_story_told_in_cells(notebook: Any) -> None:
    assert "inferred from 'train'" in notebook.run("%mlops validate train --contract trips").plain
    ran = notebook.run(FIT)
    assert ran.success, ran.text
    assert "Run 'first' finished" in ran.plain
    assert "a last value" in ran.text
    assert "first" in notebook.run("%mlops runs").html
    assert "Version 1 of 'trips' (candidate)" in notebook.run("%mlops register model --name trips").plain
    asked = notebook.run("%mlops gate trips --explain")
    assert "What the gate asks of a version of 'trips'" in asked.plain
    assert "save for a first version when somebody says so" in asked.html
    red = notebook.run("%mlops gate trips")
    assert not red.success
    assert "there is no champion to compare with" in red.text
    assert "NOT passed" in red.html
    assert "Gate passed" in notebook.run("%mlops gate trips --version 1 --first").plain
    assert "is champion" in notebook.run('%mlops promote trips --version 1 --why "first"').plain
    again = notebook.run("%mlops gate trips --first")
    assert not again.success
    assert "version 1 is champion" in again.text
    for verb in (
        "models",
        "history trips",
        "lineage trips",
        "status",
        "jobs",
        "deployments",
        "images",
        "doctor",
    ):
        ran = notebook.run(f"%mlops {verb}")
        assert ran.success, ran.text
        assert ran.html


def test_a_value_is_shown_once_and_can_be_kept(notebook: Any) -> None:
    notebook.run(FIT)
    assert len(notebook.run("%mlops runs").outputs) == 1
    assert len(notebook.run("%mlops runs\n%mlops models").outputs) == 2
    notebook.run("kept = %mlops runs")
    assert len(notebook.run("kept").outputs) == 1
    assert notebook.shell.user_ns["kept"].runs[0].name == "first"


def test_an_error_in_the_cell_is_the_cells_own(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name bad --data train\nx = 1\nraise KeyError('mine')")
    assert not ran.success
    assert "KeyError" in ran.text
    assert "raise KeyError('mine')" in ran.text
    assert notebook.run("%mlops runs").plain.count("failed") == 1


def test_a_syntax_error_fails_the_run(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name bad\nx = = 1")
    assert not ran.success
    assert "SyntaxError" in ran.text


def test_mlflow_inside_the_cell_lands_in_the_same_run(notebook: Any) -> None:
    ran = notebook.run(
        "%%mlops run --name own --params depth\ndepth = 3\nimport mlflow\nmlflow.log_metric('mine', 0.5)"
    )
    assert ran.success, ran.text
    (run,) = notebook.run("kept = %mlops runs") and notebook.shell.user_ns["kept"].runs
    assert run.metrics == {"mine": 0.5}
    assert run.params == {"depth": "3"}


def test_help_in_every_form(notebook: Any) -> None:
    assert "  registry  register" in notebook.run("%mlops").text
    for words in ("%mlops promote --help", "%mlops promote?"):
        assert "--why WHY" in notebook.run(words).text


def test_loading_twice_and_unloading(notebook: Any) -> None:
    assert notebook.run("%reload_ext mlops_workbench").success
    assert notebook.run("%mlops runs").success
    assert notebook.run("%unload_ext mlops_workbench").success
    assert not notebook.run("%mlops runs").success
    assert notebook.run("%load_ext mlops_workbench").success


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%mlops pro", {"promote"}),
        ("%mlops promote tr", {"trips"}),
        ("%mlops promote trips --ver", {"--version"}),
        ("%mlops promote trips --version ", {"1"}),
        ("%mlops register m", {"model"}),
        ("%mlops register model --format ", {"skops", "cloudpickle"}),
        ("%mlops register model --name trips --run ", {"first"}),
        ("%mlops validate t", {"train", "test"}),
        ("%mlops validate train --contract ", {"trips"}),
        ("%mlops stop trips ", set()),
        ("%%mlops run --name x --data t", {"train", "test"}),
    ],
)
def test_completion(notebook: Any, line: str, wanted: set[str]) -> None:
    notebook.run("%mlops validate train --contract trips")
    notebook.run(FIT)
    notebook.run("%mlops register model --name trips")
    with provisionalcompleter():
        found = {c.text for c in notebook.shell.Completer.completions(line, len(line))}
    assert wanted <= found
    if wanted:
        assert not {"ZeroDivisionError", "print"} & found


def test_in_a_real_kernel_a_failing_verb_fails_its_cell(tmp_path: Path) -> None:
    manager, client = start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path), extra_arguments=["--log-level=ERROR"]
    )
    try:
        outputs: list[dict[str, Any]] = []

        def run(code: str) -> dict[str, Any]:
            outputs.clear()
            reply = client.execute_interactive(code, timeout=60, output_hook=outputs.append)
            return dict(reply["content"])

        assert run("%load_ext mlops_workbench")["status"] == "ok"
        assert run("%mlops init trips")["status"] == "ok"
        assert (tmp_path / "mlops.toml").is_file()
        failed = run("%mlops gate nothing --version 1")
        assert failed["status"] == "error"
        assert failed["ename"] == "NotFound"
        shown = [m["content"]["traceback"] for m in outputs if m["msg_type"] == "error"]
        assert shown == [["NotFound: There is no model 'nothing'.", "→ Register one first."]]
        reply = client.complete("%mlops gat", 10, reply=True, timeout=30)
        assert "gate" in reply["content"]["matches"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
