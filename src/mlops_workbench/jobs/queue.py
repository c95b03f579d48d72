"""Jobs: long work in a process of its own that outlives the notebook, with a row whose state is always true."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_workbench.base import faults, processes, tracebacks
from mlops_workbench.base.errors import Conflict, MlopsError, NotFound
from mlops_workbench.base.processes import alive
from mlops_workbench.base.progress import Progress
from mlops_workbench.base.values import Value
from mlops_workbench.config.names import user
from mlops_workbench.config.project import Project
from mlops_workbench.store.engine import Store, StoreRow, inserted_id

ENDED = ("succeeded", "failed", "cancelled")
_JSON = ("options", "result")
HEARTBEAT_SECONDS = 2.0
GRACE_SECONDS = 5.0
SILENT_SECONDS = 120.0
LOST = "The job's process ended without a word (killed, or out of memory)."


@dataclass(frozen=True)
class Job(Value):
    """One job. `fraction` 0..1 or None; `line` is the verb as it would be typed; `result` what the verb returned."""

    id: int
    kind: str
    model: str
    who: str
    state: str
    step: str
    fraction: float | None
    created: str
    started: str | None
    ended: str | None
    error: str | None
    notebook: str | None
    log: str | None
    line: str
    result: Mapping[str, Any] | None

    @property
    def outcome(self) -> str | None:
        """What the verb's result says in one sentence, where it has one."""
        return (self.result or {}).get("outcome")

    @property
    def title(self) -> str:
        detail = self.error or self.outcome or self.step
        return f"Job {self.id} ({self.kind} {self.model}): {self.state}. {detail}".rstrip()

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [["line", self.line], ["notebook", self.notebook], ["log", self.log]]


@dataclass(frozen=True)
class JobList(Value):
    """Jobs, newest first."""

    jobs: tuple[Job, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["job", "kind", "model", "state", "created", "step", "outcome"], [
            [
                j.id,
                j.kind,
                j.model,
                j.state,
                j.created[:19].replace("T", " "),
                j.step,
                j.error or j.outcome,
            ]
            for j in self.jobs
        ]


def create(
    project: Project, store: Store, kind: str, model: str, options: Mapping[str, Any], line: str
) -> int:
    """A queued job with a folder of its own."""
    from sqlalchemy import update

    from mlops_workbench.jobs.tables import jobs

    with store.write() as connection:
        result = connection.execute(
            jobs.insert().values(
                kind=kind,
                model=model,
                who=user(),
                state="queued",
                options=dict(options),
                line=line,
                host=socket.gethostname(),
                step="waiting",
                created=store.now(),
            )
        )
        number = inserted_id(result)
        folder = project.folder("jobs", str(number))
        connection.execute(update(jobs).where(jobs.c.id == number).values(log=str(folder / "job.log")))
    return number


def spawn(project: Project, store: Store, number: int) -> None:
    """Start the job's process: a session of its own, so that it outlives this one and can be ended as a whole."""
    import psutil

    log = project.folder("jobs", str(number)) / "job.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops_workbench.jobrunner", str(project.root), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=project.root,
        )
    # Popen complains of a child that still runs when it is collected; this one is meant to.
    threading.Thread(target=process.wait, name=f"mlops-job-{number}", daemon=True).start()
    with contextlib.suppress(psutil.NoSuchProcess):
        _update(store, number, pid=process.pid, pid_started=psutil.Process(process.pid).create_time())


def _update(store: Store, number: int, **values: Any) -> bool:
    """Change a job that has not ended; whether there was one."""
    from sqlalchemy import update

    from mlops_workbench.jobs.tables import jobs

    with store.write() as connection:
        statement = update(jobs).where(jobs.c.id == number, jobs.c.state.not_in(ENDED)).values(**values)
        return bool(connection.execute(statement).rowcount)


@contextmanager
def running(store: Store, number: int) -> Iterator[Progress]:
    """The job's own process holds this while it works: state, heartbeat, and the way to report progress.

    Raises `Conflict` if the job was cancelled before it began.
    """
    pid, pid_started = processes.me()
    begun = _update(
        store,
        number,
        state="running",
        step="running",
        started=store.now(),
        heartbeat=store.now(),
        pid=pid,
        pid_started=pid_started,
    )
    if not begun:
        raise Conflict(f"Job {number} has ended already.", "Start another one.")
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            _update(store, number, heartbeat=store.now())

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()

    def progress(message: str, fraction: float | None = None) -> None:
        _update(store, number, step=message, fraction=fraction)

    try:
        yield progress
    finally:
        done.set()
        thread.join()


