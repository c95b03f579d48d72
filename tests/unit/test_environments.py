"""Environments are made once, kept, made again when damaged, and made by one process at a time.

Without any distribution one is made in a moment; `tests/notebooks/test_reproduce.py` makes a full one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_workbench.base.errors import JobFailed
from mlops_workbench.notebooks import environments
from mlops_workbench.notebooks.environments import kept

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
MADE = ["making a fresh environment", "installing the locked requirements"]
THERE = ["the environment is there already"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache; uv keeps its own where it is."""
    monkeypatch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mlops-workbench" / "environments"


def made(wanted: str = HERE, **requirements: str) -> tuple[list[str], Path]:
    """What is reported, and the environment's folder."""
    steps: list[str] = []
    with kept(
        requirements, wanted, lambda message, fraction=None: steps.append(message.partition(" (")[0])
    ) as python:
        answer = subprocess.run(
            [str(python), "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
        )
    folder = python.parent.parent
    assert answer.stdout.strip() == str(folder)
    return steps, folder


def folders(cache: Path) -> set[Path]:
    return {path for path in cache.iterdir() if path.is_dir()}


def test_an_environment_is_made_once_for_the_same_requirements(cache: Path) -> None:
    steps, folder = made()
    assert (steps, folder.parent) == (MADE, cache)
    assert made() == (THERE, folder)


def test_uv_is_used_where_it_is_on_the_path_and_pip_where_it_is_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    uv = tmp_path / "with" / "uv"
    uv.parent.mkdir()
    uv.write_text(
        f'#!/bin/sh\necho "$1" >>{words}\n[ "$1" = pip ] || exec {sys.executable} -m venv --without-pip "$5"\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:/usr/bin:/bin")
    steps, folder = made()
    assert (steps, words.read_text().split()) == (MADE, ["venv", "pip"])
    assert not list(folder.glob("bin/pip"))
    words.unlink()
    shutil.rmtree(folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    steps, folder = made()
    assert steps == MADE
    assert (list(folder.glob("bin/pip")), words.exists()) == ([folder / "bin" / "pip"], False)


def test_a_damaged_environment_is_made_again(cache: Path) -> None:
    _, folder = made()
    (folder / "whole").unlink()  # as one that was killed while it was made leaves it
    assert made() == (MADE, folder)
    (folder / "whole").write_text("{")  # as one that was killed while it was marked leaves it
    assert made() == (MADE, folder)
    (folder / "bin" / "python").unlink()
    assert made() == (MADE, folder)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/nowhere/python3")
    assert made() == (MADE, folder)
    (folder / "bin" / "activate").unlink()
    (folder / "bin" / "__pycache__").mkdir()
    (folder / "bin" / "__pycache__" / "new.pyc").touch()
    assert made() == (MADE, folder)
    (folder / "bin" / "written-by-a-package").touch()
    assert made() == (THERE, folder)


def test_what_cannot_be_installed_leaves_no_environment_that_counts(cache: Path) -> None:
    made()
    for _ in range(2):
        with pytest.raises(JobFailed, match="could not be made again"):
            made(**{"mlops-workbench-of-nowhere": "1 !"})


def test_one_with_another_python_is_made_again_when_the_wanted_one_is_there(cache: Path) -> None:
    _, folder = made()
    mark = folder / "whole"
    mark.write_text(mark.read_text().replace(HERE, "3.2"))
    assert made() == (MADE, folder)
    steps, other = made("3.2")  # which is nowhere
    assert (steps, other != folder) == (MADE, True)
    assert made("3.2") == (THERE, other)


def test_those_used_last_stay_and_so_do_those_in_use(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "MOST_KEPT", 2)
    with kept({}, "3.1", lambda message, fraction=None: None):
        (first,) = folders(cache)
        _, second = made("3.2")
        os.utime(second / "whole", (1, 1))
        _, third = made("3.3")
        assert folders(cache) == {first, third}
        _, fourth = made("3.4")
        assert folders(cache) == {first, third, fourth}
    _, fifth = made("3.5")
    assert folders(cache) == {fourth, fifth}


def start(**more: str) -> subprocess.Popen[str]:
    """A process of its own that wants an environment and prints what is reported."""
    code = f"from mlops_workbench.notebooks.environments import kept\nwith kept({{}}, '{HERE}', print): pass"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | more,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_several_at_once_make_one(cache: Path) -> None:
    _, folder = made()
    (folder / "whole").unlink()
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # all see that it is not there before the first may make it
        processes = [start(PYTHONUNBUFFERED="1") for _ in range(3)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("waiting for another process")
    reported = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert sum(MADE[0] in one for one in reported) == 1
    assert folders(cache) == {folder}


def test_one_that_was_killed_while_it_was_made_is_made_again(cache: Path, tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "uv"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\nmkdir -p "$5/bin" && touch "$5/bin/python" {tmp_path}/begun && exec sleep 60\n'
    )
    slow.chmod(0o755)
    process = start(PATH=f"{slow.parent}:{os.environ['PATH']}")
    try:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        assert len(folders(cache)) == 1
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert made()[0] == MADE


def test_without_a_cache_that_can_be_written_it_is_made_for_this_time(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    steps, folder = made()
    assert (steps, folder.exists()) == (MADE, False)
