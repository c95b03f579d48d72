from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data

if TYPE_CHECKING:
    from mlops_workbench.session import Session
    from mlops_workbench.track.runs import Finished


@verb(stage="track", effect="kernel", example="run --name january --data train --eval held_out")
def run(
    session: Session,
    script: Annotated[
        Any, Opt("Python file to run (a cell in a notebook has none)", metavar="SCRIPT", offer="file")
    ] = None,
    *,
    name: Annotated[str, Opt("name of the run", flags=("-n",))],
    data: Annotated[
        Sequence[Data],
        Opt(
            "DataFrame that the model is fitted on (further ones are recorded too), or a snapshot",
            flags=("-d",),
        ),
    ] = (),
    evaluate: Annotated[Data, Opt("held-out DataFrame for metrics and gate", flags=("--eval", "-e"))] = None,
    target: Annotated[
        str | None, Opt("label column (default: the one column the model does not read)")
    ] = None,
    positive: Annotated[
        str | None,
        Opt("of two classes the one that F1, precision and recall are of (default: [model], else the last)"),
    ] = None,
    params: Annotated[Sequence[str], Opt("variable to record as a parameter", offer="variable")] = (),
    metrics: Annotated[
        Sequence[str],
        Opt("variable to record as a metric: a number, or a dict of numbers", offer="variable"),
    ] = (),
) -> Finished:
    """Run a cell (or a script) as a tracked run.

    `script`: a file, or a `Cell`. Raises what the code raises.
    """
    from mlops_workbench.registry import registering
    from mlops_workbench.track import runs

    if script is None:
        raise UsageError(
            "A run needs a cell below its line, or a script.", "Put the code into the same cell."
        )
    cell = runs.script(Path(script)) if isinstance(script, str) else script
    done = runs.track(
        session,
        cell,
        runs.RunRequest(
            name=name,
            data=(data,) if isinstance(data, str) else tuple(data or ()),
            evaluate=evaluate,
            params=tuple(params),
            metrics=tuple(metrics),
            target=target,
            positive=positive,
        ),
        measure=registering.measure,
    )
    checked = {key: value for key, value in session.checked.items() if key not in done.run.tags}
    session.tracking.log(done.run.id, tags=checked)
    for model in done.models.values():
        session.models_made[id(model)] = (weakref.ref(model), done.run.id)
    return done
