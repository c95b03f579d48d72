"""MLflow, wrapped: the only module that imports it. URIs are explicit and absolute, nothing phones home.

MLflow's own defaults cost seconds or fail (requirement inference in a subprocess, formats that refuse
ordinary models, a store that depends on the working folder); what is passed here avoids each of them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

from mlops_workbench.base.errors import Conflict, InvalidConfig, NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import ARTIFACTS, Project
from mlops_workbench.manifest import FILE_NAME
from mlops_workbench.track import queries, ranking
from mlops_workbench.track import remote_runs as elsewhere

_MOST_VERSIONS = 1000
_PAGE = 500
"""runs that one question names by their ids"""
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of a version, run or alias that is not there."""

_POINTING = threading.RLock()
"""Held while MLflow's one global tracking URI must be a certain project's: some of its calls make a client of
their own from it (making a version of a `models:/m-…` source does), whatever client they are called on."""


@dataclass(frozen=True)
class Run(Value):
    """One tracked run. Times are UTC; `tags` are the workbench's own, without their prefix."""

    id: str
    name: str
    status: str
    started: datetime
    seconds: float | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Stored:
    """A version as the registry of MLflow has it; `tags` are the workbench's own, without their prefix."""

    name: str
    version: int
    source: str
    run_id: str
    created: datetime
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


PREFIX = "mlops."


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}


def _path(location: str) -> Path | None:
    """A location on this machine; None for one elsewhere."""
    parsed = urlparse(location)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


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


