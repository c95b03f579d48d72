"""What rooms to the right of `track` are handed."""

from __future__ import annotations

from typing import Protocol

from mlops_workbench.store.context import Context
from mlops_workbench.track.tracking import Tracking


class TrackedContext(Context, Protocol):
    """A project with its store and its runs."""

    @property
    def tracking(self) -> Tracking: ...
