"""The notebook as executed so far, as a notebook: the cells that ended well, in order, the run's own last."""

from __future__ import annotations

from collections.abc import Sequence


def write(cells: Sequence[str]) -> str:
    """An .ipynb of these code cells, magics as they were typed."""
    import nbformat.v4 as v4

    notebook = v4.new_notebook(
        cells=[v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    return str(v4.writes_json(notebook))


def read(text: str) -> list[str]:
    """The cells of `write`, in order of execution; none of an empty text."""
    import nbformat.v4 as v4

    return [str(cell.source) for cell in v4.reads_json(text).cells] if text else []


def as_text(cells: Sequence[str]) -> str:
    """For people and diffs: each cell below a line `# %%`."""
    return "\n\n".join(f"# %%\n{cell.rstrip()}" for cell in cells)
