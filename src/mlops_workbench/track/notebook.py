"""The notebook as executed so far, as a notebook: the cells that ended well, in order, the run's own last.

Written and read as the JSON it is: importing nbformat takes longer than all the rest of a reading verb.
"""

from __future__ import annotations

import json
from collections.abc import Sequence


def write(cells: Sequence[str]) -> str:
    """An .ipynb of these code cells, magics as they were typed."""
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{number}",
                "metadata": {},
                "outputs": [],
                "source": source.splitlines(keepends=True),
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)


def read(text: str) -> list[str]:
    """The cells of `write`, in order of execution; none of an empty text."""
    if not text:
        return []
    sources = [cell["source"] for cell in json.loads(text)["cells"]]
    return [source if isinstance(source, str) else "".join(source) for source in sources]


def as_text(cells: Sequence[str]) -> str:
    """For people and diffs: each cell below a line `# %%`."""
    return "\n\n".join(f"# %%\n{cell.rstrip()}" for cell in cells)
