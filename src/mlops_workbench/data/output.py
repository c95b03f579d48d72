"""Rows written to a file that a person names: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import NotFound, UsageError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def writable(path: Path) -> Path:
    """The path, if rows can be written to it: said before the work is done. Raises `UsageError`, `NotFound`."""
    if not path.name.lower().endswith(_SUFFIXES):
        raise UsageError(
            f"Rows are written as .parquet, .csv or .csv.gz. Got '{path.name}' instead.", "Name such a file."
        )
    if not path.parent.is_dir():
        raise NotFound(f"There is no folder '{path.parent}'.", "Make it first.")
    return path


def write(frame: pd.DataFrame, path: Path) -> None:
    """Without the index. Raises `InvalidData` for a column that Parquet does not keep."""
    from mlops_workbench.data import parquet

    if path.suffix.lower() == ".parquet":
        parquet.write(frame, path, path.name)
        return
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        frame.to_csv(draft, index=False, compression="gzip" if path.suffix.lower() == ".gz" else None)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
