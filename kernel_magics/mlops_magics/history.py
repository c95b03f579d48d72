"""The cells that were executed before: what a tracked cell depends on."""

from __future__ import annotations

from typing import Any


class Executed:
    """Cells of this shell that ended well, as they were typed, in the order of execution."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cells: list[str] = []
        self._loading = False

    def register(self) -> None:
        """From now on cells report how they end; of those before, IPython kept the text and which ones failed."""
        history = self.shell.history_manager
        failed = getattr(history, "exceptions", {})
        self.cells = [c for n, c in enumerate(history.input_hist_raw) if c.strip() and n not in failed]
        self._loading = True
        self.shell.events.register("post_run_cell", self._ended)

    def unregister(self) -> None:
        self.shell.events.unregister("post_run_cell", self._ended)

    def _ended(self, result: Any) -> None:
        info = result.info
        loading, self._loading = self._loading, False
        if info is None or not info.store_history or not info.raw_cell.strip():
            return
        if loading and self.cells:
            self.cells.pop()  # the cell that loads this was stored before it ran
        if result.success:
            self.cells.append(info.raw_cell.rstrip("\n"))
