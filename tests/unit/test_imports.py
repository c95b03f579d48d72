"""The house's import rule, read from the source: who may import whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "mlops_workbench"
ROOMS = [
    "data",
    "track",
    "registry",
    "package",
    "serving",
    "monitor",
    "alerts",
    "rollout",
    "jobs",
    "notebooks",
    "exports",
    "widgets",
]
ORDER = [
    "manifest",
    "summary",
    "base",
    "config",
    "store",
    "plugins",
    *ROOMS,
    "session",
    "interface",
    "verbs",
    "workbench",
]
"""Who may import whom: each only what stands to its left, and itself."""
TOP = {"cli", "demo", "errors", "jobrunner", "__main__", "__init__"}
FACES = {"mlops_magics", "mlops_jupyter"}
FORBIDDEN_IN_CORE = {"IPython", "tornado", "jupyter_server", "jupyterlab", "ipywidgets", "notebook"}
WRAPPED = {
    # The runtime imports it too, of the image's mlflow-skinny, for models that are not scikit-learn's.
    "mlflow": "track/client.py track/writing.py track/flavours.py serving/pyfunc.py",
    "whylogs": "data/profiles.py",
    "evidently": "monitor/reports.py",
    "papermill": "notebooks/engine.py",
    "docker": "package/docker_client.py",
    "fairlearn": "registry/checks/fairness.py",
}


def imports(path: Path) -> Iterator[str]:
    """What a file imports: at the top, inside functions, and for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if is_module(deeper) else node.module


def is_module(name: str) -> bool:
    place = CORE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


def modules() -> list[Path]:
    return sorted(p for p in CORE.rglob("*.py") if "migrations" not in p.parts)


def module_name(path: Path) -> str:
    parts = ("mlops_workbench", *path.relative_to(CORE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(CORE)))
def test_each_part_imports_only_what_stands_to_its_left(path: Path) -> None:
    place = path.relative_to(CORE).parts[0].removesuffix(".py")
    assert place in (*ORDER, *TOP), f"{path} is in no room"
    for name in imports(path):
        head, _, rest = name.partition(".")
        if head in FACES:
            assert path == CORE / "__init__.py", f"{path} imports the face {name}"
        assert head not in FORBIDDEN_IN_CORE, f"{path} imports {name}"
        if head != "mlops_workbench" or not rest or place in TOP:
            continue
        room = rest.partition(".")[0]
        if place == "serving":
            assert room in ("serving", "summary", "manifest"), (
                f"the runtime runs alone, but {path} imports {name}"
            )
            continue
        assert room in ORDER, f"{path} imports {name}"
        assert ORDER.index(room) <= ORDER.index(place), f"{path} imports {name}, to its right"


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
    """Also none through imports inside functions or for types alone: they hide one, they do not cut it."""
    graph = {module_name(p): {n for n in imports(p) if n.startswith("mlops_workbench.")} for p in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name in done or name not in graph:
            return
        for other in sorted(graph[name]):
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_a_type_name_has_one_meaning() -> None:
    homes: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(CORE)))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[0].isupper() and not name.isupper():
                    homes.setdefault(name, []).append(str(path.relative_to(CORE)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_only_the_clock_asks_what_time_it_is() -> None:
    """The runtime runs alone, and an image's times are its engine's."""
    allowed = {"base/clock.py", "package/build.py", "package/sbom.py"}
    for path in modules():
        place = path.relative_to(CORE)
        if place.parts[0] == "serving" or str(place) in allowed:
            continue
        asked = {"datetime.now(", "time.time(", "utcnow("} & set(
            re.findall(r"[a-z]+\.?[a-z]+\(", path.read_text())
        )
        assert not asked, f"{place} asks the machine for the time: {asked}"


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
        "msgspec",
        "pydantic",
    }
    assert not heavy & {name.partition(".")[0] for name in added}
    assert len(added) < 150


def test_what_is_passed_together_is_one_record() -> None:
    """No function takes eight parameters or more; a verb's are its options."""
    long = {}
    for path in CORE.rglob("*.py"):
        if path.parent.name == "verbs":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([a for a in arguments if a.arg not in ("self", "cls")])
                if count > 7:
                    long[f"{path.relative_to(CORE)}: {node.name}"] = count
    assert long == {}
