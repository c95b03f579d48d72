"""Wheels for an image are fetched on the host: its pip is configured, and the build needs no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name, canonicalize_version, parse_wheel_filename

from mlops_workbench.base.errors import BuildFailed
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.base.scratch import scratch_folder

_TAIL = 15

_PRINT_TARGET = """
import json, platform, sys
import pip, venv  # both are needed later: better to miss them here
print(json.dumps([*sys.version_info[:2], platform.machine(), platform.libc_ver()[1]]))
"""
PROBE = ["python3", "-c", _PRINT_TARGET]
"""what is run in a base image to learn its `WheelTarget`"""


@dataclass(frozen=True, slots=True)
class WheelTarget:
    """For which interpreter and system wheels are chosen."""

    python: str
    """major.minor"""
    machine: str
    """x86_64, aarch64, …"""
    glibc: int | None
    """minor version (36 for 2.36); None on a system with musl"""

    @property
    def markers(self) -> dict[str, str]:
        """What requirements' markers are judged by."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_probe(cls, output: str) -> WheelTarget:
        """From what `PROBE` printed."""
        major, minor, machine, libc = json.loads(output.strip().splitlines()[-1])
        return cls(f"{major}.{minor}", machine, int(libc.split(".")[1]) if libc else None)

    @property
    def platforms(self) -> list[str]:
        """Platform tags that run there, newest first (PEP 600: manylinux_2_x needs glibc 2.x or later)."""
        if self.glibc is None:
            return [f"musllinux_1_{minor}_{self.machine}" for minor in (2, 1, 0)]
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, 4, -1)]
        return [*tags, *(f"{old}_{self.machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1"))]

    @property
    def folder(self) -> str:
        libc = "musl" if self.glibc is None else f"glibc{self.glibc}"
        return f"cp{self.python.replace('.', '')}-{self.machine}-{libc}"


def fetch(
    requirements: Sequence[str], target: WheelTarget, cache_dir: Path, progress: Progress = silent
) -> list[Path]:
    """A wheel for each `name==version`, from the cache or through pip (with the user's configuration).

    Raises BuildFailed with the end of pip's log, for example if there is no wheel for the target.
    """
    folder = cache_dir / "wheels" / target.folder
    folder.mkdir(parents=True, exist_ok=True)
    have = _cached(folder)
    missing = [r for r in requirements if _key(r) not in have]
    if missing:
        # Into a folder of its own first: an interrupted download must not look like a wheel.
        with scratch_folder(folder, ".fetch-") as fresh:
            _download(missing, target, fresh, progress)
            for wheel in fresh.glob("*.whl"):
                wheel.replace(folder / wheel.name)
        have = _cached(folder)
    if lost := [r for r in requirements if _key(r) not in have]:
        raise BuildFailed(f"pip fetched no wheel for {', '.join(lost)}.", "Look at pip's configuration.")
    return [have[_key(r)] for r in requirements]


def _download(requirements: Sequence[str], target: WheelTarget, to: Path, progress: Progress) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--dest", str(to)),
        *("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "off", "--implementation", "cp", "--python-version", target.python),
        *(word for platform in target.platforms for word in ("--platform", platform)),
        *requirements,
    ]
    tail: deque[str] = deque(maxlen=_TAIL)
    seen = 0
    # Run elsewhere than in the project: `python -m pip` would import a `pip.py` that lies there.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=to,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as pip:
        assert pip.stdout is not None
        try:
            for line in pip.stdout:
                tail.append(line.rstrip())
                if line.startswith(("Collecting ", "Processing ")):  # from an index, from a folder
                    progress(f"fetching {Path(line.split()[1]).name}", seen / len(requirements))
                    seen += 1
        except BaseException:  # interrupted: pip must not go on by itself
            pip.kill()
            raise
    if pip.returncode:
        log = "\n".join(tail)
        raise BuildFailed(
            f"The wheels for Python {target.python} on {target.machine} could not be fetched. "
            f"pip's log ends:\n{log}\n",
            "Look at pip's configuration, or use a base image of the Python that the model was fitted with.",
        )


def _key(requirement: str) -> tuple[str, str]:
    name, _, version = requirement.partition("==")
    # A local label stays: 2.3+cpu is not 2.3.
    return canonicalize_name(name), canonicalize_version(version)


def _cached(folder: Path) -> dict[tuple[str, str], Path]:
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        found[(str(name), canonicalize_version(str(version)))] = path
    return found


def total_mb(wheels: Iterable[Path]) -> float:
    return sum(w.stat().st_size for w in wheels) / 1e6
