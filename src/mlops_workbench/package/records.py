"""Images that were built, by version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from mlops_workbench.package.tables import images
from mlops_workbench.store.engine import Store

if TYPE_CHECKING:
    from mlops_workbench.package.image import Image


def keep(store: Store, model: str, version: int, image: Image) -> None:
    """Remember the image of a version; a new build takes the place of the old."""
    with store.write() as connection:
        connection.execute(delete(images).where(images.c.model == model, images.c.version == version))
        connection.execute(
            images.insert().values(
                tag=image.tag, model=model, version=version, at=store.now(), image=image.to_dict()
            )
        )


def find(store: Store, model: str | None = None) -> list[tuple[int, Mapping[str, Any]]]:
    """(version, record) of all images that were built, newest first."""
    statement = select(images.c.version, images.c.image).order_by(images.c.at.desc())
    if model is not None:
        statement = statement.where(images.c.model == model)
    return [(row["version"], dict(row["image"])) for row in store.rows(statement)]


def get(store: Store, model: str, version: int) -> Mapping[str, Any] | None:
    """The image of a version as it was recorded, or None."""
    row = store.row(select(images.c.image).where(images.c.model == model, images.c.version == version))
    return dict(row["image"]) if row else None
