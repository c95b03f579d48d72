"""`[model]` of `mlops.toml`: what is said of every model of the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """What is said of every model of the project."""

    positive: Annotated[
        str,
        key(
            "of two classes the one that F1, precision and recall are of; empty: the last",
            example="churned",
        ),
    ] = ""
