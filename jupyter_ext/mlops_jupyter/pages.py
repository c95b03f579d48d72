"""An executed notebook as one HTML page: the record of a job, to be read and not to be changed."""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.base.errors import NotFound


def notebook_page(path: str | None, label: str) -> str:
    """The page of the notebook at `path`. Raises `NotFound` when `label` has no notebook, or it is gone."""
    if path is None:
        raise NotFound(f"{label} has no notebook.", "Only jobs that run a notebook have one.")
    if not Path(path).is_file():
        raise NotFound(f"{label} has no notebook at '{path}'.", "A queued job writes it when it starts.")
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    # Scripts of outputs are not run where the page is shown, so nothing is to be fetched for them either.
    exporter = HTMLExporter(exclude_input_prompt=False, mathjax_url="", require_js_url="", jquery_url="")
    page, _ = exporter.from_notebook_node(notebook)
    return str(page)
