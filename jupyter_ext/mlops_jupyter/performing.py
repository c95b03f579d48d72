"""One verb on one project: opened, called, its result as JSON. In a thread of the server, or beside it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from mlops_jupyter.request import VerbCall, call, require_below
from mlops_workbench.base.errors import MlopsError
from mlops_workbench.interface.payloads import changes
from mlops_workbench.workbench import Workbench, verbs

COMPUTES = ("drift", "quality")
"""reading verbs that do more than read records"""


def is_light(name: str, raw: dict[str, Any]) -> bool:
    """Whether a verb only looks at records, which takes the server milliseconds; also of one that will be refused."""
    verb = verbs().get(name)
    return verb is None or (name not in COMPUTES and not changes(verb, raw))


def opened(open_workbench: Callable[[Path], Any], root: Path, folder: Path, *, new: bool = False) -> Any:
    """The workbench of the project in `folder`, to be closed; `new`: there need not be one yet. Raises `NotFound` for a
    project above the root."""
    if not new:
        require_below(root, folder)
    return closing(open_workbench(folder))


def workbench(folder: Path) -> object:
    return Workbench(folder)


def import_ahead() -> None:
    """What a first request would import, and hold the event loop up with: in a thread, while the server starts and
    nobody waits for it yet. There is no project where it looks."""
    with suppress(MlopsError), closing(Workbench(Path(os.devnull))) as bench:
        bench.status()


def perform(
    open_workbench: Callable[[Path], Any],
    name: str,
    raw: dict[str, Any],
    folder: Path,
    root: Path,
    *,
    reading: bool,
    html: bool,
) -> dict[str, Any]:
    """Check, call, make JSON."""
    asked = call(name, raw, folder, root, reading=reading)
    # Opened for each request (milliseconds), so that an edited mlops.toml counts at once and no
    # connection stays open for a project that nobody looks at any more.
    with opened(open_workbench, root, asked.folder, new=name == "init") as bench:
        value = _carry_out(bench, asked)
        answer: dict[str, Any] = value.to_dict() | ({"html": value._repr_html_()} if html else {})
        return answer


def perform_in_words(request: dict[str, Any]) -> dict[str, Any]:
    """For the other side of a pipe: `value`, or `refused` with its `status`."""
    folder, root = Path(request.pop("folder")), Path(request.pop("root"))
    try:
        return {"value": perform(workbench, folder=folder, root=root, **request)}
    except MlopsError as error:
        return {"refused": error.to_dict(), "status": error.status}
    except Exception as error:  # as a handler answers it
        traceback.print_exc()
        said = {"error": "InternalError", "message": f"{type(error).__name__}: {error}"}
        return {"refused": said | {"next_step": "The server's log has the details."}, "status": 500}


def _carry_out(bench: Any, asked: VerbCall) -> Any:
    """What has work for a job becomes one and returns at once; the others run here."""
    if asked.verb.work is not None:
        return getattr(bench, asked.verb.name)(**asked.options | {"detach": True})
    return getattr(bench, asked.verb.name)(**asked.options)
