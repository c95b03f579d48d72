"""Runs to look through: sorted by a click on a column's head, filtered by what is typed, with their picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from mlops_workbench.base.values import cell, is_number, plain
from mlops_workbench.track.runlist import RunList

_STATIC = Path(__file__).parent / "static"


class RunsWidget(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget ships no types
    """Draws `runs` offline. Sorting and filtering happen in the browser: nothing comes back from it."""

    _esm = _STATIC / "runs.js"
    _css = _STATIC / "runs.css"

    data = traitlets.Dict().tag(sync=True)

    def __init__(self, runs: RunList, **options: Any) -> None:
        self.runs = runs
        heads, rows = runs.table()
        numbers = [all(is_number(row[i]) or row[i] is None for row in rows) for i in range(len(heads))]
        cells = [[{"text": cell(v), "value": plain(v)} for v in row] for row in rows]
        data = {
            "heads": list(heads),
            "numbers": numbers,
            "rows": cells,
            "picture": str(runs.picture()),
            "sort": runs.sort,
        }
        super().__init__(data=data, **options)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what shows where no widget can: the table's HTML and text."""
        found = super()._repr_mimebundle_(**options)
        bundle, metadata = found if isinstance(found, tuple) else (found or {}, {})
        return {**bundle, "text/html": self.runs._repr_html_(), "text/plain": self.runs.text()}, metadata
