"""The house's import rule, read from the source: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "mlops_workbench"
STAGES = ["data", "track", "registry", "package", "serving", "rollout", "monitor", "retrain"]
EVERYWHERE = {
    "errors",
    "alerts",
    "files",
    "values",
    "manifest",
    "progress",
    "project",
    "gatepolicy",
    "servingpolicy",
    "store",
}
TOP = {
    "workbench",
    "opening",
    "judging",
    "packaging",
    "overview",
    "cli",
    "demo",
    "jobrunner",
    "parser",
    "templates",
    "__main__",
    "__init__",
}
FACES = {"mlops_magics", "mlops_jupyter"}
FORBIDDEN_IN_CORE = {"IPython", "tornado", "jupyter_server", "jupyterlab", "ipywidgets", "notebook"}
WRAPPED = {
    # The runtime imports it too, of the image's mlflow-skinny, for models that are not scikit-learn's.
    "mlflow": "track/tracking.py track/flavours.py serving/pyfunc.py",
    "whylogs": "data/profiles.py",
    "evidently": "monitor/reports.py",
    "papermill": "retrain/engine.py",
    "docker": "package/docker_client.py",
    "fairlearn": "registry/checks/fairness.py",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(p for p in CORE.rglob("*.py") if "migrations" not in p.parts)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(CORE)))
def test_a_stage_imports_only_what_stands_to_its_left(path: Path) -> None:
    place = path.relative_to(CORE).parts[0].removesuffix(".py")
    for name in imports(path):
        head, _, rest = name.partition(".")
        if head in FACES:
            assert path == CORE / "__init__.py", f"{path} imports the face {name}"
        assert head not in FORBIDDEN_IN_CORE, f"{path} imports {name}"
        if head != "mlops_workbench" or not rest:
            continue
        room = rest.partition(".")[0]
        if room not in STAGES:
            if place in STAGES:
                assert room in EVERYWHERE or room.startswith("__"), f"{path} imports {name}"
            continue
        if place == "serving":
            assert room == "serving", f"the runtime runs alone, but {path} imports {name}"
        elif place in STAGES:
            assert STAGES.index(room) <= STAGES.index(place), f"{path} imports {name}, to its right"
        elif place == "widgets":
            assert room in ("monitor", "track"), f"{path} imports {name}"
        else:
            assert place in TOP, f"{path} is in no room, and imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(CORE)))
def test_the_runtime_imports_nothing_else_of_ours(path: Path) -> None:
    if path.relative_to(CORE).parts[0] != "serving":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "mlops_workbench" and len(parts) > 1:
            assert parts[1] in {"serving", "manifest", "__version__"}, f"{path} imports {name}"


@pytest.mark.parametrize(("package", "home"), WRAPPED.items())
def test_each_heavy_package_is_imported_where_it_is_wrapped(package: str, home: str) -> None:
    users = {
        str(p.relative_to(CORE))
        for p in modules()
        for name in imports(p)
        if name.partition(".")[0] == package
    }
    assert users == set(home.split())


def test_no_import_cycles_between_modules() -> None:
    graph = {module_name(p): set(top_level_imports(p)) for p in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name in done or name not in graph:
            return
        for other in graph[name]:
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def module_name(path: Path) -> str:
    parts = ("mlops_workbench", *path.relative_to(CORE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def top_level_imports(path: Path) -> Iterator[str]:
    """Imports that run when the module is loaded: those under TYPE_CHECKING and in functions do not."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mlops_workbench"):
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                file = CORE.parent.joinpath(*deeper.split(".")).with_suffix(".py")
                yield deeper if file.is_file() else node.module


def test_loading_the_magics_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import IPython.core.interactiveshell as s; "
        "shell = s.InteractiveShell(); before = set(sys.modules); shell.run_line_magic('load_ext', 'mlops_workbench'); "
        "print(','.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    added = done.stdout.strip().splitlines()[-1].split(",")
    heavy = {
        "mlflow",
        "pandas",
        "numpy",
        "sklearn",
        "sqlalchemy",
        "papermill",
        "evidently",
        "whylogs",
        "docker",
    }
    assert not heavy & {name.partition(".")[0] for name in added}
    assert len(added) < 150
