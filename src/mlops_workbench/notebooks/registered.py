"""Which models does a notebook register? By its source before it runs, and by the records afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mlops_workbench.base.errors import JobFailed, UsageError, closest
from mlops_workbench.jobs import queue
from mlops_workbench.store.engine import Store

_LINE = re.compile(r"%mlops\s+register\b([^\n]*)")
_CALL = re.compile(r"\.register\(")
_NAME = re.compile(r"(?:--name|-n)[=\s]+(['\"]?)([\w-]+)\1(?=\s|$)")


def source(notebook: Path) -> str:
    """Its code, cell after cell; empty for what cannot be read as a notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def require(notebook: Path, model: str) -> None:
    """Raises `UsageError` for a notebook whose source shows that it registers other models and not this one.

    Only what is certain counts: a name in a variable, or a call in Python, may be any.
    """
    text = source(notebook)
    lines = _LINE.findall(text)
    named = [_NAME.search(line) for line in lines]
    if not lines or _CALL.search(text) or not all(named):
        return
    found = [match[2] for match in named if match]
    if model not in found:
        raise UsageError(
            f"The notebook '{notebook.name}' registers {_listed(found)}, not '{model}'.",
            closest(model, found)
            if len(found) > 1
            else f"Retrain that one: `retrain {found[0]} --notebook {notebook.name}`.",
        )


def version(store: Store, job: int, model: str) -> int:
    """The version of a model that a job has registered. Raises `JobFailed`, naming what it registered instead."""
    found = queue.handed_back(store, job, model)
    if found is not None:
        return found
    others = queue.all_handed_back(store, job)
    if not others:
        raise JobFailed(
            f"The notebook registered no version of '{model}'.",
            "Let it register one; a notebook that registers none is run by `run NOTEBOOK`.",
        )
    name, number = others[-1]
    raise JobFailed(
        f"The notebook registered {_listed([f'{n}/{v}' for n, v in others])}, and no version of '{model}'.",
        f'Keep it and judge it, `gate {name} --version {number}`, or undo it: `delete {name}/{number} --why "…"`.',
    )


def _listed(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in dict.fromkeys(names))
