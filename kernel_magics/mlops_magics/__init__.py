"""`%mlops VERB …`, `%%mlops run …`, completion and display. No logic: parse, call, show.

Loading imports nothing heavy: the workbench comes with the first verb.
"""

from __future__ import annotations

from typing import Any

from mlops_magics.magics import MlopsMagics

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext mlops_workbench`. Loading twice changes nothing."""
    if MlopsMagics.of(shell) is None:
        MlopsMagics(shell).load()


def unload_ipython_extension(shell: Any) -> None:
    magics = MlopsMagics.of(shell)
    if magics is not None:
        magics.unload()
