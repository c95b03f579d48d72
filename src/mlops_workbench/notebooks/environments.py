"""A virtual environment from a locked list, made once and kept: by uv where it is, else by venv and pip.

It is made at its final place, because scripts in it name their interpreter by its path. A mark that is written last
says that it is whole; a lock says that it is being made (exclusive) or in use (shared), and goes with its process.
The workbench itself is not in it: `own_packages` puts it beside, as it is here. So nothing of it is in the key.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlops_workbench.base.errors import JobFailed
from mlops_workbench.base.files import user_cache
from mlops_workbench.base.progress import Progress

OURS = ("mlops_workbench", "mlops_magics")
MOST_KEPT = 3
_OWN = "mlops-workbench"
_MARK = "whole"
"""file in an environment, written last: its Python's major.minor and how many files it has; touched at each use"""
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def pins(text: str) -> dict[str, str]:
    """`name==version` lines by name; the workbench itself is left out: it comes along as it is here."""
    found = dict(
        line.split("==", 1) for line in text.splitlines() if "==" in line and not line.startswith("#")
    )
    found.pop(_OWN, None)
    return found


@contextmanager
def kept(requirements: Mapping[str, str], python: str, progress: Progress) -> Iterator[Path]:
    """The Python of an environment with exactly these distributions (name → version), for as long as it is used.

    `python`: major.minor that is wanted; another one is taken only where that is not to be had. The environment stays
    in the user's cache, with those that were used last. Raises `JobFailed`.
    """
    pinned = sorted(f"{name}=={version}" for name, version in requirements.items())
    key = hashlib.sha256(json.dumps([pinned, python, sysconfig.get_platform()]).encode()).hexdigest()
    with _home() as home:
        folder = home / key[:32]
        mark = folder / _MARK
        with _lock_of(folder).open("a") as lock:
            _lock(lock, fcntl.LOCK_SH, progress)
            has = _whole(folder)
            if has and has != python and _can_have(python):
                mark.unlink(missing_ok=True)
                has = None
            if has:
                progress("the environment is there already")
            while not has:
                _lock(lock, fcntl.LOCK_EX, progress)  # lets go first, so another may have made it meanwhile
                if not _whole(folder):
                    _make(folder, pinned, python, progress)
                _lock(lock, fcntl.LOCK_SH, progress)  # lets go first, so another may have removed it
                has = _whole(folder)
            os.utime(mark)
            _remove_others(home, folder)
            yield folder / "bin" / "python"


def _whole(folder: Path) -> str | None:
    """The major.minor of the environment's Python; None where it was not made to its end, or lost files since."""
    try:
        made = json.loads((folder / _MARK).read_text())
        python, files = str(made["python"]), int(made["files"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    # not a link to a Python that is gone; files that are new were written by packages
    return python if (folder / "bin" / "python").exists() and _count(folder) >= files else None


def _count(folder: Path) -> int:
    """How many files are in it; bytecode, which comes and goes, does not count."""
    return sum(len(files) for place, _, files in os.walk(folder) if not place.endswith("__pycache__"))


@contextmanager
def _home() -> Iterator[Path]:
    """The folder of the environments; a temporary one where the user's cache cannot be written."""
    try:
        home = user_cache() / "environments"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(home, os.W_OK)
    except (OSError, RuntimeError):  # the second: a user without a home
        writable = False
    if writable:
        yield home
    else:
        with tempfile.TemporaryDirectory(prefix="environments-") as scratch:
            yield Path(scratch)


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _lock(file: IO[str], how: int, progress: Progress) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        progress("waiting for another process that makes this environment or uses it")
        fcntl.flock(file, how)


def _remove_others(home: Path, mine: Path) -> None:
    """Keep the `MOST_KEPT` that were used last, and those in use."""

    def used(folder: Path) -> float:
        mark = folder / _MARK
        return mark.stat().st_mtime if mark.is_file() else 0.0

    others = sorted((f for f in home.iterdir() if f.is_dir() and f != mine), key=used, reverse=True)
    for folder in others[MOST_KEPT - 1 :]:
        with _lock_of(folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            (folder / _MARK).unlink(missing_ok=True)  # first: what is half removed is not whole
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, pinned: list[str], python: str, progress: Progress) -> None:
    """Make it, and mark it as whole. Raises `JobFailed`."""
    shutil.rmtree(folder, ignore_errors=True)
    target = str(folder / "bin" / "python")
    has = _HERE
    progress("making a fresh environment")
    uv = _uv()
    if uv:
        if not _run([uv, "venv", "--quiet", "--python", python, str(folder)]):
            has = python
        else:
            _must([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        progress("installing the locked requirements")
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", target]
    else:
        _must([sys.executable, "-m", "venv", str(folder)])
        progress("installing the locked requirements (with uv on PATH this takes seconds)")
        install = [target, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(pinned) + "\n")
    _must([*install, "-r", str(listed)])
    (folder / _MARK).write_text(json.dumps({"python": has, "files": _count(folder) + 1}))  # itself too


def _can_have(python: str) -> bool:
    """Whether an environment with this Python could be made."""
    uv = _uv()
    return python == _HERE or (uv is not None and not _run([uv, "python", "find", python]))


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