def end_orderly() -> None:
    """In the job's own process: being cancelled raises here, so that what was begun elsewhere is taken back."""

    def leave(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def finish(
    store: Store, number: int, *, error: str | None = None, result: Mapping[str, Any] | None = None
) -> None:
    """The verdict, once; a cancelled job stays cancelled."""
    state = "failed" if error else "succeeded"
    values: dict[str, Any] = {"state": state, "ended": store.now(), "error": error, "result": result}
    if not error:
        values |= {"fraction": 1.0, "step": "done"}
    _update(store, number, **values)


def settle(store: Store, number: int, work: Callable[[], Mapping[str, Any]]) -> bool:
    """Do the work and write the verdict; an error nobody expected is a failed job too, its traceback is in the log."""
    try:
        result = work()
    except MlopsError as problem:
        print(problem, flush=True)
        finish(store, number, error=str(problem))
        return False
    except (Exception, SystemExit) as problem:
        theirs = tracebacks.from_code(problem)
        if isinstance(problem, SystemExit) and not theirs:
            raise  # it was cancelled
        print(faults.without_secrets("".join(_lines(problem, theirs))), flush=True)
        said = faults.without_secrets(f"{type(problem).__name__}: {problem}")
        finish(store, number, error=said if theirs else f"A fault of the workbench: {said}")
        return False
    finish(store, number, result=result)
    return True


def _lines(problem: BaseException, theirs: bool) -> list[str]:
    return tracebacks.lines(problem) if theirs else traceback.format_exception(problem)


def hand_back(store: Store, number: int, model: str, version: int) -> None:
    """A version that this job has registered."""
    from mlops_workbench.jobs.tables import job_versions

    with store.write() as connection:
        connection.execute(job_versions.insert().values(job=number, model=model, version=version))


def handed_back(store: Store, number: int, model: str) -> int | None:
    """The newest version of a model that a job has registered."""
    sql = "SELECT max(version) AS version FROM workbench_job_versions WHERE job = :job AND model = :model"
    row = store.read_one(sql, {"job": number, "model": model})
    return None if row is None or row["version"] is None else int(row["version"])


def all_handed_back(store: Store, number: int) -> list[tuple[str, int]]:
    """Models and versions that a job has registered, by model."""
    sql = "SELECT model, version FROM workbench_job_versions WHERE job = :job ORDER BY model, version"
    return [(row["model"], int(row["version"])) for row in store.read(sql, {"job": number})]


def set_notebook(store: Store, number: int, path: Path) -> None:
    _update(store, number, notebook=str(path))


def relocate(store: Store, old: Path, new: Path) -> int:
    """Let jobs name their notebooks and logs in `new` instead of `old`; how many did not."""
    from sqlalchemy import func, update

    from mlops_workbench.jobs.tables import jobs

    before, changed = f"{old}/", 0
    with store.write() as connection:
        for column in (jobs.c.notebook, jobs.c.log):
            moved = update(jobs).where(func.substr(column, 1, len(before)) == before)
            rest = func.substr(column, len(before) + 1)
            changed += connection.execute(moved.values({column: f"{new}/" + rest})).rowcount
    return changed


def options(store: Store, number: int) -> tuple[str, dict[str, Any]]:
    """Kind and options of a job. Raises `NotFound`."""
    row = _row(store, number)
    return row["kind"], row["options"]


def _row(store: Store, number: int) -> StoreRow:
    row = store.read_one("SELECT * FROM workbench_jobs WHERE id = :id", {"id": number}, _JSON)
    if row is None:
        raise NotFound(f"There is no job {number}.", "List the jobs: `jobs`.")
    return row


def get(store: Store, number: int) -> Job:
    """Raises `NotFound`."""
    _reconcile(store)
    return _job(_row(store, number))


def find(store: Store, limit: int) -> tuple[Job, ...]:
    _reconcile(store)
    sql = "SELECT * FROM workbench_jobs ORDER BY id DESC LIMIT :limit"
    return tuple(_job(row) for row in store.read(sql, {"limit": limit}, _JSON))


def _job(row: StoreRow) -> Job:
    fields = (
        "id",
        "kind",
        "model",
        "who",
        "state",
        "step",
        "fraction",
        "created",
        "started",
        "ended",
        "error",
    )
    return Job(
        **{f: row[f] for f in fields},
        notebook=row["notebook"],
        log=row["log"],
        line=row["line"],
        result=row["result"],
    )


def _reconcile(store: Store) -> None:
    """A job whose process is gone did not end well: say so."""
    sql = "SELECT * FROM workbench_jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
    for row in store.read(sql, {}, _JSON):
        if _lost(store, row):
            # It may have written its verdict between our two looks; `_update` leaves ended jobs alone.
            _update(store, row["id"], state="failed", ended=store.now(), error=LOST)


def _lost(store: Store, row: StoreRow) -> bool:
    """Whether no process works on it: by its pid, or by its silence where that cannot be asked (not started
    yet, or on another machine that shares the store)."""
    here = row["host"] == socket.gethostname()
    if here and row["pid"] is not None:
        return not alive(row["pid"], row["pid_started"])
    silent = store.clock.now() - datetime.fromisoformat(row["heartbeat"] or row["created"])
    return silent.total_seconds() > SILENT_SECONDS


def cancel(store: Store, number: int) -> Job:
    """End a job and all that it started. Raises `NotFound`, or `Conflict` if it has ended or runs elsewhere."""
    row = _row(store, number)
    host = row["host"]
    if row["state"] not in ENDED and host != socket.gethostname():
        raise Conflict(f"Job {number} runs on the machine '{host}'.", "Cancel it there.")
    if not _update(store, number, state="cancelled", ended=store.now(), error=f"Cancelled by {user()}."):
        raise Conflict(
            f"Job {number} has ended already ({_row(store, number)['state']}).", "There is nothing to cancel."
        )
    row = _row(store, number)  # its process may have begun between the two
    if row["pid"] is not None and alive(row["pid"], row["pid_started"]):
        _end_group(row["pid"], row["pid_started"])
    return _job(_row(store, number))


def _end_group(pid: int, started: float) -> None:
    import psutil

    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        children = psutil.Process(pid).children(recursive=True)  # a kernel has a session of its own
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while alive(pid, started) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if alive(pid, started):
            os.killpg(pid, signal.SIGKILL)


def wait(store: Store, number: int, progress: Progress) -> Job:
    """Follow a job to its end. An interrupt cancels it."""
    try:
        shown: tuple[str, float | None] | None = None
        while (job := get(store, number)).state not in ENDED:
            if (job.step, job.fraction) != shown:
                shown = (job.step, job.fraction)
                progress(*shown)
            time.sleep(0.2)
    except KeyboardInterrupt:
        with contextlib.suppress(Conflict):  # it ended just now: then that is what there is to say
            return cancel(store, number)
        return get(store, number)
    return job
