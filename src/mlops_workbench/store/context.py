"""What rooms are handed instead of five parameters each: the part of a `Session` that they may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mlops_workbench.base.progress import Progress
from mlops_workbench.config.project import Project
from mlops_workbench.store.engine import Store


class Context(Protocol):
    """A project with its store, where names are looked up, and who hears of progress."""

    @property
    def project(self) -> Project: ...

    @property
    def store(self) -> Store: ...

    @property
    def namespace(self) -> Mapping[str, Any]:
        """Variables of a notebook or script: where names such as DataFrames and models are looked up."""
        ...

    @property
    def progress(self) -> Progress: ...
