"""The wheel brings the sidebar: built with node, installed where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import mlops_workbench

ROOT = Path(__file__).parents[2]
LABEXTENSION = "share/jupyter/labextensions/mlops-workbench"

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with nothing built, so that stale JavaScript of this checkout cannot pass for a new build."""
    copy = tmp_path_factory.mktemp("checkout") / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    modules = ROOT / "jupyter_ext" / "node_modules"
    if modules.is_dir():
        # `npm install` finds everything there, so that nothing is downloaded
        shutil.copytree(modules, copy / "jupyter_ext" / "node_modules", symlinks=True, copy_function=_link)
    return copy


def _link(source: str, target: str) -> None:
    """A hard link where that can be; npm's own note, which it writes anew, is a copy."""
    if source.endswith(".package-lock.json"):
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    # The environment as it is: a SKIP_JUPYTER_BUILDER in it makes a wheel without the sidebar, and builds in
    # silence. That must fail here, not at somebody's desk.
    build(checkout, target)
    (made,) = target.glob("*.whl")
    return made


def build(checkout: Path, target: Path) -> None:
    """A wheel, by uv where it is, else by pip."""
    command = (
        ["uv", "build", "--wheel", "--out-dir", str(target), str(checkout)]
        if shutil.which("uv")
        else [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(target), str(checkout)]
    )
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are those of the environment that runs this."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False, symlinks=True)
    purelib = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    interpreter = str(home / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-index"]
    subprocess.run([*command, "--ignore-installed", str(wheel)], check=True, capture_output=True)
    return home


def run(home: Path, *words: str) -> str:
    """`python WORDS…` of the fresh environment, with nothing on PATH that could build anything."""
    environment = {
        "PATH": str(home / "bin"),
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
    }
    assert shutil.which("node", path=environment["PATH"]) is None
    command = [str(home / "bin" / "python"), *words]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_holds_the_sidebar_the_magics_and_the_templates(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        data = f"mlops_workbench-{mlops_workbench.__version__}.data/data"
        manifest = json.loads(archive.read(f"{data}/{LABEXTENSION}/package.json"))
    assert f"{data}/{LABEXTENSION}/{manifest['jupyterlab']['_build']['load']}" in names
    assert f"{data}/{LABEXTENSION}/install.json" in names
    assert f"{data}/etc/jupyter/jupyter_server_config.d/mlops_jupyter.json" in names
    assert {"mlops_magics/__init__.py", "mlops_jupyter/handlers.py", "mlops_workbench/workbench.py"} <= set(
        names
    )
    assert "mlops_workbench/templates/notebooks/quickstart.ipynb" in names
    assert not [name for name in names if "node_modules" in name or name.endswith((".ts", ".tsx"))]


def test_the_sidebar_is_there_without_node(installed: Path) -> None:
    said = run(installed, "-m", "jupyterlab.labextensions", "list")
    (line,) = [line for line in said.splitlines() if "mlops-workbench v" in line]
    assert f"v{mlops_workbench.__version__}" in line
    assert "enabled" in line
    assert "OK" in line


def test_the_server_extension_is_enabled_and_valid(installed: Path) -> None:
    said = run(installed, "-m", "jupyter_server.extension.serverextension", "list")
    assert "mlops_jupyter enabled" in " ".join(_plain(said).split())
    assert "mlops_jupyter OK" in " ".join(_plain(said).split())


def _plain(text: str) -> str:
    """Without colours."""
    return text.replace("\x1b[32m", "").replace("\x1b[0m", "")


def test_the_fresh_environment_runs_the_wheels_code(installed: Path) -> None:
    code = "import mlops_jupyter, mlops_workbench; print(mlops_jupyter.__file__, mlops_workbench.__file__)"
    assert all(Path(file).is_relative_to(installed) for file in run(installed, "-c", code).split())


def test_there_is_one_version() -> None:
    package = json.loads((ROOT / "jupyter_ext" / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == project["version"] == mlops_workbench.__version__
    assert f"'{project['version']}'" in (ROOT / "jupyter_ext" / "src" / "version.ts").read_text()


def test_the_lock_names_no_download_addresses() -> None:
    lock = json.loads((ROOT / "jupyter_ext" / "package-lock.json").read_text())
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all("integrity" in entry or entry.get("link") for name, entry in lock["packages"].items() if name)
