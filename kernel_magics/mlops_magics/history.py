"""The cells that were executed before: what a tracked cell depends on."""

from __future__ import annotations

from typing import Any


class Executed:
    """Cells of this shell that ended well, as they were typed, in the order of execution."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cells: list[str] = []

    def register(self) -> None:
        """From now on cells report how they end; of those before, IPython kept the text and which ones failed."""
        history = self.shell.history_manager
        failed = getattr(history, "exceptions", {})
        typed = list(history.input_hist_raw)[: self.shell.execution_count]
        self.cells = [cell for n, cell in enumerate(typed) if cell.strip() and n not in failed]
        self.shell.events.register("post_run_cell", self._ended)

    def unregister(self) -> None:
        self.shell.events.unregister("post_run_cell", self._ended)

    def _ended(self, result: Any) -> None:
        info = result.info
        if result.success and info is not None and info.store_history and info.raw_cell.strip():
            self.cells.append(info.raw_cell.rstrip("\n"))
