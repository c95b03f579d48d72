"""Where rooms declare their tables. Times are UTC texts in ISO 8601: sortable, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import MetaData

metadata = MetaData()

PREFIX = "workbench_"
"""MLflow's tables may be in the same database, and it has jobs too."""
