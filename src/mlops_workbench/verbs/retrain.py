from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.config.names import check_name
from mlops_workbench.interface import jobs, parsers
from mlops_workbench.interface.spec import Opt, spec, verb
from mlops_workbench.interface.types import Detach, File, Model, Positive
from mlops_workbench.session import CHAMPION

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.notebooks.retraining import Retrained
    from mlops_workbench.session import Session


def _work(
    session: Session, job: int, *, name: str, notebook: str, parameters: dict[str, Any], timeout: int
) -> Retrained:
    """What the job's process does: run the notebook, judge what it registered, promote that if it passes."""
    from mlops_workbench.notebooks.retraining import NotebookJob, Retrained, execute
    from mlops_workbench.rollout import judging
    from mlops_workbench.verbs.gate import judged
    from mlops_workbench.verbs.promote import promote

    version = execute(session, job, name, NotebookJob(Path(notebook), parameters, timeout))
    session.progress(f"gate: version {version}", 0.95)
    report = judged(session, name, version)
    if not report.passed:
        return Retrained(version, False, report.id, judging.outcome(report))
    if same := _same_model(session, name, version):
        outcome = f"version {version} is the same model as the champion, version {same}: nothing to promote"
        return Retrained(version, False, report.id, outcome)
    why = f"retrained by job {job}, gate report {report.id} passed"
    entry = promote(session, name, version=version, why=why)
    before = f" instead of version {entry.old_version}" if entry.old_version else ""
    return Retrained(version, True, report.id, f"version {version} passed the gate and is champion{before}")


def _same_model(session: Session, name: str, version: int) -> int | None:
    """The champion, if it is the same fitted model as this version."""
    champion = session.tracking.alias(name, CHAMPION)
    if champion is None or champion == version:
        return None
    contents = {session.tracking.version(name, number).facts.content for number in (champion, version)}
    return champion if len(contents) == 1 and "" not in contents else None


@verb(
    stage="retrain",
    effect="writes",
    long=True,
    example="retrain flights --notebook retrain.ipynb -p month=6",
    work=_work,
)
def retrain(
    session: Session,
    name: Model,
    *,
    notebook: Annotated[File, Opt("notebook to run")],
    parameters: Annotated[
        Sequence[tuple[str, str]],
        Opt("notebook parameter", flags=("-p", "--parameter"), parse=parsers.setting, metavar="NAME=VALUE"),
    ] = (),
    timeout: Annotated[Positive, Opt("seconds that one cell may take")] = 3600,
    detach: Detach = False,
) -> Job:
    """Run a notebook as a job; what it registers goes through the gate and is promoted if it passes.

    Raises `UsageError` for parameters that the notebook does not declare, `JobFailed` when it fails.
    """
    from mlops_workbench.notebooks import engine, registered

    check_name(name, "model")
    path = engine.find_notebook(session.path(notebook))
    registered.require(path, name)
    options = {
        "name": name,
        "notebook": str(path),
        "parameters": engine.typed(path, dict(parameters)),
        "timeout": timeout,
    }
    typed = {"name": name, "notebook": notebook, "parameters": parameters, "timeout": timeout}
    job = jobs.start(session, spec(retrain), name, options, typed=typed)
    return job if detach else jobs.finished(session, job)
