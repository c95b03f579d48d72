"""`python -m mlops_workbench.demo FOLDER`: the quickstart, run headless in a fresh project, step by step."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_workbench.base.errors import MlopsError, UsageError
from mlops_workbench.notebooks.templates import copy_notebooks


@dataclass
class Steps:
    """Prints each step when it ends, with how long it took."""

    started: float = field(default_factory=time.monotonic)
    since: float = 0.0
    now: str = ""
    done: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, message: str, fraction: float | None = None) -> None:
        self.end()
        self.now, self.since = message, time.monotonic()
        if sys.stdout.isatty():
            print(f"  … {message}", end="", flush=True)

    def end(self, mark: str = "✓") -> None:
        if self.now:
            seconds = time.monotonic() - self.since
            self.done.append((self.now, seconds))
            back = "\r" if sys.stdout.isatty() else ""
            print(f"{back}  {mark} {self.now:<80} {seconds:6.1f} s", flush=True)
            self.now = ""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    base = Path(words[0] if words else "demo").resolve()
    folder = _fresh(base)
    steps = Steps()
    print(f"The quickstart, run headless in {folder}\n")
    output = folder / "quickstart.executed.ipynb"
    try:
        copy_notebooks(folder)
        _execute(folder, output, steps)
    except MlopsError as problem:
        steps.end("✗")
        print(f"\n{problem}\nThe executed notebook: {output}", file=sys.stderr)
        return problem.exit_code
    steps.end()
    print("\n" + summary(folder))
    print(f"\n  {len(steps.done)} steps in {time.monotonic() - steps.started:.0f} s")
    print(f"  executed notebook: {output}")
    print("  by hand:           make lab")
    return 0


def _fresh(base: Path) -> Path:
    """A folder that no run used before: `base/1`, `base/2`, …"""
    base.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        folder = base / str(number)
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise UsageError(f"{base} is full of old runs.", "Remove them.")


def _execute(folder: Path, output: Path, steps: Steps) -> None:
    from mlops_workbench.notebooks import engine

    os.environ.pop("MLOPS_JOB_ID", None)
    here = Path.cwd()
    try:
        engine.execute(folder / "quickstart.ipynb", output, {}, steps, timeout=600)
    finally:
        os.chdir(here)


def summary(folder: Path) -> str:
    """What the records say after the run: champion, gate, image, predictions, jobs."""
    from mlops_workbench.workbench import opened

    with opened(folder) as workbench:
        parts = [
            workbench.models().text(),
            workbench.jobs().text(),
            workbench.history("flights").text(),
        ]
        docker = next((v.image for v in workbench.models().models if v.image), None)
    parts.append(
        f"Image: {docker}"
        if docker
        else "No Docker engine could be used: the model was served by a local process."
    )
    return "\n\n".join("\n".join(f"  {line}" for line in part.splitlines()) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
