"""A real IPython shell in a real project folder."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import projects
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@dataclass
class Cell:
    """What running a cell showed."""

    success: bool
    text: str
    outputs: list[dict[str, Any]]

    @property
    def html(self) -> str:
        return "\n".join(o.get("text/html", "") for o in self.outputs)

    @property
    def plain(self) -> str:
        return "\n".join(o.get("text/plain", "") for o in self.outputs)


@dataclass
class Notebook:
    """Cells run one after the other; errors fail them."""

    shell: Any
    folder: Path
    published: list[dict[str, Any]] = field(default_factory=list)

    def run(self, source: str) -> Cell:
        self.published.clear()
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            result = self.shell.run_cell(source, store_history=True)
        return Cell(bool(result.success), out.getvalue(), list(self.published))


@pytest.fixture
def notebook(template: Path, tmp_path: Path) -> Iterator[Notebook]:
    with contextlib.chdir(tmp_path), _notebook(template, tmp_path / "project") as made:
        yield made


@pytest.fixture(scope="module")
def shared_notebook(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One for all tests of a module that leave it as it was; each has to go to its folder."""
    folder = tmp_path_factory.mktemp("shared")
    with contextlib.chdir(folder), _notebook(template, folder / "project") as made:
        yield made


@contextlib.contextmanager
def _notebook(template: Path, folder: Path) -> Iterator[Notebook]:
    workbench = projects.project(template, folder)
    os.chdir(workbench.project.root)
    workbench.close()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.colors = "nocolor"
    made = Notebook(shell, workbench.project.root)
    shell.display_pub.publish = lambda data, metadata=None, **_: made.published.append(data)
    shell.user_ns |= {
        "train": projects.trips(seed=1),
        "test": projects.trips(seed=2),
        "pipeline": projects.pipeline,
    }
    assert made.run("%load_ext mlops_workbench").success
    yield made
    magics = shell.magics_manager.magics["line"]["mlops"].__self__
    magics.unload()
    magics.workbench.close()
