"""What people do without thinking of it: it works, or is one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from mlops_workbench.base.errors import Conflict, GateFailed, JobFailed, UsageError
from mlops_workbench.notebooks import engine
from mlops_workbench.track import source
from mlops_workbench.track.records import CHANGES
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def test_a_model_name_that_mlflow_refuses_is_refused_in_time(workbench: Workbench) -> None:
    with pytest.raises(UsageError, match=r"must be 1 to 100 letters, digits, '_' or '-', .* 'fraud\.v2'"):
        workbench.register("model", name="fraud.v2", data="train")


def test_a_model_of_one_class_is_judged(workbench: Workbench) -> None:
    rows = pd.DataFrame({"a": np.arange(40.0), "y": 1})
    model = DecisionTreeClassifier().fit(rows[["a"]], rows["y"])
    workbench.namespace = {"rows": rows, "others": rows.assign(a=rows["a"] + 0.5), "model": model}
    workbench.register("model", name="one", data="rows")
    with pytest.raises(GateFailed, match="better than a constant"):
        workbench.gate("one", first=True, data="others")


def test_a_label_given_as_a_frame_of_one_column(workbench: Workbench) -> None:
    rows = pd.DataFrame({"a": np.arange(40.0), "b": 1.0})
    rows["y"] = rows["a"] * 2
    workbench.namespace = {"rows": rows, "model": LinearRegression().fit(rows[["a", "b"]], rows[["y"]])}
    version = workbench.register("model", name="doubled", data="rows").version
    assert workbench.tracking.version("doubled", version).facts.target == "y"


@pytest.mark.parametrize("name", ["team%20repo", "what?", "50%"])
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    workbench = Workbench(tmp_path / name, namespace={"rows": pd.DataFrame({"a": [1.0]})})
    try:
        workbench.init("p")
        assert workbench.snapshot("rows").version == 1
        code = "x = 1"
        workbench.run(Cell(code, lambda: exec(code, {}), {}), name="r")
        assert [run.name for run in workbench.runs().runs] == ["r"]
    finally:
        workbench.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_project_in_a_project_is_made_by_choice_only(tmp_path: Path) -> None:
    inner = tmp_path / "notebooks" / "inner"
    inner.mkdir(parents=True)
    for folder in (tmp_path, inner):
        workbench = Workbench(folder, namespace={})
        try:
            if folder == inner:
                with pytest.raises(Conflict, match=f"belongs to the project in {tmp_path}"):
                    workbench.init("inner")
                assert not list(inner.iterdir())
            workbench.init(folder.name.replace("_", "-"), nested=folder == inner)
            assert workbench.init(folder.name.replace("_", "-")).created is False
        finally:
            workbench.close()


def test_a_patch_is_applied_whatever_git_is_configured_to(workbench: Workbench, tmp_path: Path) -> None:
    root = workbench.project.root

    def git(*words: str) -> None:
        config = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(root), *config, *words], check=True, capture_output=True)

    git("init", "-q")
    for name, value in (("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("color.ui", "always")):
        git("config", name, value)
    (root / "latin.py").write_bytes("# größe\n".encode("latin-1"))
    git("add", "latin.py", "mlops.toml")
    git("commit", "-qm", "one")
    (root / "latin.py").write_bytes("# größer\n".encode("latin-1"))
    (root / "new.py").write_bytes("# schön\n".encode("latin-1"))
    done = workbench.run(Cell("x = 1", lambda: None, {}), name="r")
    patch = tmp_path / "p.diff"
    patch.write_bytes(workbench.tracking.content(done.run.id, CHANGES) or b"")
    git("clone", "-q", str(root), str(tmp_path / "clone"))
    subprocess.run(["git", "-C", str(tmp_path / "clone"), "apply", str(patch)], check=True)
    for name in ("latin.py", "new.py"):
        assert (tmp_path / "clone" / name).read_bytes() == (root / name).read_bytes()


def test_untracked_files_are_uncommitted(tmp_path: Path) -> None:
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    words = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "one",
    ]
    subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    assert source.git_state(tmp_path)["git.dirty"] == "no"
    (tmp_path / "features.py").write_text("x = 1\n")
    assert source.git_state(tmp_path)["git.dirty"] == "yes"


def notebook(path: Path, *cells: Any) -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
    made = nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)
    nbformat.write(made, str(path))
    return path


def cell(code: str, *tags: str) -> Any:
    made = nbformat.v4.new_code_cell(code)
    made.metadata.tags = list(tags)
    return made


@pytest.mark.parametrize(
    ("default", "given", "value"),
    [
        ("24 * 60", "720", 720),
        ("60 / 2", "1", 1.0),
        ("-(2 + 3)", "7", 7),
        ("1e3", "2", 2.0),
        ("'a'", "7", "7"),
    ],
)
def test_a_parameter_has_the_type_of_its_default(
    tmp_path: Path, default: str, given: str, value: Any
) -> None:
    path = notebook(tmp_path / "n.ipynb", cell(f"window = {default}  # minutes", "parameters"))
    found = engine.typed(path, {"window": given})["window"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("default", ["9 ** 9", "max(1, 2)", "OTHER", "1 / 0"])
def test_a_parameter_without_a_type_is_a_sentence(tmp_path: Path, default: str) -> None:
    path = notebook(tmp_path / "n.ipynb", cell(f"window = {default}", "parameters"))
    with pytest.raises(UsageError, match=r"parameter 'window' is cannot be read from its default") as caught:
        engine.typed(path, {"window": "720"})
    assert f"window: int = {default}" in caught.value.next_step


def run(path: Path) -> Path:
    output = path.with_suffix(".out.ipynb")
    engine.execute(path, output, {}, lambda message, fraction=None: None)
    return output


def test_a_cell_that_may_raise_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = notebook(tmp_path / "n.ipynb", cell("1/0", "raises-exception"), cell("print('on')"), cell("x = 1"))
    executed = nbformat.read(str(run(path)), as_version=4)
    assert [c.cell_type for c in executed.cells] == ["code"] * 3
    assert not executed.metadata.papermill.exception


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('mine')", "ValueError: mine"),
        ("%sql select 1", r"UsageError: Line magic function `%sql` not found"),
    ],
)
def test_the_cell_that_failed_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = notebook(tmp_path / "n.ipynb", cell("1/0", "raises-exception"), cell(code), cell("never = 1"))
    with pytest.raises(JobFailed, match=f"^Cell 2 of 'n.ipynb' failed: {reason}"):
        run(path)
