"""Long verbs as jobs: started by the caller of the verb, carried out by a process of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import JobFailed
from mlops_workbench.interface.spec import Verb
from mlops_workbench.interface.words import line

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.session import Session


def start(
    session: Session,
    verb: Verb,
    model: str,
    options: Mapping[str, Any],
    *,
    typed: Mapping[str, Any] | None = None,
) -> Job:
    """A job of its own process; returns at once. `options`: of the verb's work; `typed`: as a person typed them."""
    from mlops_workbench import plugins
    from mlops_workbench.jobs import queue

    engine: plugins.JobEngine = plugins.load("engines", session.project.policy.jobs.engine)
    words = line(verb, options if typed is None else typed)
    number = queue.create(session.project, session.store, verb.name, model, options, words)
    engine.start(session, number)
    return queue.get(session.store, number)


def finished(session: Session, job: Job) -> Job:
    """Waits for its end. Raises `JobFailed`."""
    from mlops_workbench.jobs import queue

    job = queue.wait(session.store, job.id, session.progress)
    if job.state != "succeeded":
        raise JobFailed(f"Job {job.id} {job.state}: {job.error}", f"See {job.notebook or job.log}.")
    return job


def perform(session: Session, verbs: Mapping[str, Verb], number: int) -> bool:
    """What a job's process does; whether it went well. The verdict is in the job's row."""
    from mlops_workbench.jobs import queue

    kind, options = queue.options(session.store, number)
    work = verbs[kind].work
    assert work is not None, f"the verb '{kind}' runs as a job"
    with queue.running(session.store, number) as progress:
        session.progress = progress
        return queue.settle(session.store, number, lambda: work(session, number, **options).to_dict())
