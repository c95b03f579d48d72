"""A fresh virtual environment from a locked list: by uv where it is, else by venv and pip."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_workbench.base.errors import JobFailed
from mlops_workbench.base.progress import Progress

OURS = ("mlops_workbench", "mlops_magics")
_OWN = "mlops-workbench"


def pins(text: str) -> dict[str, str]:
    """`name==version` lines by name; the workbench itself is left out: it comes along as it is here."""
    found = dict(
        line.split("==", 1) for line in text.splitlines() if "==" in line and not line.startswith("#")
    )
    found.pop(_OWN, None)
    return found


def make(folder: Path, requirements: Iterable[str], python: str, progress: Progress) -> Path:
    """An environment in `folder` with exactly these distributions; returns its Python. Raises `JobFailed`.

    `python`: major.minor that is wanted; another one is taken only where that is not to be had.
    """
    listed = folder.with_suffix(".txt")
    listed.write_text("\n".join(requirements) + "\n")
    target = folder / "bin" / "python"
    uv = _uv()
    if uv:
        progress("making a fresh environment")
        if _run([uv, "venv", "--quiet", "--python", python, str(folder)]):
            _must([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        progress("installing the locked requirements")
        _must([uv, "pip", "install", "--quiet", "--no-deps", "--python", str(target), "-r", str(listed)])
    else:
        progress("making a fresh environment")
        _must([sys.executable, "-m", "venv", str(folder)])
        progress("installing the locked requirements (with uv on PATH this takes seconds)")
        pip = [str(target), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _must([*pip, "-r", str(listed)])
    return target


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def _run(words: list[str]) -> str:
    """The end of what it says when it fails; empty when it does not."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return (
        ""
        if done.returncode == 0
        else (done.stderr or done.stdout).strip()[-800:] or f"status {done.returncode}"
    )


def _must(words: list[str]) -> None:
    if tail := _run(words):
        raise JobFailed(
            f"The environment could not be made again: {tail}",
            "Look whether these versions are still to be had.",
        )


def kernel(python: Path, folder: Path) -> str:
    """A kernel specification for that Python, below `folder` (for `JUPYTER_PATH`); returns its name."""
    home = folder / "kernels" / "reproduce"
    home.mkdir(parents=True)
    words = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": words, "display_name": "reproduce", "language": "python"}
    (home / "kernel.json").write_text(json.dumps(spec))
    return home.name


def own_packages(folder: Path) -> Path:
    """A copy of the workbench as it is here, for code that imports it. It is on no index under this version."""
    import importlib.util

    for name in OURS:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(Path(spec.origin).parent, folder / name, ignore=ignore, dirs_exist_ok=True)
    return folder


def clean_variables_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables without those that point at a project's records or at another Python's packages."""
    dropped = ("MLOPS_", "MLFLOW_", "PYTHONPATH", "VIRTUAL_ENV", "IPYNB_FILE")
    return {key: value for key, value in variables.items() if not key.startswith(dropped)}
