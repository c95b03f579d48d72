"""`[approval]` of `mlops.toml`: whose approval a version needs, besides a green gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Whose approval a version needs, besides a green gate, before it may become champion."""

    required: Annotated[
        int, key("people who must approve a version, besides a green gate", written=True, ge=0)
    ] = 0
    second_person: Annotated[bool, key("the one who registered it does not count", example=True)] = True
    expires_days: Annotated[int, key("an older approval does not count any more", example=14, ge=1)] = 14
