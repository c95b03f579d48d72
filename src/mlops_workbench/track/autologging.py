"""MLflow's autologging is for a person's code: what the workbench itself asks and measures is not logged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MODULE = "mlflow.utils.autologging_utils"
_SWITCH = "_AUTOLOGGING_GLOBALLY_DISABLED"
"""what `disable_autologging` there sets; that one leaves it unset even where it was set before"""


@contextmanager
def off() -> Iterator[None]:
    """Nothing is logged by itself meanwhile."""
    module = sys.modules.get(_MODULE)
    if module is None:
        yield
        return
    before = getattr(module, _SWITCH)
    setattr(module, _SWITCH, True)
    try:
        yield
    finally:
        setattr(module, _SWITCH, before)
