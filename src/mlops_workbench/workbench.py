"""The table of contents: one short method a verb. The one place where the stages are put together.

Every face (magic, command line, REST, sidebar, job) calls these methods with the options of `parser.VERBS`.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench import judging
from mlops_workbench import project as projects
from mlops_workbench.errors import (
    Conflict,
    ContractViolation,
    GateFailed,
    InvalidData,
    MlopsError,
    NotFound,
    UsageError,
    closest,
)
from mlops_workbench.manifest import Manifest
from mlops_workbench.opening import Opening
from mlops_workbench.parser import VERBS, line
from mlops_workbench.progress import Progress, silent
from mlops_workbench.project import Project
from mlops_workbench.track.runlist import RunList
from mlops_workbench.track.runs import Cell, Finished
from mlops_workbench.track.tracking import Stored

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.data.contracts import ContractReport
    from mlops_workbench.data.snapshots import Snapshot, SnapshotList
    from mlops_workbench.monitor.drift import DriftReport
    from mlops_workbench.monitor.inference import LabelReceipt
    from mlops_workbench.overview import Doctor, Status
    from mlops_workbench.package.build import Image
    from mlops_workbench.registry.gate import GateReport
    from mlops_workbench.registry.ledger import Entry, History
    from mlops_workbench.registry.lineage import Lineage
    from mlops_workbench.registry.versions import ModelList, Version
    from mlops_workbench.retrain.jobs import Job, JobList
    from mlops_workbench.rollout.records import DeploymentList, Live
    from mlops_workbench.rollout.requests import Predictions
    from mlops_workbench.track.compare import Comparison

CHAMPION = "champion"


class Workbench(Opening):
    """One project's verbs.

    `folder`: where to look for `mlops.toml`, upwards (default: the working folder).
    `namespace`: where names such as DataFrames and models are looked up: a notebook's variables.
    `progress`: is told what long work does.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        namespace: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        super().__init__(folder, namespace=namespace, progress=progress)
        self._made: dict[int, tuple[weakref.ref[Any], str]] = {}

    # project

    def init(self, name: str) -> Project:
        """Make the folder a project; the one that is there stays as it is. Raises `Conflict`, `UsageError`."""
        made = projects.init(self.folder, name)
        self.close()
        self._seen = made
        self.progress("opening the stores")
        _ = self._store.engine, self._tracking.experiment_id
        return made

    def status(self) -> Status:
        """Champions, what serves, running jobs, and what needs a look."""
        from mlops_workbench import overview
        from mlops_workbench.registry import ledger, promotion
        from mlops_workbench.retrain import jobs
        from mlops_workbench.rollout import records

        for name in self._tracking.model_names():
            promotion.reconcile(self._store, self._tracking, name)
        return overview.status(
            self.project,
            self._tracking.versions(),
            records.current(self._store),
            jobs.find(self._store, 50),
            ledger.entries(self._store),
            ledger.broken(self._store),
        )

    def doctor(self) -> Doctor:
        """Check stores, Docker and packages, with the next step for each that is amiss."""
        from mlops_workbench import overview

        return overview.doctor(self._home)

    # data

    def validate(self, data: Any, *, contract: str, infer: bool = False) -> ContractReport:
        """Check data against its contract; infer the contract when there is none. Raises `ContractViolation`."""
        from mlops_workbench.data import contracts, validations

        projects.check_name(contract, "contract")
        path = contracts.path_of(self.project.root, contract)
        frame, name = self._frame(data)
        report = contracts.validate(frame, name, contract, path, infer=infer)
        validations.keep(self._store, report)
        if not report.passed:
            first = report.errors[0]
            raise ContractViolation(
                f"'{name}' breaks the contract '{contract}': column '{first.column}': {first.check} "
                f"({first.count:,} rows); {len(report.errors)} errors in all.",
                f"Mend the data, or edit {path.relative_to(self.project.root)}.",
                report,
            )
        return report

    def snapshot(self, data: Any = None, *, name: str | None = None) -> Snapshot | SnapshotList:
        """Keep rows under a name; without one, give back the snapshot that is named; without data, list them."""
        from mlops_workbench.data import snapshots

        if data is None:
            return snapshots.listed(self.project, self._store, name)
        if isinstance(data, str) and name is None and data not in self.namespace:
            found = snapshots.refer(self.project, self._store, data)
            if found is not None:
                return found
        if name is None:
            name = snapshots.name_of(data)
        return snapshots.name_it(self.project, self._store, data, self.namespace, name)

    # track

    def run(
        self,
        script: str | Cell | None = None,
        *,
        name: str,
        data: str | Sequence[str] = (),
        evaluate: str | None = None,
        target: str | None = None,
        params: Sequence[str] = (),
        metrics: Sequence[str] = (),
    ) -> Finished:
        """Run a script (or a notebook's cell) as a tracked run. Raises what the code raises."""
        from mlops_workbench.registry import registering
        from mlops_workbench.track import runs

        if script is None:
            raise UsageError(
                "A run needs a cell below its line, or a script.", "Put the code into the same cell."
            )
        cell = runs.script(Path(script)) if isinstance(script, str) else script
        done = runs.track(
            self.project,
            self._store,
            self._tracking,
            cell,
            name=name,
            data=(data,) if isinstance(data, str) else data or (),
            evaluate=evaluate,
            params=params,
            named=metrics,
            measure=registering.measure,
            target=target,
            progress=self.progress,
        )
        for model in done.models.values():
            self._made[id(model)] = (weakref.ref(model), done.run.id)
        return done

    def runs(
        self,
        *,
        limit: int = 20,
        sort: str = "started",
        ascending: bool = False,
        where: str | None = None,
        name: str | None = None,
        plot: Sequence[str] = (),
    ) -> RunList:
        """Tracked runs, sorted and filtered. Raises `UsageError`, `NotFound` for a name that no run has."""
        found = self._tracking.runs(limit, sort=sort, ascending=ascending, where=where or "", name=name)
        for wanted in plot:
            self._tracking.require_figure(wanted)
        return RunList(found, sort, tuple(plot))

    def compare(self, first: str, second: str) -> Comparison:
        """In what two runs differ: metrics, parameters, data, seeds, code, notebook and environment."""
        from mlops_workbench.track import compare

        return compare.compare(self._tracking, self._tracking.run(first), self._tracking.run(second))

    # registry

    def register(
        self,
        model: Any,
        *,
        name: str,
        run: str | None = None,
        data: Any = None,
        evaluate: Any = None,
        target: str | None = None,
        format: str = "skops",
    ) -> Version:
        """Keep a fitted model as a new version, after the serving runtime answered as the notebook does."""
        from mlops_workbench.registry import registering

        projects.check_name(name, "model")
        self.progress("looking at the model")
        fitted, label = registering.resolve_model(model, self.namespace)
        made_by = self._tracking.run(run).id if run else self._run_of(fitted)
        stored = registering.register(
            self.project,
            self._store,
            self._tracking,
            fitted,
            label,
            name=name,
            run=self._tracking.run(made_by) if made_by else None,
            data=data,
            evaluate=evaluate,
            target=target,
            serialization=format,
            namespace=self.namespace,
            load=judging.load,
        )
        return self._version(stored)

    def _run_of(self, model: Any) -> str | None:
        """The run whose cell made this very object, if it was made here."""
        known = self._made.get(id(model))
        return known[1] if known and known[0]() is model else None

    def models(self, *, name: str | None = None) -> ModelList:
        """Registered models and their versions, newest first."""
        from mlops_workbench.registry.versions import ModelList

        return ModelList(tuple(self._version(stored) for stored in self._tracking.versions(name)))

    def gate(self, name: str, *, version: int, data: Any = None) -> GateReport:
        """Judge a version, keep the report, and raise `GateFailed` (with the report) when it is not a pass."""
        report = self._judge(name, version, data)
        if not report.passed:
            first = report.failures[0]
            found = (
                f"{first.figure}, limit {first.limit}"
                if first.passed is False
                else first.detail or "no evidence"
            )
            raise GateFailed(
                f"Version {version} of '{name}' did not pass the gate: {first.name}: {found}.",
                "Train a better version, or change [gate] in mlops.toml.",
                report,
            )
        return report

    def _judge(self, name: str, version: int, data: Any = None) -> GateReport:
        from mlops_workbench.registry import gate, registering

        stored = self._tracking.version(name, version)
        self.progress("loading the version")
        candidate = judging.contestant(self._tracking, stored)
        number = self._tracking.alias(name, CHAMPION)
        champion = (
            judging.contestant(self._tracking, self._tracking.version(name, number)) if number else None
        )
        if data is not None:
            rows: pd.DataFrame | None = self._frame(data)[0]
        else:
            rows = registering.held_out(self.project, stored)
        self.progress("asking it for the held-out rows")
        report = gate.judge(name, candidate, champion, rows, self.project.policy.gate)
        report = gate.keep(self._store, report)
        self._tracking.tag_version(name, version, "gate", "passed" if report.passed else "failed")
        if report.metrics:
            self._tracking.tag_version(name, version, "metrics", json.dumps(dict(report.metrics)))
        return report

    def promote(self, name: str, *, version: int, why: str, force: bool = False) -> Entry:
        """Make a version the champion. Raises `GateFailed` without a green gate unless forced, `Conflict`."""
        from mlops_workbench.registry import gate, promotion

        _reason(why)
        stored = self._tracking.version(name, version)

        def plan(champion: int | None) -> tuple[int, Mapping[str, Any]]:
            if champion == version:
                raise Conflict(f"Version {version} of '{name}' is the champion already.")
            seen = gate.latest(self._store, name, version)
            if not force:
                gate.require_green(name, version, champion, seen)
            evidence = {"gate": seen["id"], "digest": seen["digest"]} if seen else {}
            return version, evidence | {
                "sha256": stored.tags.get("digest"),
                "forced": True if force else None,
            }

        return promotion.move(self._store, self._tracking, model=name, action="promote", why=why, plan=plan)

    def rollback(self, name: str, *, why: str) -> Entry:
        """Make the previous champion the champion again. Raises `Conflict` when there is none."""
        from mlops_workbench.registry import ledger, promotion

        _reason(why)
        self._tracking.require_model(name)

        def plan(champion: int | None) -> tuple[int, Mapping[str, Any]]:
            past = ledger.champions(ledger.entries(self._store, name))
            before = [number for number in past[:-1] if number is not None]
            if not before:
                raise Conflict(f"'{name}' had no champion before the present one.", "Look at its history.")
            back = self._tracking.version(name, before[-1])
            return back.version, {"sha256": back.tags.get("digest")}

        return promotion.move(self._store, self._tracking, model=name, action="rollback", why=why, plan=plan)

    def history(self, name: str) -> History:
        """Every champion there was: who, when, why, on what evidence."""
        from mlops_workbench.registry import ledger, promotion

        self._tracking.require_model(name)
        promotion.reconcile(self._store, self._tracking, name)
        entries = ledger.entries(self._store, name)
        return ledger.History(name, self._tracking.alias(name, CHAMPION), tuple(reversed(entries)))

    def lineage(self, name: str, *, version: int | None = None) -> Lineage:
        """The data, code, environment and decisions behind a version."""
        from mlops_workbench.package import records as images
        from mlops_workbench.registry import gate, ledger, lineage
        from mlops_workbench.rollout import records

        stored = self._pick(name, version)
        entries = ledger.entries(self._store, name)
        return lineage.trace(
            stored,
            Manifest.load(self._tracking.folder(stored)),
            self._tracking.run(stored.run_id) if stored.run_id else None,
            gate.latest(self._store, name, stored.version),
            tuple(e for e in entries if stored.version in (e.old_version, e.new_version)),
            images.get(self._store, name, stored.version),
            records.of_version(self._store, name, stored.version),
        )

    # package

    def build(self, name: str, *, version: int | None = None, base: str | None = None) -> Image:
        """Build the Docker image that serves a version. Raises `EngineUnavailable`, `BuildFailed`."""
        from mlops_workbench.package import build, records
        from mlops_workbench.track.source import git_state

        stored = self._pick(name, version)
        image = build.build_image(
            self._tracking.folder(stored),
            name=name,
            version=str(stored.version),
            digest=stored.tags["digest"],
            base_image=base or self.project.base_image,
            cache_dir=self.project.folder("cache"),
            commit=git_state(self.project.root).get("git.commit"),
            progress=self.progress,
        )
        records.keep(self._store, name, stored.version, image)
        return image

    # serve

    def serve(
        self, name: str, *, version: int | None = None, port: int | None = None, kind: str | None = None
    ) -> Live:
        """Put a version behind HTTP on 127.0.0.1; what served the model before is stopped once this one is ready."""
        from mlops_workbench.package import records as images
        from mlops_workbench.rollout import launching

        stored = self._pick(name, version)
        return launching.serve(
            self.project,
            self._store,
            stored,
            self._tracking.folder(stored),
            images.get(self._store, name, stored.version),
            port=port,
            kind=kind,
            progress=self.progress,
        )

    def stop(self, name: str) -> Live:
        """Stop serving a model. Raises `NotFound` when nothing serves it."""
        from mlops_workbench.rollout import launching

        return launching.stop(self._store, name)

    def deployments(self) -> DeploymentList:
        """What serves now, and where."""
        from mlops_workbench.rollout import records

        return records.DeploymentList(records.current(self._store))

    def predict(self, name: str, data: Any, *, batch: int = 500) -> Predictions:
        """Send rows to the served model over HTTP; each answer is logged before it comes back."""
        from mlops_workbench.rollout import records, requests

        frame, label = self._frame(data)
        deployment = records.require(self._store, name)
        stored = self._tracking.version(name, int(deployment.version))
        manifest = Manifest.load(self._tracking.folder(stored))
        return requests.send(deployment, manifest, frame, label, batch=batch, progress=self.progress)

    # monitor

    def label(self, name: str, data: Any, *, column: str | None = None) -> LabelReceipt:
        """Add what really happened to logged predictions, by request_id and row_index."""
        from mlops_workbench.monitor import inference

        self._tracking.require_model(name)
        frame, label = self._frame(data)
        chosen = column or next(iter(v.tags.get("target") for v in self._tracking.versions(name)), None)
        if "request_id" not in frame.columns:
            raise InvalidData(
                f"'{label}' has no column 'request_id'.", "Take it from the answers of predict."
            )
        if chosen and chosen not in frame.columns:
            raise InvalidData(f"'{label}' has no label column '{chosen}'.", closest(chosen, frame.columns))
        wanted = [c for c in ("request_id", "row_index", chosen) if c in frame.columns]
        return inference.write_labels(self.project.inference_url, name, frame[wanted], column=chosen or None)

    def drift(
        self,
        name: str,
        *,
        version: int | None = None,
        data: Any = None,
        last: int | None = None,
        profile: str | None = None,
        report: str | None = None,
    ) -> DriftReport:
        """Compare what the model is asked now with what it was fitted on."""
        from mlops_workbench.data import snapshots
        from mlops_workbench.monitor import watching
        from mlops_workbench.registry import gate

        stored = self._pick(name, version)
        seen = gate.latest(self._store, name, stored.version)
        self.progress("reading the reference")
        return watching.drift(
            self.project.inference_url,
            self.project.policy.drift,
            Manifest.load(self._tracking.folder(stored)),
            str(stored.version),
            reference=snapshots.find(self.project, stored.tags["data.sha256"]),
            current=None if data is None else self._frame(data)[0],
            last=last,
            importance=seen["report"]["importance"] if seen else {},
            baseline=seen["report"]["metrics"] if seen else {},
            profile=Path(profile) if profile else None,
            report=Path(report) if report else None,
            progress=self.progress,
        )

    # retrain

    def retrain(
        self,
        name: str,
        *,
        notebook: str,
        parameters: Sequence[tuple[str, str]] = (),
        timeout: int = 3600,
        detach: bool = False,
    ) -> Job:
        """Run a notebook as a job; what it registers goes through the gate and is promoted if it passes.

        Raises `UsageError` for parameters that the notebook does not declare, `JobFailed` when it fails.
        """
        from mlops_workbench.errors import JobFailed
        from mlops_workbench.retrain import engine, jobs

        projects.check_name(name, "model")
        path = engine.find_notebook(self._notebook_path(notebook))
        values = engine.typed(path, dict(parameters))
        words = line(
            "retrain", {"name": name, "notebook": notebook, "parameters": parameters, "timeout": timeout}
        )
        options = {"name": name, "notebook": str(path), "parameters": values, "timeout": timeout}
        job = self._start("retrain", name, options, words)
        if detach:
            return job
        job = jobs.wait(self._store, job.id, self.progress)
        if job.state != "succeeded":
            raise JobFailed(f"Job {job.id} {job.state}: {job.error}", f"See {job.notebook or job.log}.")
        return job

    def jobs(self, *, id: int | None = None, cancel: int | None = None, limit: int = 20) -> JobList:
        """Jobs, newest first; one of them; or cancel one."""
        from mlops_workbench.retrain import jobs

        if cancel is not None:
            return jobs.JobList((jobs.cancel(self._store, cancel),))
        return jobs.JobList((jobs.get(self._store, id),) if id is not None else jobs.find(self._store, limit))

    def submit(self, verb: str, options: Mapping[str, Any]) -> Job:
        """Run a long verb as a job in a process of its own; returns at once."""
        if verb not in VERBS or not VERBS[verb].long:
            raise UsageError(
                f"The verb '{verb}' does not run as a job.",
                closest(verb, [v.name for v in VERBS.values() if v.long]),
            )
        if verb == "retrain":
            return self.retrain(**(dict(options) | {"detach": True}))
        self._tracking.require_model(str(options["name"]))
        return self._start(verb, str(options["name"]), options, line(verb, dict(options)))

    def _start(self, kind: str, model: str, options: Mapping[str, Any], words: str) -> Job:
        from mlops_workbench.retrain import jobs

        number = jobs.create(self.project, self._store, kind, model, options, words)
        jobs.spawn(self.project, self._store, number)
        return jobs.get(self._store, number)

    def run_job(self, number: int) -> bool:
        """What a job's process does; whether it went well. The verdict is in the job's row."""
        from mlops_workbench.retrain import jobs, running

        kind, options = jobs.options(self._store, number)
        with jobs.running(self._store, number) as progress:
            self.progress = progress
            if kind == "retrain":
                return running.settle(self._store, number, lambda: self._retrain(number, options))
            return running.settle(self._store, number, lambda: getattr(self, kind)(**options).to_dict())

    def _retrain(self, number: int, options: Mapping[str, Any]) -> Mapping[str, Any]:
        from mlops_workbench.retrain import running

        running.execute(self.project, self._store, number, options, self.progress)
        name = options["name"]
        made = [v for v in self._tracking.versions() if v.name == name and v.tags.get("job") == str(number)]
        if not made:
            raise NotFound(f"The notebook registered no version of '{name}'.", "Let it register one.")
        version = made[0].version
        self.progress(f"gate: version {version}", 0.95)
        report = self._judge(name, version)
        if not report.passed:
            first = report.failures[0]
            outcome = (
                f"version {version} did not pass the gate ({first.name}: {first.figure}); the champion stays"
            )
            return {"version": version, "promoted": False, "gate": report.id, "outcome": outcome}
        entry = self.promote(
            name, version=version, why=f"retrained by job {number}, gate report {report.id} passed"
        )
        before = f" instead of version {entry.old_version}" if entry.old_version else ""
        return {
            "version": version,
            "promoted": True,
            "gate": report.id,
            "outcome": f"version {version} passed the gate and is champion{before}",
        }

    # shared

    def _frame(self, data: Any) -> tuple[pd.DataFrame, str]:
        """A DataFrame and its name, from a variable, a file or a snapshot's reference."""
        from mlops_workbench.data import snapshots

        return snapshots.resolve(self.project, self._store, data, self.namespace)

    def _notebook_path(self, notebook: str) -> Path:
        path = Path(notebook).expanduser()
        return path if path.is_absolute() else self.folder / path

    def _pick(self, name: str, version: int | None) -> Stored:
        """The version asked for, or the champion. Raises `NotFound`."""
        if version is not None:
            return self._tracking.version(name, version)
        self._tracking.require_model(name)
        champion = self._tracking.alias(name, CHAMPION)
        if champion is None:
            raise NotFound(f"'{name}' has no champion.", "Promote a version, or name one.")
        return self._tracking.version(name, champion)

    def _version(self, stored: Stored) -> Version:
        from mlops_workbench.registry.registering import describe

        return describe(self._store, stored)


def _reason(why: str) -> None:
    if not why.strip():
        raise UsageError("A reason must be given.", "Say why: it is kept in the ledger.")


@contextmanager
def opened(folder: Path) -> Iterator[Workbench]:
    """A workbench that gives its connections back at the end."""
    found = Workbench.open(folder)
    try:
        yield found
    finally:
        found.close()


__all__ = ["MlopsError", "Workbench", "opened"]
