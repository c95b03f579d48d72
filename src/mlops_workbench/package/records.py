"""Images that were built, by version."""

from __future__ import annotations

from mlops_workbench.package.image import Image
from mlops_workbench.store.engine import Store


def keep(store: Store, model: str, version: int, image: Image) -> None:
    """Remember the image of a version; a new build takes the place of the old."""
    from sqlalchemy import delete

    from mlops_workbench.package.tables import images

    with store.write() as connection:
        connection.execute(delete(images).where(images.c.model == model, images.c.version == version))
        connection.execute(
            images.insert().values(
                tag=image.tag, model=model, version=version, at=store.now(), image=image.to_dict()
            )
        )


def find(store: Store, model: str | None = None) -> list[tuple[int, Image]]:
    """(version, record) of all images that were built, newest first."""
    found = store.read("SELECT model, version, image FROM workbench_images ORDER BY at DESC", {}, ["image"])
    return [(row["version"], Image.from_dict(row["image"])) for row in found if model in (None, row["model"])]


def tags(store: Store) -> dict[tuple[str, int], str]:
    """The image of every version that has one."""
    found = store.read("SELECT model, version, tag FROM workbench_images")
    return {(row["model"], row["version"]): row["tag"] for row in found}


def get(store: Store, model: str, version: int) -> Image | None:
    """The image of a version as it was recorded, or None."""
    sql = "SELECT image FROM workbench_images WHERE model = :model AND version = :version"
    row = store.read_one(sql, {"model": model, "version": version}, ["image"])
    return Image.from_dict(row["image"]) if row else None
