from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface import jobs, parsers
from mlops_workbench.interface.spec import Opt, spec, verb
from mlops_workbench.interface.types import Detach, ModelVersion, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.notebooks.reproduction import Reproduction
    from mlops_workbench.session import Session


def _work(session: Session, job: int, *, name: str, version: int, tolerance: float) -> Reproduction:
    from mlops_workbench.jobs import queue
    from mlops_workbench.notebooks import recipe, reproduction

    stored = session.tracking.version(name, version)
    keep = session.project.folder("jobs", str(job))
    queue.set_notebook(session.store, job, keep / "reproduce.ipynb")
    made_of = recipe.recorded(session.project, session.store, session.tracking, stored)
    return reproduction.reproduce(session.project, made_of, keep, tolerance, session.progress)


@verb(stage="retrain", effect="writes", long=True, example="reproduce flights/1", work=_work)
def reproduce(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    tolerance: Annotated[
        float,
        Opt("largest difference of a number that still counts as equal", parse=parsers.share),
    ] = 1e-6,
    detach: Detach = False,
) -> Reproduction | Job:
    """Make a version again from its records, in an environment of its locked requirements, and compare its answers.

    Raises `NotFound` for a record that is not there, or a file that the code reads and no record holds; `JobFailed`.
    """
    from mlops_workbench.notebooks import recipe, reproduction

    stored = session.version(name, version)
    # reports at once what is missing
    _ = recipe.recorded(session.project, session.store, session.tracking, stored)
    options = {"name": stored.name, "version": stored.version, "tolerance": tolerance}
    job = jobs.start(session, spec(reproduce), stored.name, options)
    if detach:
        return job
    return reproduction.Reproduction.from_dict(dict(jobs.finished(session, job).result or {}))
