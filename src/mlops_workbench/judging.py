"""Asking a version on the real serving runtime: what registration and gate are handed by the workbench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.errors import InvalidModel
from mlops_workbench.manifest import Manifest
from mlops_workbench.track.tracking import Stored, Tracking

if TYPE_CHECKING:
    from mlops_workbench.registry.gate import Contestant
    from mlops_workbench.registry.versions import Served
    from mlops_workbench.serving.dataplane import Prediction


def load(folder: Path) -> Served:
    """A model folder behind the real serving runtime. Raises `InvalidModel`."""
    from mlops_workbench.serving.dataplane import DataPlane
    from mlops_workbench.serving.errors import ModelRefused

    try:
        plane = DataPlane.load(folder, name=folder.name, version="0")
    except ModelRefused as problem:
        raise InvalidModel(str(problem)) from None

    def served(rows: Sequence[Mapping[str, Any]]) -> Prediction:
        try:
            return plane.predict([plane.from_json(row) for row in rows])
        except Exception as problem:  # whatever a model raises means the same here
            sentence = " ".join(str(problem).split())[:300]
            raise InvalidModel(
                f"Loaded from its file, the model cannot answer: {type(problem).__name__}: {sentence}.",
                "A served column holds numbers, texts, booleans or times: fit the model on such columns.",
            ) from None

    return served


def contestant(tracking: Tracking, stored: Stored) -> Contestant:
    from mlops_workbench.registry.gate import Contestant

    folder = tracking.folder(stored)
    manifest = Manifest.load(folder)
    if manifest.sha256 != stored.tags.get("digest"):
        raise InvalidModel(
            f"Version {stored.version} of '{stored.name}' is not what was registered: its digest differs.",
            "Register it anew.",
        )
    return Contestant(stored.version, manifest, load(folder))
