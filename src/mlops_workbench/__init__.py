"""From a notebook to a served, watched, self-retraining model.

`Workbench` is the table of contents: one method a verb. `%load_ext mlops_workbench`
gives the same verbs as `%mlops VERB …`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.workbench import Workbench

__version__ = "0.1.0"
__all__ = ["Workbench", "__version__"]


def __getattr__(name: str) -> Any:
    # The serving image imports this package too, without the workbench's dependencies.
    if name == "Workbench":
        from mlops_workbench.workbench import Workbench

        return Workbench
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext mlops_workbench`. The one place where the core names a face, so that users load one name."""
    from mlops_magics import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    from mlops_magics import unload_ipython_extension as unload

    unload(shell)
