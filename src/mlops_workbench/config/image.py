"""`[image]` of `mlops.toml`: how serving images are built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key

DEFAULT_BASE = "python:3.11-slim"


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """How serving images are built."""

    base: Annotated[str, key("base image", example=DEFAULT_BASE)] = DEFAULT_BASE
