"""MLflow's autologging is for a person's code: what the workbench itself fits, asks and measures is not logged."""

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
    yield from _switched(True)


@contextmanager
def on() -> Iterator[None]:
    """A person's code runs: what they switched on is on."""
    yield from _switched(False)


def _switched(value: bool) -> Iterator[None]:
    module = sys.modules.get(_MODULE)
    before = getattr(module, _SWITCH, False)
    if module is not None:
        setattr(module, _SWITCH, value)
    try:
        yield
    finally:
        module = sys.modules.get(_MODULE)  # the code may have been the first to import it
        if module is not None:
            setattr(module, _SWITCH, before)
