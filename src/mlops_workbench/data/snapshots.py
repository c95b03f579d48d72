"""Snapshots: a DataFrame kept as Parquet under its content hash. The same content is stored once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from mlops_workbench.data.frames import Fingerprint, fingerprint, nan_texts
from mlops_workbench.errors import InvalidData, NotFound
from mlops_workbench.project import Project
from mlops_workbench.store.database import Store
from mlops_workbench.store.tables import now, snapshots

if TYPE_CHECKING:
    import pandas as pd


NAN_TEXTS = "mlops.nan_texts"


def keep(project: Project, store: Store, frame: pd.DataFrame, name: str) -> Fingerprint:
    """Store the frame (without its index) if that content is not there yet. Raises `InvalidData`."""
    mark = fingerprint(frame, name)
    path = project.folder("snapshots") / f"{mark.sha256}.parquet"
    if not path.exists():
        _write(frame, path, name)
    with store.write() as connection:
        if (
            connection.execute(select(snapshots.c.sha256).where(snapshots.c.sha256 == mark.sha256)).first()
            is None
        ):
            connection.execute(
                snapshots.insert().values(
                    sha256=mark.sha256,
                    at=now(),
                    name=name,
                    rows=mark.rows,
                    columns=mark.columns,
                    bytes=path.stat().st_size,
                    path=str(path),
                )
            )
    return mark


def _write(frame: pd.DataFrame, path: Path, name: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        bare = frame.copy(deep=False)
        bare.attrs = {NAN_TEXTS: nan_texts(frame)}  # pandas keeps attributes in the file's metadata
        bare.to_parquet(draft, index=False)
        draft.replace(path)  # seen whole or not at all
    except (TypeError, ValueError, NotImplementedError) as problem:  # pyarrow's errors derive from these
        raise InvalidData(
            f"'{name}' cannot be kept as Parquet: {' '.join(str(problem).split())}.",
            "Give each column one type.",
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def find(project: Project, sha256: str) -> pd.DataFrame:
    """The rows of a snapshot. Raises `NotFound` when its file is gone."""
    import pandas as pd

    path = project.state / "snapshots" / f"{sha256}.parquet"
    if not path.is_file():
        raise NotFound(
            f"The snapshot {sha256[:12]} is not in {path.parent}.",
            "Register the model again, with the data it was fitted on.",
        )
    frame = pd.read_parquet(path)
    for name in frame.attrs.pop(NAN_TEXTS, ()):
        frame[name] = frame[name].where(frame[name].notna(), float("nan"))
    return frame
