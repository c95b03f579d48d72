"""`[stores]` of `mlops.toml`: URLs that move the records elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """Where records are kept; default: SQLite and files inside .mlops/."""

    tracking: Annotated[
        str,
        key("runs and models: a database of MLflow's, or its server", example="postgresql+psycopg://…"),
    ] = ""
    workbench: Annotated[str, key("ledger, gate reports, deployments, jobs, alerts")] = ""
    inference: Annotated[str, key("predictions and labels")] = ""
    artifacts: Annotated[str, key("files of runs and models: a folder's or a bucket's URL")] = ""
