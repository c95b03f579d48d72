"""Models that a script made, kept with its run: when the script has ended no variable holds them any more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import InvalidModel, NotFound, closest
from mlops_workbench.track.records import Run
from mlops_workbench.track.tracking import Tracking

FOLDER = "models"
_TAG = "kept."


def keep(tracking: Tracking, run_id: str, models: Mapping[str, Any]) -> str:
    """Each as `models/NAME.pkl`, its SHA-256 as a tag. Returns which were not kept, and why; empty if all were."""
    import cloudpickle  # type: ignore[import-untyped]

    files: dict[str, str | bytes] = {}
    lost = []
    for name, model in models.items():
        try:
            files[f"{FOLDER}/{name}.pkl"] = cloudpickle.dumps(model)
        except Exception as problem:  # each kind of model has its own way to refuse
            lost.append(
                f"'{name}' was not kept: {type(problem).__name__}: {' '.join(str(problem).split())[:200]}."
            )
    tags = {f"{_TAG}{_name(path)}": hashlib.sha256(content).hexdigest() for path, content in _bytes(files)}
    tracking.log(run_id, files=files, tags=tags)
    return " ".join(lost)


def names(run: Run) -> list[str]:
    return sorted(key.removeprefix(_TAG) for key in run.tags if key.startswith(_TAG))


def load(tracking: Tracking, run: Run, name: str) -> Any:
    """The object that the run's script had under that name. It runs code of the file, which must be the one that was
    kept. Raises `NotFound`, `InvalidModel`."""
    content = tracking.content(run.id, f"{FOLDER}/{name}.pkl") if name in names(run) else None
    if content is None:
        raise NotFound(f"The run '{run.name}' kept no model '{name}'.", closest(name, names(run)))
    if hashlib.sha256(content).hexdigest() != run.tags[f"{_TAG}{name}"]:
        raise InvalidModel(
            f"The file of '{name}' in the run '{run.name}' was changed.", "Run the script again."
        )
    import cloudpickle

    try:
        return cloudpickle.loads(content)
    except Exception as problem:
        raise InvalidModel(
            f"The model '{name}' of the run '{run.name}' cannot be loaded here: {type(problem).__name__}: {problem}.",
            "Run the script again in this environment.",
        ) from None


def _bytes(files: Mapping[str, str | bytes]) -> list[tuple[str, bytes]]:
    return [(path, content) for path, content in files.items() if isinstance(content, bytes)]


def _name(path: str) -> str:
    return path.removeprefix(f"{FOLDER}/").removesuffix(".pkl")
