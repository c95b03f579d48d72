"""A tracked cell in a notebook: its history, its data, its pictures, and runs looked up again."""

from __future__ import annotations

from typing import Any

import nbformat.v4 as v4
import pytest
from nbclient import NotebookClient

from mlops_workbench.track import notebook as kept
from mlops_workbench.track.runs import NOTEBOOK

RUN = (
    "%%mlops run --name one --data train --eval test\n"
    'model = pipeline(C=C).fit(train.drop(columns="late"), train["late"])\n'
)


def recorded(notebook: Any, name: str, file: str) -> str:
    tracking = notebook.shell.magics_manager.magics["line"]["mlops"].__self__.workbench.tracking
    return str(tracking.text(tracking.run(name).id, file))


def test_only_cells_that_ended_well_are_its_history(notebook: Any) -> None:
    notebook.run("C = 0.5")
    assert not notebook.run("C = 1 / 0").success
    assert not notebook.run("%%mlops run --name bad\nraise KeyError").success
    notebook.run("%mlops runs")
    ran = notebook.run(RUN)
    assert ran.success, ran.text
    cells = kept.read(recorded(notebook, "one", NOTEBOOK))
    assert cells == ["%load_ext mlops_workbench", "C = 0.5", "%mlops runs", RUN.rstrip()]
    assert kept.read(recorded(notebook, "bad", NOTEBOOK))[-1] == "%%mlops run --name bad\nraise KeyError"
    notebook.run("%%mlops run --name two\nx = 1")
    assert kept.read(recorded(notebook, "two", NOTEBOOK))[-2:] == [
        RUN.rstrip(),
        "%%mlops run --name two\nx = 1",
    ]


def test_the_evaluation_stands_below_the_cell(notebook: Any) -> None:
    notebook.run("C = 1.0")
    ran = notebook.run(RUN)
    assert "data:image/png;base64," in ran.html
    assert "roc_auc" in ran.plain


def test_values_and_prints_become_metrics_and_are_still_shown(notebook: Any) -> None:
    ran = notebook.run("%%mlops run --name m --metrics lift\nlift = 2\nprint('f1: 0.25')\n{'auc': 0.5}")
    assert ran.success, ran.text
    assert "f1: 0.25" in ran.text
    assert "{'auc': 0.5}" in ran.text
    notebook.run("kept = %mlops runs")
    assert notebook.shell.user_ns["kept"].runs[0].metrics == {"f1": 0.25, "auc": 0.5, "lift": 2.0}


def test_a_snapshot_in_and_out(notebook: Any) -> None:
    ran = notebook.run("%mlops snapshot train --name rows")
    assert "Snapshot rows@1: 800 rows × 5 columns." in ran.plain
    assert "rows@1" in notebook.run("%mlops snapshot").html
    notebook.run("back = %mlops snapshot rows@1")
    assert notebook.run("assert back.frame.equals(train)").success
    ran = notebook.run("%%mlops run --name s --data rows@1 --params n\nn = len(rows)")
    assert ran.success, ran.text
    assert "rows: 800 rows" in ran.plain
    assert "has no version 7" in notebook.run("%%mlops run --name s --data rows@7\nn = 1").text


def test_runs_are_looked_through(notebook: Any) -> None:
    notebook.run("C = 1.0")
    notebook.run(RUN)
    notebook.run(RUN.replace("one", "two").replace("C=C", "C=0.01"))
    ran = notebook.run('%mlops runs --sort logisticregression__C --where "status = finished" --plot roc_auc')
    assert ran.success, ran.text
    (output,) = ran.outputs
    assert "application/vnd.jupyter.widget-view+json" in output
    assert "<polyline" in output["text/html"]
    assert output["text/plain"].index("one") < output["text/plain"].index("two")
    assert "Did you mean 'roc_auc'" in notebook.run('%mlops runs --where "ruc_auc > 1"').text
    compared = notebook.run("%mlops compare one two")
    assert "<svg" in compared.html
    assert "logisticregression__C" in compared.plain


@pytest.mark.slow
def test_figures_that_a_kernel_shows_are_kept(notebook: Any) -> None:
    shown = (
        "%%mlops run --name pictures\n"
        "plt.plot([1, 2]); plt.show()\n"
        "from IPython.display import SVG, display\n"
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\'))\n'
        "fig, ax = plt.subplots(); ax.plot([2, 1])\nprint('kept')"
    )
    cells = ["%load_ext mlops_workbench\n%matplotlib inline\nimport matplotlib.pyplot as plt", shown]
    opened = v4.new_notebook(cells=[v4.new_code_cell(c) for c in cells])
    NotebookClient(
        opened, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(notebook.folder)}}
    ).execute()
    tracking = notebook.shell.magics_manager.magics["line"]["mlops"].__self__.workbench.tracking
    run = tracking.run("pictures")
    files = [a.path for a in tracking.client.list_artifacts(run.id, "figures")]
    assert files == ["figures/1.png", "figures/2.svg", "figures/3.png"]
    assert tracking.content(run.id, "figures/1.png").startswith(b"\x89PNG")
    assert tracking.text(run.id, "figures/2.svg").startswith("<svg")
    outputs = opened.cells[1].outputs
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2  # and the person still sees them
    assert any(o.get("text") == "kept\n" for o in outputs)