class Tracking:
    """The project's experiment and registry."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._lock = threading.Lock()

    @cached_property
    def _mlflow(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small file
        import logging

        import mlflow

        for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment"):
            logging.getLogger(name).setLevel(logging.ERROR)  # migrations line by line are no news to a person
        return mlflow

    @cached_property
    def client(self) -> Any:
        url = self.project.tracking_url
        with self._lock:
            try:
                return self._mlflow.MlflowClient(tracking_uri=url, registry_uri=url)
            except self._mlflow.MlflowException as problem:
                raise InvalidConfig(
                    f"The tracking store cannot be opened: {problem}.", "Check [stores]."
                ) from None

    @cached_property
    def experiment_id(self) -> str:
        name = self.project.name
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                created: str = self.client.create_experiment(
                    name, artifact_location=self.project.artifact_root
                )
                return created
            except self._mlflow.MlflowException:  # another process made it meanwhile
                found = self.client.get_experiment_by_name(name)
        self._require_home(found.artifact_location)
        return str(found.experiment_id)

    def _require_home(self, location: str) -> None:
        """MLflow names artifacts by absolute paths: a project that was moved would write to its old place.

        Raises `Conflict`.
        """
        there = _path(location)
        here = self.project.state / ARTIFACTS
        if there is None or there.parts[-2:] != here.parts[-2:] or there.resolve() == here.resolve():
            return
        old, new = there.parents[1], self.project.root
        raise Conflict(
            f"The project was moved or copied from {old} to {new}, and its records name files by their old place.",
            "Move it back, or leave a symbolic link to the new folder at the old place.",
        )

    def _point(self) -> None:
        self._mlflow.set_tracking_uri(self.project.tracking_url)
        self._mlflow.set_registry_uri(self.project.tracking_url)

    # runs

    @contextmanager
    def start(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """An active MLflow run, so that `mlflow.log_*` inside lands in it; failed when the body raises.

        A run that the person has open becomes its parent and is active again afterwards, in the store that it is in.
        """
        mlflow = self._mlflow
        outer = mlflow.active_run()
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        self._point()
        try:
            with (
                _environment("MLFLOW_EXPERIMENT_ID", self.experiment_id),
                mlflow.start_run(
                    experiment_id=self.experiment_id,
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

    def active(self) -> str | None:
        """The run of this project that is active here: of a tracked cell or script. MLflow is not loaded for it."""
        if "mlflow" not in sys.modules:
            return None
        run = self._mlflow.active_run()
        if run is None or self._mlflow.get_tracking_uri() != self.project.tracking_url:
            return None
        return str(run.info.run_id) if run.info.experiment_id == self.experiment_id else None

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        series: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, str | bytes] | None = None,
    ) -> None:
        """Add to a run in batches. `series`: figures by step; one in `metrics` too counts as the step after the last.

        `files`: path → content, kept as artifacts.
        """
        from mlflow.entities import Metric, Param, RunTag

        at = int(datetime.now(UTC).timestamp() * 1000)
        curves = series or {}
        known = self.client.get_run(run_id).data.metrics if metrics else {}
        steps = {n: self._after(run_id, n, curves.get(n, ()), n in known) for n in metrics or {}}
        entries = {
            "metrics": [Metric(n, v, at, step) for n, points in curves.items() for step, v in points]
            + [Metric(n, float(v), at, steps[n]) for n, v in (metrics or {}).items()],
            "params": [Param(k, str(v)[:6000]) for k, v in (params or {}).items()],
            "tags": [RunTag(PREFIX + k, v[:5000]) for k, v in (tags or {}).items()],
        }
        for kind, most in (("metrics", 1000), ("params", 100), ("tags", 100)):  # MLflow's limits of one batch
            if kind == "metrics" and all(len(found) <= 100 for found in entries.values()):
                self.client.log_batch(run_id, **entries)
                break
            for start in range(0, len(entries[kind]), most):
                self.client.log_batch(run_id, **{kind: entries[kind][start : start + most]})
        if files:
            with tempfile.TemporaryDirectory() as scratch:
                for name, content in files.items():
                    path = Path(scratch) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.encode() if isinstance(content, str) else content)
                self.client.log_artifacts(run_id, scratch)

    def _after(self, run_id: str, name: str, points: Sequence[tuple[int, float]], known: bool) -> int:
        """The step at which a figure is the latest of its metric."""
        last = [step for step, _ in points]
        last += [m.step for m in self.client.get_metric_history(run_id, name)] if known else []
        return max(last) + 1 if last else 0

    def runs(
        self,
        limit: int,
        *,
        sort: str = "started",
        ascending: bool = False,
        where: str = "",
        name: str | None = None,
    ) -> tuple[Run, ...]:
        """Runs that fulfil the condition (see `queries`), sorted; those without the figure come last.

        Raises `UsageError` for a condition that cannot be read, `NotFound` for a name that no run has.
        """
        url, experiment = self.project.tracking_url, self.experiment_id
        if not elsewhere.is_server(url):
            ranking.tune(url)
        conditions = queries.parse(where) if where.strip() else ()
        if name is not None:
            conditions = (*conditions, queries.named(name))
        tests = [queries.resolve(condition, self._kind_of, PREFIX) for condition in conditions]
        kind, key = self._kind_of(sort)
        key = PREFIX + key if kind == "tag" else key
        if elsewhere.is_server(url):
            return tuple(
                map(self._run, elsewhere.chosen(self._all_runs(), tests, kind, key, ascending, limit))
            )
        order = ranking.find(url, experiment, tests, kind, key, ascending, limit)
        found: dict[str, Run] = {}
        for start in range(0, len(order), _PAGE):
            listed = ", ".join(f"'{run_id}'" for run_id in order[start : start + _PAGE])
            page = self.client.search_runs(
                [experiment], filter_string=f"attributes.run_id IN ({listed})", max_results=_PAGE
            )
            found |= {run.info.run_id: self._run(run) for run in page}
        return tuple(found[run_id] for run_id in order if run_id in found)

    def require_figure(self, name: str) -> None:
        """Raises `NotFound` when no run has a figure of that name."""
        self._kind_of(name)

    def _kind_of(self, name: str) -> tuple[queries.Kind, str]:
        """What a name stands for in this experiment. Raises `NotFound` when no run has it."""
        kind, bare = queries.split(name)
        if kind == "attribute":
            return kind, bare
        for each, prefix in (("metric", ""), ("param", ""), ("tag", PREFIX)):
            if kind in (None, each) and self._exists(each, prefix + bare):
                return cast("queries.Kind", each), bare
        seen = self.client.search_runs([self.experiment_id], max_results=50)
        known = {n for run in seen for n in (*run.data.metrics, *run.data.params)} | set(queries.ATTRIBUTES)
        raise NotFound(
            f"No run has a metric, parameter or tag '{name}'.",
            closest(name, sorted(known)) or "Run something.",
        )

    def _exists(self, kind: str, key: str) -> bool:
        url = self.project.tracking_url
        if elsewhere.is_server(url):
            return any(elsewhere.value_of(run, kind, key) is not None for run in self._all_runs())
        return ranking.exists(url, self.experiment_id, kind, key)

    def _all_runs(self) -> list[Any]:
        """Every run, newest first, page by page."""
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                order_by=["attributes.start_time DESC"],
                max_results=1000,
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found

    def run(self, name_or_id: str) -> Run:
        """The run of that id, or the newest of that name. Raises `NotFound`."""
        if len(name_or_id) == 32:
            try:
                return self._run(self.client.get_run(name_or_id))
            except self._mlflow.MlflowException:
                pass  # a name may be as long as an id
        if not {"'", '"'} & set(name_or_id):  # MLflow's filter language has no escape for quotes
            found = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"attributes.run_name = '{name_or_id}'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
            if found:
                return self._run(found[0])
        known = [run.name for run in self.runs(50)]
        raise NotFound(f"There is no run '{name_or_id}'.", closest(name_or_id, known))

    def text(self, run_id: str, file: str) -> str:
        """A text artifact of a run; empty if it has none of that name."""
        content = self.content(run_id, file)
        return "" if content is None else content.decode("utf-8", "replace")

    def content(self, run_id: str, file: str) -> bytes | None:
        """An artifact of a run; None if it has none of that name."""
        folder = _path(self.client.get_run(run_id).info.artifact_uri)
        if folder is not None:
            return (folder / file).read_bytes() if (folder / file).is_file() else None
        parent = str(Path(file).parent)
        listed = self.client.list_artifacts(run_id, None if parent == "." else parent)
        if file not in {a.path for a in listed}:
            return None
        with tempfile.TemporaryDirectory() as scratch:
            return Path(self.client.download_artifacts(run_id, file, scratch)).read_bytes()

    def files(self, run_id: str) -> tuple[str, ...]:
        """Paths of all files that a run kept, sorted."""

        def below(path: str | None) -> Iterator[str]:
            for found in self.client.list_artifacts(run_id, path):
                yield from below(found.path) if found.is_dir else (found.path,)

        return tuple(sorted(below(None)))

    def _run(self, run: Any) -> Run:
        info = run.info
        return Run(
            id=info.run_id,
            name=info.run_name,
            status=info.status.lower(),
            started=_moment(info.start_time),
            seconds=None if info.end_time is None else (info.end_time - info.start_time) / 1000,
            metrics=dict(run.data.metrics),
            params=dict(run.data.params),
            tags=_own(run.data.tags),
        )

    # models

    def log_model(
        self,
        model: Any,
        *,
        name: str,
        run_id: str | None,
        signature_rows: Any,
        answers: Any,
        requirements: Sequence[str],
        serialization: str,
        trusted: Sequence[str],
        write_manifest: Callable[[Path], None],
    ) -> str:
        """Keep a fitted scikit-learn model as an MLflow model with our manifest beside it; returns `models:/m-…`."""
        import mlflow.sklearn
        from mlflow.models import Model, infer_signature

        def save(folder: Path, model_id: str) -> None:
            mlflow.sklearn.save_model(
                model,
                folder,
                mlflow_model=Model(model_id=model_id, run_id=run_id),
                signature=infer_signature(signature_rows, answers),
                pip_requirements=list(requirements),
                serialization_format=serialization,
                **({"skops_trusted_types": list(trusted)} if serialization == "skops" else {}),
            )
            write_manifest(folder)

        return self.keep_model(name, run_id, save)

    def keep_model(self, name: str, run_id: str | None, save: Callable[[Path, str], None]) -> str:
        """Keep what `save(folder, model_id)` writes as a logged model; returns `models:/m-…`.

        The folder is complete before it is logged, and the model is marked ready only then.
        """
        from mlflow.entities import LoggedModelOutput

        logged = self.client.create_logged_model(self.experiment_id, name=name, source_run_id=run_id)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / "model"
                save(folder, logged.model_id)
                self.client.log_model_artifacts(logged.model_id, str(folder))
            self.client.finalize_logged_model(logged.model_id, "READY")
        except BaseException:
            self.client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        if run_id:
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return f"models:/{logged.model_id}"

    def made_by(self, uri: str) -> str | None:
        """The run that logged the model of a `runs:/…` or `models:/…` address. Raises `NotFound`."""
        kind, _, rest = uri.partition(":/")
        head, _, tail = rest.partition("/")
        try:
            if kind == "runs":
                return str(self.client.get_run(head).info.run_id)
            if tail or "@" in head:
                name, _, alias = rest.partition("@") if "@" in rest else (head, "", "")
                found = (
                    self.client.get_model_version_by_alias(name, alias)
                    if alias
                    else self.client.get_model_version(name, tail)
                )
                return found.run_id or None
            return self.client.get_logged_model(head).source_run_id or None
        except self._mlflow.MlflowException as problem:
            raise NotFound(f"There is no model '{uri}': {problem.message}.", "Check the address.") from None

    def fetch(self, uri: str, scratch: Path) -> Path:
        """The files of a logged model, below `scratch`. Raises `NotFound`."""
        with _POINTING:
            self._point()
            try:
                found = self._mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=str(scratch), tracking_uri=self.project.tracking_url
                )
            except (self._mlflow.MlflowException, OSError) as problem:
                raise NotFound(
                    f"There is no model '{uri}': {' '.join(str(problem).split())[:200]}.",
                    "Check the address.",
                ) from None
        return Path(found)

    def create_version(self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]) -> Stored:
        mlflow = self._mlflow
        try:
            self.client.create_registered_model(name)
        except mlflow.MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        with _POINTING:
            self._point()
            for attempt in self._patient():
                with attempt:
                    made = self.client.create_model_version(
                        name,
                        source,
                        run_id=run_id,
                        tags={PREFIX + k: v for k, v in tags.items()},
                        # a tracking server asks for it
                        model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
                    )
            return self._stored(made)

    def _patient(self) -> Any:
        """Attempts at a write that many processes make at once: MLflow itself gives up after three collisions."""
        import tenacity

        busy = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda e: isinstance(e, self._mlflow.MlflowException) and e.error_code in busy
            ),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            stop=tenacity.stop_after_attempt(8),
            reraise=True,
        )

    def model_names(self) -> list[str]:
        return sorted(m.name for m in self.client.search_registered_models(max_results=_MOST_VERSIONS))

    def versions(self, name: str | None = None) -> tuple[Stored, ...]:
        """Versions, newest first. Raises `NotFound` when `name` is given and is not registered."""
        if name is not None:
            self.require_model(name)
        aliases: dict[tuple[str, int], list[str]] = {}
        for model in self.client.search_registered_models(max_results=_MOST_VERSIONS):
            for alias, version in (model.aliases or {}).items():
                aliases.setdefault((model.name, int(version)), []).append(alias)
        where = "" if name is None else f"name = '{name}'"
        found = self.client.search_model_versions(where, max_results=_MOST_VERSIONS)
        stored = [self._stored(v, aliases.get((v.name, int(v.version)), [])) for v in found]
        return tuple(sorted(stored, key=lambda v: (v.name, -v.version)))

    def require_model(self, name: str) -> None:
        """Raises `NotFound` if nothing is registered under that name."""
        known = self.model_names()
        if name not in known:
            raise NotFound(f"There is no model '{name}'.", closest(name, known) or "Register one first.")

    def version(self, name: str, number: int) -> Stored:
        """Raises `NotFound` naming the versions there are."""
        self.require_model(name)
        try:
            found = self.client.get_model_version(name, str(number))
        except self._mlflow.MlflowException as problem:
            if problem.error_code not in _ABSENT:
                raise
            known = [str(v.version) for v in self.versions(name)]
            raise NotFound(
                f"The model '{name}' has no version {number}.", closest(str(number), known)
            ) from None
        return self._stored(found)

    def _stored(self, version: Any, aliases: Sequence[str] | None = None) -> Stored:
        return Stored(
            name=version.name,
            version=int(version.version),
            source=version.source,
            run_id=version.run_id or "",
            created=_moment(version.creation_timestamp),
            aliases=tuple(sorted(version.aliases if aliases is None else aliases)),
            tags=_own(version.tags),
        )

    def tag_version(self, name: str, number: int, key: str, value: str) -> None:
        self.client.set_model_version_tag(name, str(number), PREFIX + key, value)

    def alias(self, name: str, alias: str) -> int | None:
        """The version an alias points at, or None."""
        try:
            return int(self.client.get_model_version_by_alias(name, alias).version)
        except self._mlflow.MlflowException as problem:
            if problem.error_code in _ABSENT:
                return None
            raise  # a store that does not answer is no missing alias

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.client.set_registered_model_alias(name, alias, str(version))

    def remove_alias(self, name: str, alias: str) -> None:
        self.client.delete_registered_model_alias(name, alias)

    def aliases(self, name: str) -> dict[str, int]:
        """Every alias of a model and the version it points at; empty for a model that is not there."""
        try:
            found = self.client.get_registered_model(name).aliases or {}
        except self._mlflow.MlflowException as problem:
            if problem.error_code in _ABSENT:
                return {}
            raise
        return {alias: int(number) for alias, number in found.items()}

    def version_numbers(self, name: str) -> set[int]:
        found = self.client.search_model_versions(f"name = '{name}'", max_results=_MOST_VERSIONS)
        return {int(version.version) for version in found}

    def version_from(self, name: str, source: str) -> int | None:
        """The version that was made of this source, or None."""
        found = self.client.search_model_versions(f"name = '{name}'", max_results=_MOST_VERSIONS)
        return next((int(v.version) for v in found if v.source == source), None)

    def has_version(self, name: str, number: int) -> bool:
        return number in self.version_numbers(name)

    def delete_version(self, name: str, number: int) -> None:
        """The files stay: `mlflow gc` removes them."""
        self.client.delete_model_version(name, str(number))

    def note_ledger(self, number: int, digest: str) -> None:
        """Remember the newest ledger entry here too. Not worth failing for what is written already."""
        with contextlib.suppress(self._mlflow.MlflowException):
            self.client.set_experiment_tag(self.experiment_id, PREFIX + "ledger", f"{number}:{digest}")

    def noted_ledger(self) -> tuple[int, str] | None:
        tags = self.client.get_experiment(self.experiment_id).tags
        number, _, digest = tags.get(PREFIX + "ledger", "").partition(":")
        return (int(number), digest) if number.isdigit() else None

    def folder(self, stored: Stored) -> Path:
        """The version's model folder on this machine; fetched once when artifacts live elsewhere.

        Raises `NotFound` when the artifacts or our manifest are gone.
        """
        kind, _, model_id = stored.source.partition("models:/")
        if kind or not model_id.startswith("m-"):
            raise NotFound(
                f"Version {stored.version} of '{stored.name}' was not registered by the workbench "
                f"(it comes from {stored.source}).",
                "Register the model with the workbench.",
            )
        location = self.client.get_logged_model(model_id).artifact_location
        path = _path(location)
        if path is None:
            path = self.project.folder("cache", "models") / model_id
            if not (path / FILE_NAME).is_file():
                with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                    self._mlflow.artifacts.download_artifacts(
                        artifact_uri=location, dst_path=scratch, tracking_uri=self.project.tracking_url
                    )
                    holder = next(p.parent for p in Path(scratch).rglob(FILE_NAME))
                    holder.rename(path)
        if not (path / FILE_NAME).is_file():
            _ = self.experiment_id  # says so when the project was moved
            raise NotFound(
                f"Version {stored.version} of '{stored.name}' has no {FILE_NAME} in {path}.",
                "Register it anew.",
            )
        return path
