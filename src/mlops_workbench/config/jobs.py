"""`[jobs]` of `mlops.toml`: where jobs run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class JobsPolicy:
    """Where jobs run."""

    engine: Annotated[
        str,
        key(
            '"local": a process of this machine for each; or the name of an installed plugin', example="local"
        ),
    ] = "local"
