"""What is written to the tracking store: runs, models, versions, aliases. All of it through MLflow.

MLflow's own defaults cost seconds or fail (requirement inference in a subprocess, formats that refuse
ordinary models, a store that depends on the working folder); what is passed here avoids each of them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import NotFound
from mlops_workbench.store.reader import connect, sqlite_file
from mlops_workbench.track.client import Client, registered
from mlops_workbench.track.modules import Needed, shipped
from mlops_workbench.track.records import PREFIX, RegisteredVersion

ENOUGH_RUNS = 200
"""from which on the planner's statistics matter"""

_POINTING = threading.RLock()
"""Held while MLflow's one global tracking URI must be a certain project's: some of its calls make a client of
their own from it (making a version of a `models:/m-…` source does), whatever client they are called on."""


@contextmanager
def start_run(client: Client, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """An active MLflow run, so that `mlflow.log_*` inside lands in it; failed when the body raises.

    A run that the person has open becomes its parent and is active again afterwards, in the store that it is in.
    """
    mlflow = client.mlflow
    outer = mlflow.active_run()
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    client.point()
    try:
        with (
            _environment("MLFLOW_EXPERIMENT_ID", experiment),
            mlflow.start_run(
                experiment_id=experiment,
                run_name=name,
                nested=outer is not None,
                tags={PREFIX + key: value for key, value in tags.items()},
            ) as run,
        ):
            yield str(run.info.run_id)
    finally:
        if outer is not None:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
        if (file := sqlite_file(client.project.tracking_url)) is not None:
            update_statistics(file)


def update_statistics(file: Path) -> None:
    """Let SQLite count its tables when there are twice as many runs as when it last did.

    Without its counts MLflow's own search by a metric, which its UI uses, takes seconds among 10,000 runs.
    """
    with contextlib.suppress(sqlite3.OperationalError), closing(connect(file)) as connection:
        (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        if runs < ENOUGH_RUNS:
            return
        counted = None
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
            statement = "SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = 'runs'"
            (counted,) = connection.execute(statement).fetchone()
        if runs >= 2 * (counted or 0):
            connection.execute("PRAGMA busy_timeout = 0")  # if somebody is writing, the next run does it
            connection.execute("ANALYZE")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Where MLflow looks for the experiment of runs that a cell starts inside its own, unless one was chosen."""
    if name in os.environ or "MLFLOW_EXPERIMENT_NAME" in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


def log(
    client: Client,
    run_id: str,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    series: Mapping[str, Sequence[tuple[int, float]]],
    tags: Mapping[str, str],
    files: Mapping[str, str | bytes],
) -> None:
    """See `Tracking.log`."""
    from mlflow.entities import Metric, Param, RunTag

    at = int(SYSTEM.now().timestamp() * 1000)
    known = client.raw.get_run(run_id).data.metrics if metrics else {}
    steps = {n: _after(client, run_id, n, series.get(n, ()), n in known) for n in metrics}
    entries = {
        "metrics": [Metric(n, v, at, step) for n, points in series.items() for step, v in points]
        + [Metric(n, float(v), at, steps[n]) for n, v in metrics.items()],
        "params": [Param(k, str(v)[:6000]) for k, v in params.items()],
        "tags": [RunTag(PREFIX + k, v[:5000]) for k, v in tags.items()],
    }
    for kind, most in (("metrics", 1000), ("params", 100), ("tags", 100)):  # MLflow's limits of one batch
        if kind == "metrics" and all(len(found) <= 100 for found in entries.values()):
            client.raw.log_batch(run_id, **entries)
            break
        for start in range(0, len(entries[kind]), most):
            client.raw.log_batch(run_id, **{kind: entries[kind][start : start + most]})
    if files:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(
                    content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
                )
            client.raw.log_artifacts(run_id, scratch)


def _after(client: Client, run_id: str, name: str, points: Sequence[tuple[int, float]], known: bool) -> int:
    """The step at which a value is the latest of its metric."""
    last = [step for step, _ in points]
    last += [m.step for m in client.raw.get_metric_history(run_id, name)] if known else []
    return max(last) + 1 if last else 0


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """How a scikit-learn model is written: `skops` or `cloudpickle`, with what it needs to be read again."""

    serialization: str
    requirements: tuple[str, ...]
    trusted: tuple[str, ...]
    """type names that skops may load"""
    needs: Needed
    """modules; local ones are written down with the model"""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """for the manifest: how it was written"""


def save_sklearn(
    model: Any,
    form: ModelFormat,
    *,
    run_id: str | None,
    signature_rows: Any,
    answers: Any,
    write_manifest: Callable[[Path], None],
) -> Callable[[Path, str], None]:
    """What `keep_model` calls to write a scikit-learn model, with our manifest beside it."""

    def save(folder: Path, model_id: str) -> None:
        import mlflow.sklearn
        from mlflow.models import Model, infer_signature

        with shipped(form.needs, type(model).__name__) if form.serialization != "skops" else nullcontext():
            mlflow.sklearn.save_model(
                model,
                folder,
                mlflow_model=Model(model_id=model_id, run_id=run_id),
                signature=infer_signature(signature_rows, answers),
                pip_requirements=list(form.requirements),
                serialization_format=form.serialization,
                **({"skops_trusted_types": list(form.trusted)} if form.serialization == "skops" else {}),
            )
        write_manifest(folder)

    return save


def keep_model(
    client: Client, experiment: str, name: str, run_id: str | None, save: Callable[[Path, str], None]
) -> str:
    """See `Tracking.keep_model`."""
    from mlflow.entities import LoggedModelOutput

    logged = client.raw.create_logged_model(experiment, name=name, source_run_id=run_id)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save(folder, logged.model_id)
            client.raw.log_model_artifacts(logged.model_id, str(folder))
        client.raw.finalize_logged_model(logged.model_id, "READY")
    except BaseException:
        client.raw.finalize_logged_model(logged.model_id, "FAILED")
        raise
    if run_id:
        client.raw.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return f"models:/{logged.model_id}"


def made_by(client: Client, uri: str) -> str | None:
    """The run that logged the model of a `runs:/…` or `models:/…` address. Raises `NotFound`."""
    kind, _, rest = uri.partition(":/")
    head, _, tail = rest.partition("/")
    try:
        if kind == "runs":
            return str(client.raw.get_run(head).info.run_id)
        if tail or "@" in head:
            name, _, alias = rest.partition("@") if "@" in rest else (head, "", "")
            found = (
                client.raw.get_model_version_by_alias(name, alias)
                if alias
                else client.raw.get_model_version(name, tail)
            )
            return found.run_id or None
        return client.raw.get_logged_model(head).source_run_id or None
    except client.mlflow.MlflowException as problem:
        raise NotFound(f"There is no model '{uri}': {problem.message}.", "Check the address.") from None


def fetch(client: Client, uri: str, scratch: Path) -> Path:
    """The files of a logged model, below `scratch`. Raises `NotFound`."""
    with _POINTING:
        client.point()
        try:
            return client.download(uri, scratch)
        except (client.mlflow.MlflowException, OSError) as problem:
            raise NotFound(
                f"There is no model '{uri}': {' '.join(str(problem).split())[:200]}.",
                "Check the address.",
            ) from None


def create_version(
    client: Client, name: str, source: str, run_id: str | None, tags: Mapping[str, str]
) -> RegisteredVersion:
    mlflow = client.mlflow
    try:
        client.raw.create_registered_model(name)
    except mlflow.MlflowException as problem:
        if problem.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    with _POINTING:
        client.point()
        for attempt in _patient(mlflow):
            with attempt:
                made = client.raw.create_model_version(
                    name,
                    source,
                    run_id=run_id,
                    tags={PREFIX + k: v for k, v in tags.items()},
                    # a tracking server asks for it
                    model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
                )
        return registered(made, made.aliases)


def _patient(mlflow: Any) -> Any:
    """Attempts at a write that many processes make at once: MLflow itself gives up after three collisions."""
    import tenacity

    busy = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda e: isinstance(e, mlflow.MlflowException) and e.error_code in busy
        ),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        stop=tenacity.stop_after_attempt(8),
        reraise=True,
    )


def tag_experiment(client: Client, experiment: str, key: str, value: str) -> None:
    """Not worth failing for when what it says is written elsewhere."""
    with contextlib.suppress(client.mlflow.MlflowException):
        client.raw.set_experiment_tag(experiment, PREFIX + key, value)
