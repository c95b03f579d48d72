"""Which of a project's databases is damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from mlops_workbench.base.damage import named, require_whole
from mlops_workbench.base.errors import Damaged
from mlops_workbench.config.project import Project
from mlops_workbench.store.reader import connect, sqlite_file


def look(project: Project) -> Damaged | None:
    """The first one, as a sentence; SQLite's errors do not name the file. None: all are whole, or elsewhere."""
    for url in (project.store_url, project.tracking_url, project.inference_url):
        file = sqlite_file(url)
        if file is None or not file.is_file():
            continue
        try:
            with named(file), closing(connect(file)) as connection:
                require_whole(connection, file)
        except Damaged as problem:
            return problem
        except sqlite3.Error:
            continue
    return None
