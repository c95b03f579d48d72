"""The notebooks that come with the workbench, each run as a user would."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from mlops_workbench import demo
from mlops_workbench.notebooks import engine
from mlops_workbench.notebooks.templates import copy_notebooks, templates_dir
from mlops_workbench.package import docker_client
from mlops_workbench.workbench import opened


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, run by `make demo`'s own program."""
    base = tmp_path_factory.mktemp("demo")
    assert demo.main([str(base)]) == 0
    return base / "1"


@pytest.mark.timeout(900)
def test_the_quickstart_tells_its_story(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(told) as workbench:
        history = workbench.history("flights")
        assert [(e.action, e.old_version, e.new_version) for e in reversed(history.entries) if e.alias] == [
            ("promote", None, 1),
            ("promote", 1, 2),
            ("rollback", 2, 1),
        ]
        versions = {v.version: v for v in workbench.models().models}
        assert versions[2].metrics["roc_auc"] > versions[1].metrics["roc_auc"] > 0.6
        assert [j.state for j in workbench.jobs().jobs] == ["succeeded"]
        assert workbench.deployments().deployments == ()
        report = workbench.drift("flights")
        assert report.performance is not None
        assert report.performance.n == report.current_rows == 23_611
        assert report.drifted
        docker = _docker(workbench.project.base_image)
        assert (versions[1].image == "mlops/flights:1") == docker


def _docker(base: str) -> bool:
    if not docker_client.engine_answers():
        return False
    with docker_client.connect() as engine:
        return engine.image(base) is not None


def test_the_executed_quickstart_still_shows_the_picture(told: Path) -> None:
    notebook = nbformat.read(str(told / "quickstart.executed.ipynb"), as_version=4)
    (drift,) = [c for c in notebook.cells if c.source == "%mlops drift flights"]
    data = [o["data"] for o in drift.outputs if "data" in o]
    shown = next(d for d in data if "application/vnd.jupyter.widget-view+json" in d)
    assert "<svg" in shown["text/html"]
    assert "features drifted" in shown["text/plain"]
    assert len((told / "quickstart.executed.ipynb").read_bytes()) < 2_000_000


def test_a_second_demo_takes_a_fresh_folder(told: Path) -> None:
    assert demo._fresh(told.parent) == told.parent / "2"


def test_each_notebook_is_run_by_a_test() -> None:
    assert sorted(p.name for p in templates_dir().glob("*.ipynb")) == ["quickstart.ipynb", "retrain.ipynb"]


def test_the_retraining_notebook_declares_its_parameters(tmp_path: Path) -> None:
    copy_notebooks(tmp_path)
    found = engine.declared(tmp_path / "retrain.ipynb")
    assert {n: (p.type, p.default) for n, p in found.items()} == {
        "month": ("int", "3"),
        "months": ("int", "3"),
    }
    assert all(p.help for p in found.values())


@pytest.mark.parametrize("path", sorted(templates_dir().glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    for cell in nbformat.read(str(path), as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
