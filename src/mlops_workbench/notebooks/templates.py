"""Where the notebooks that come with the workbench are: inside the wheel, or in the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlops_workbench.base.errors import NotFound


def templates_dir() -> Path:
    """The folder of the notebooks. Raises `NotFound` when the installation has none."""
    inside = Path(__file__).parents[1] / "templates" / "notebooks"
    checkout = (
        Path(__file__).parents[3] / "templates" / "notebooks"
    )  # an editable install ships no data files
    for folder in (inside, checkout):
        if (folder / "quickstart.ipynb").is_file():
            return folder
    raise NotFound(f"There are no notebooks in {inside}.", "Install mlops-workbench again.")


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the notebooks into a folder; those that are there stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in sorted(templates_dir().glob("*.ipynb")):
        target = folder / source.name
        if not target.exists():
            shutil.copyfile(source, target)
        made.append(target)
    return made
