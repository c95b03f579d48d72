"""The table of contents: one short method a verb. The one place where the stages are put together.

Every face (magic, command line, REST, sidebar, job) calls these methods with the options of `parser.VERBS`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import files
from mlops_workbench.base.errors import (
    ContractViolation,
    InvalidData,
    MlopsError,
    NotFound,
    UsageError,
    closest,
)
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.config import project as projects
from mlops_workbench.config.project import Project
from mlops_workbench.interface.parser import VERBS, line
from mlops_workbench.manifest import Manifest
from mlops_workbench.session import Opening

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.alerts.records import AlertList
    from mlops_workbench.data.sheet import ContractSheet
    from mlops_workbench.data.snapshots import Snapshot, SnapshotList
    from mlops_workbench.data.verdict import ContractReport
    from mlops_workbench.exports.grafana import Exported
    from mlops_workbench.jobs.queue import Job, JobList
    from mlops_workbench.monitor.drift import DriftReport
    from mlops_workbench.monitor.inference import LabelReceipt
    from mlops_workbench.notebooks.reproduction import Reproduction
    from mlops_workbench.overview import Doctor, Status
    from mlops_workbench.package.image import Image, ImageList
    from mlops_workbench.registry.approvals import Approval
    from mlops_workbench.registry.card import Card
    from mlops_workbench.registry.explanation import Explanation
    from mlops_workbench.registry.gate import GateReport
    from mlops_workbench.registry.ledger import Entries, Entry, History, Verification
    from mlops_workbench.registry.lineage import Lineage, Origin
    from mlops_workbench.registry.model_list import ModelList, Version
    from mlops_workbench.registry.promotion import Carry
    from mlops_workbench.rollout.following import Alias
    from mlops_workbench.rollout.records import DeploymentList, Live
    from mlops_workbench.rollout.requests import Predictions
    from mlops_workbench.track.compare import Comparison
    from mlops_workbench.track.records import RegisteredVersion as Stored
    from mlops_workbench.track.runlist import RunList
    from mlops_workbench.track.runs import Cell, Finished

CHAMPION = "champion"


class Workbench(Opening):
    """One project's verbs. What it is made with, and what it holds open: see `Opening`."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        namespace: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        super().__init__(folder, namespace=namespace, progress=progress)
        self._made: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._checked: dict[str, str] = {}

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
        from mlops_workbench.alerts import records as alerts
        from mlops_workbench.jobs import queue as jobs
        from mlops_workbench.registry import ledger, promotion
        from mlops_workbench.rollout import records

        promotion.reconcile_all(self._store, self._tracking)
        self._look()
        return overview.status(
            self.project,
            self._tracking.versions(),
            records.current(self._store),
            jobs.find(self._store, 50),
            ledger.entries(self._store),
            ledger.broken(self._store, self._tracking.noted_ledger()),
            alerts.find(self._store),
        )

    def doctor(self) -> Doctor:
        """Check stores, Docker and packages, with the next step for each that is amiss."""
        from mlops_workbench import overview

        return overview.doctor(self._home)

    # data

    def validate(
        self,
        data: Any,
        *,
        contract: str,
        infer: bool = False,
        run: str | None = None,
        report: str | None = None,
        profile: str | None = None,
    ) -> ContractReport:
        """Check data against its contract; infer the contract when there is none. Raises `ContractViolation`."""
        from mlops_workbench.data import contracts, validating, validations

        projects.check_name(contract, "contract")
        written, profiled = (validating.writable(file) for file in (report, profile))
        of_run = self._tracking.run(run).id if run else self._tracking.active()
        frame, name = self._frame(data)
        found = validating.validate(
            self.project,
            frame,
            name,
            contract,
            infer=infer,
            now=self._store.clock.now(),
            run=of_run,
            profile=profiled,
            progress=self.progress,
        )
        validations.keep(self._store, found)
        if written:
            validating.write_page(found, written)
        tags = {f"contract.{contract}.{key}": getattr(found, key) for key in ("data", "verdict", "digest")}
        if of_run:
            self._tracking.log(of_run, tags=tags, files=validating.artifacts(found))
        else:
            self._checked |= tags  # the next run is made of what was checked before it
        if not found.passed:
            place = contracts.path_of(self.project.root, contract).relative_to(self.project.root)
            raise ContractViolation(validating.sentence(found), f"Mend the data, or edit {place}.", found)
        return found

    def contract(
        self, name: str, *, data: Any = None, suite: str | None = None, replace: bool = False
    ) -> ContractSheet:
        """Show a contract; make it from data, or from a Great Expectations suite. Raises `Conflict`, `NotFound`."""
        from mlops_workbench.data import making

        projects.check_name(name, "contract")
        if data is None and suite is None:
            if replace:
                raise UsageError("There is nothing to replace the contract with.", "Give data or a suite.")
            return making.show(self.project, self._store, name)
        if data is not None and suite is not None:
            raise UsageError("A contract is made from data or from a suite, not both.", "Give one of them.")
        making.require_free(self.project, name, replace)
        if suite is not None:
            return making.from_suite(self.project, name, Path(suite).expanduser(), replace=replace)
        frame, label = self._frame(data)
        return making.from_data(
            self.project,
            name,
            frame,
            label,
            replace=replace,
            now=self._store.clock.now(),
            progress=self.progress,
        )

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
        checked = {key: value for key, value in self._checked.items() if key not in done.run.tags}
        self._tracking.log(done.run.id, tags=checked)
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
        from mlops_workbench.track.runlist import RunList

        found = self._tracking.runs(limit, sort=sort, ascending=ascending, where=where or "", name=name)
        for wanted in plot:
            self._tracking.require_metric(wanted)
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
        from mlops_workbench.rollout import judging

        projects.check_name(name, "model")
        self.progress("looking at the model")
        fitted, label = registering.resolve_model(model, self.namespace, self._tracking)
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
            quicken=judging.quicken,
            runtime=judging.mlflow_runtime(),
        )
        return self._version(stored)

    def _run_of(self, model: Any) -> str | None:
        """The run whose cell made this very object, if it was made here; who logged it, if MLflow keeps it."""
        from mlops_workbench.track import flavours

        if isinstance(logged := flavours.address_of(model, self._tracking) or model, flavours.Logged):
            return logged.run_id
        known = self._made.get(id(model))
        return known[1] if known and known[0]() is model else None

    def models(self, *, name: str | None = None) -> ModelList:
        """Registered models and their versions, newest first."""
        from mlops_workbench.registry.model_list import ModelList

        return ModelList(tuple(self._versions(self._tracking.versions(name))))

    def gate(
        self,
        name: str,
        *,
        version: int | None = None,
        data: Any = None,
        first: bool = False,
        explain: bool = False,
    ) -> GateReport | Explanation:
        """Judge a version (default: the newest), keep the report, and raise `GateFailed` when it is not a pass.

        `first`: it is the first version, so that no champion stands beside it; `explain`: only say what is asked.
        """
        from mlops_workbench.registry import explanation as words
        from mlops_workbench.registry import gate

        if explain:
            return words.explain(name, self.project.policy.gate)
        number = version or self._tracking.versions(name)[0].version
        report = self._judge(name, number, data, first=first)
        gate.require_passed(report)
        return report

    def _judge(self, name: str, version: int, data: Any = None, *, first: bool = False) -> GateReport:
        from mlops_workbench.package import records as images
        from mlops_workbench.rollout import judging

        number = self._tracking.alias(name, CHAMPION)
        return judging.judge(
            self.project,
            self._store,
            self._tracking,
            self._tracking.version(name, version),
            self._tracking.version(name, number) if number else None,
            images.get(self._store, name, version),
            data=data,
            namespace=self.namespace,
            first=first,
            progress=self.progress,
        )

    def approve(self, name: str, *, version: int | None = None, why: str) -> Approval:
        """Vouch for a version on its newest gate report. Raises `GateFailed` without a green one, `Conflict`."""
        from mlops_workbench.registry import approvals, gate

        _reason(why)
        stored = self._need(name, version)
        seen = gate.latest(self._store, stored.name, stored.version)
        policy = self.project.policy
        return approvals.approve(
            self._store, self._tracking, stored, seen, policy.approval, policy.governance, why
        )

    def promote(self, name: str, *, version: int | None = None, why: str, force: bool = False) -> Entry:
        """Make a version the champion. Raises `GateFailed` without a green gate unless forced, `Conflict`."""
        from mlops_workbench.registry import promotion

        _reason(why)
        stored = self._need(name, version)
        return promotion.move(
            self._store,
            self._tracking,
            model=stored.name,
            action="promote",
            why=why,
            plan=lambda champion: promotion.to_champion(
                self._store, stored, champion, self.project.policy, force=force
            ),
            carry=self._carry(stored.name, CHAMPION, force=force),
        )

    def rollback(self, name: str, *, why: str) -> Entry:
        """Make the previous champion the champion again. Raises `Conflict` when there is none."""
        from mlops_workbench.registry import promotion

        _reason(why)
        self._tracking.require_model(name)
        return promotion.move(
            self._store,
            self._tracking,
            model=name,
            action="rollback",
            why=why,
            plan=lambda _: promotion.back(self._store, self._tracking, name),
            carry=self._carry(name, CHAMPION),
        )

    def alias(
        self, name: str, alias: str, *, version: int | None = None, remove: bool = False, why: str
    ) -> Entry:
        """Put an alias such as `challenger` on a version, or take it away. Raises `UsageError`, `Conflict`."""
        from mlops_workbench.registry import promotion

        _reason(why)
        promotion.check_alias(alias)
        if remove:
            self._tracking.require_model(name)
        target = None if remove else self._need(name, version)
        return promotion.move(
            self._store,
            self._tracking,
            model=target.name if target else name,
            action="alias",
            why=why,
            alias=alias,
            plan=lambda old: promotion.to_alias(name, alias, old, target),
            carry=self._carry(target.name if target else name, alias),
        )

    def _carry(self, model: str, alias: str, *, force: bool = False) -> Carry:
        """What follows an alias, taken along when it moves."""
        from mlops_workbench.rollout import following, launching

        self._look(model)
        return lambda new: following.carried(
            self._alias(model, alias),
            new,
            force=force,
            stop=lambda: launching.stop_following(self._store, model, alias),
            progress=self.progress,
        )

    def _alias(self, model: str, alias: str) -> Alias:
        from mlops_workbench.config import serving as servingpolicy
        from mlops_workbench.rollout.following import Alias

        key = servingpolicy.key(self.project.policy.serving, self.project.root)
        return Alias(self.project, self._store, self._tracking, model, alias, key)

    def _look(self, model: str | None = None) -> None:
        """See to it that what follows an alias has the version that the registry says, and note what it serves."""
        from mlops_workbench.registry import promotion
        from mlops_workbench.rollout import records

        followed = {(d.model, str(d.follows)) for d in records.following(self._store, model)}
        if not followed:
            return
        from mlops_workbench.rollout import following

        for name in {name for name, _ in followed}:
            promotion.reconcile(self._store, self._tracking, name)
        following.look([self._alias(*one) for one in sorted(followed)])

    def retire(self, name: str, *, version: int | None = None, why: str) -> Entry:
        """Put a version out of use: stopped, without aliases and alerts, archived with its evidence.

        Raises `Conflict`.
        """
        from mlops_workbench.alerts import records as alerts
        from mlops_workbench.registry import retiring
        from mlops_workbench.rollout import launching

        _reason(why)
        stored = self._need(name, version)
        self._look(stored.name)
        held = [a for a, n in self._tracking.aliases(stored.name).items() if n == stored.version]

        def stop() -> int:
            stopped = launching.stop_version(self._store, stored.name, stored.version)
            about = (f"version {stored.version}", *(f"alias {alias}" for alias in held))
            alerts.over(self._store, stored.name, about)
            return stopped

        trace = self.lineage(stored.name, version=stored.version)
        card = self.card(stored.name, version=stored.version)
        return retiring.retire(
            self._store,
            self._tracking,
            stored,
            why=why,
            archive=self.project.folder("archive") / f"{stored.name}-{stored.version}.zip",
            documents={
                "lineage.json": retiring.as_json(trace.to_dict()),
                "card.md": card.markdown,
                "card.html": card.page(),
            },
            stop=stop,
        )

    def delete(self, name: str, *, version: int | None = None, why: str) -> Entry:
        """Delete a version that no alias, deployment or approval refers to. Raises `Conflict` naming what does."""
        from mlops_workbench.registry import retiring
        from mlops_workbench.rollout import records

        _reason(why)
        stored = self._need(name, version)
        self._look(stored.name)
        serving = [d for d in records.current(self._store, stored.name) if d.version == str(stored.version)]
        return retiring.delete(self._store, self._tracking, stored, why=why, deployments=len(serving))

    def history(self, name: str, *, at: str | None = None) -> History:
        """Every champion there was: who, when, why, on what evidence; `at`: who was champion then."""
        from mlops_workbench.registry import ledger, promotion

        self._tracking.require_model(name)
        promotion.reconcile(self._store, self._tracking, name)
        entries = ledger.entries(self._store, name)
        moment = None if at is None else ledger.moment(at)
        return ledger.history(name, self._tracking.alias(name, CHAMPION), entries, moment)

    def lineage(self, name: str, *, version: int | None = None, out: str | None = None) -> Lineage:
        """The data, code, environment and decisions behind a version."""
        from mlops_workbench.registry import lineage, retiring

        found = lineage.trace(self._origin(self._pick(name, version)))
        if out is not None:
            files.write_text(self._path(out), retiring.as_json(found.to_dict()))
        return found

    def card(self, name: str, *, version: int | None = None, out: str | None = None) -> Card:
        """The model card of a version, made from its records; `out`: also write it, as .md or .html."""
        from mlops_workbench.registry import card

        origin = self._origin(self._pick(name, version))
        notes = self.project.root / "cards" / f"{origin.stored.name}.md"
        made = card.card(origin, notes.read_text(encoding="utf-8") if notes.is_file() else "")
        if out is not None:
            path = self._path(out)
            if path.suffix not in (".md", ".html"):
                raise UsageError(
                    f"A card is written as .md or .html. Got '{path.name}' instead.", "Name such a file."
                )
            files.write_text(path, made.page() if path.suffix == ".html" else made.markdown)
        return made

    def ledger(self, action: str | None = None) -> Verification | Entries:
        """`verify`: walk the whole hash chain; `show` (the default): the newest entries of all models."""
        from mlops_workbench.registry import ledger

        if action in (None, "show"):
            return ledger.newest(self._store, 50)
        return ledger.verify(self._store, self._tracking.noted_ledger())

    def _origin(self, stored: Stored) -> Origin:
        """Everything that is recorded about a version."""
        from mlops_workbench.package import records as images
        from mlops_workbench.registry import approvals, gates, ledger, lineage
        from mlops_workbench.rollout import records

        name, version = stored.name, stored.version
        policy = self.project.policy
        entries = ledger.entries(self._store, name)
        seen = gates.latest(self._store, name, version)
        return lineage.Origin(
            project=policy.name,
            stored=stored,
            manifest=Manifest.load(self._tracking.folder(stored)),
            run=self._tracking.run(stored.run_id) if stored.run_id else None,
            files=self._tracking.files(stored.run_id) if stored.run_id else (),
            data=lineage.rows_of(self._store, stored),
            gate=seen,
            approvals=approvals.standing(
                entries, stored, seen, policy.approval, policy.governance, self._store.clock.now()
            ),
            entries=tuple(e for e in entries if version in (e.old_version, e.new_version)),
            image=images.get(self._store, name, version),
            deployments=tuple(records.of_version(self._store, name, version)),
            state=self._version(stored).state,
        )

    # package

    def build(
        self,
        name: str,
        *,
        version: int | None = None,
        base: str | None = None,
        fast_only: bool = False,
        platform: str | None = None,
    ) -> Image:
        """Build the Docker image that serves a version, and prove it. Raises `EngineUnavailable`, `BuildFailed`."""
        from mlops_workbench import packaging

        return packaging.build(
            self.project,
            self._store,
            self._tracking,
            self._pick(name, version),
            base=base,
            fast_only=fast_only,
            platform=platform,
            progress=self.progress,
        )

    def images(self, *, name: str | None = None) -> ImageList:
        """Images that were built, whether the engine still has them, and what serves from them."""
        from mlops_workbench import packaging

        if name is not None:
            self._tracking.require_model(name)
        return packaging.images(self._store, name)

    def export(self, what: str, *, out: str | None = None) -> Exported:
        """Write files for another tool: `grafana`, a dashboard and Prometheus rules over what the runtime measures."""
        from mlops_workbench.exports import grafana

        return grafana.export(Path(out) if out else self.project.root / what)

    # serve

    def serve(
        self,
        name: str,
        *,
        version: int | None = None,
        port: int | None = None,
        kind: str | None = None,
        follow: bool = False,
        docker: bool = False,
        memory: str | None = None,
        cpus: float | None = None,
    ) -> Live:
        """Put a version behind HTTP on 127.0.0.1; what served the model before is stopped once this one is ready.

        `follow`: later champions (or versions of the alias in `NAME@alias`) take its place in what is started here.
        """
        from mlops_workbench.package import records as images
        from mlops_workbench.registry import versions
        from mlops_workbench.rollout import launching

        asked = projects.reference(name, version)
        if follow and asked.version is not None:
            raise UsageError(
                f"What follows serves the version of an alias, not version {asked.version}.",
                "Say NAME, or NAME@alias.",
            )
        if docker and kind == "process":
            raise UsageError("A version is served by a container or by a process.", "Say one of them.")
        stored = self._pick(name, version)
        return launching.serve(
            self.project,
            self._store,
            stored,
            versions.recorded(self._tracking, stored)[0],
            images.get(self._store, stored.name, stored.version),
            port=port,
            kind="container" if docker else kind,
            memory=memory,
            cpus=cpus,
            follow=self._alias(stored.name, asked.alias or CHAMPION) if follow else None,
            progress=self.progress,
        )

    def stop(self, name: str) -> Live:
        """Stop serving a model. Raises `NotFound` when nothing serves it."""
        from mlops_workbench.rollout import following, launching, records

        followed = {str(d.follows) for d in records.following(self._store, name)}
        stopped = launching.stop(self._store, name)
        for alias in followed:
            following.forget(self._alias(name, alias))
        return stopped

    def deployments(self) -> DeploymentList:
        """What serves now, and where."""
        from mlops_workbench.rollout import records

        self._look()
        return records.DeploymentList(records.current(self._store))

    def predict(self, name: str, data: Any, *, batch: int = 500) -> Predictions:
        """Send rows to the served model over HTTP; each answer is logged before it comes back."""
        from mlops_workbench.config import serving as servingpolicy
        from mlops_workbench.rollout import records, requests

        frame, label = self._frame(data)
        self._look(name)
        deployment = records.require(self._store, name)
        stored = self._tracking.version(name, int(deployment.version))
        manifest = Manifest.load(self._tracking.folder(stored))
        key = servingpolicy.key(self.project.policy.serving, self.project.root)
        return requests.send(deployment, manifest, frame, label, batch=batch, key=key, progress=self.progress)

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
        return inference.write_labels(
            self.project.inference_url,
            name,
            frame[wanted],
            column=chosen or None,
            now=self._store.clock.now(),
        )

    def alerts(
        self, action: str | None = None, id: int | None = None, *, everything: bool = False
    ) -> AlertList:
        """Open alerts, newest first; `ack` one that was looked at. Raises `NotFound`, `Conflict`, `UsageError`."""
        from mlops_workbench.alerts import records as alerts

        if action == "ack":
            if id is None:
                raise UsageError("Which alert has been looked at?", "Say its number.")
            return alerts.AlertList((alerts.acknowledge(self._store, id),))
        if id is not None:
            return alerts.AlertList((alerts.get(self._store, id),))
        self._look()
        return alerts.AlertList(alerts.find(self._store, everything=everything))

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
        from mlops_workbench.config.serving import readable
        from mlops_workbench.data import snapshots
        from mlops_workbench.monitor import watching
        from mlops_workbench.registry import gate

        stored = self._pick(name, version)
        seen = gate.latest(self._store, stored.name, stored.version)
        manifest = Manifest.load(self._tracking.folder(stored))
        if data is None:
            manifest = readable(manifest, self.project.policy.serving)
        self.progress("reading the reference")
        return watching.drift(
            self.project.inference_url,
            self.project.policy.drift,
            manifest,
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
        from mlops_workbench.base.errors import JobFailed
        from mlops_workbench.jobs import queue as jobs
        from mlops_workbench.notebooks import engine

        projects.check_name(name, "model")
        path = engine.find_notebook(self._path(notebook))
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

    def reproduce(
        self, name: str, *, version: int | None = None, tolerance: float = 1e-6, detach: bool = False
    ) -> Reproduction | Job:
        """Make a version again in a fresh environment from its records, and compare. Raises `JobFailed`, `NotFound`."""
        from mlops_workbench.base.errors import JobFailed
        from mlops_workbench.jobs import queue as jobs
        from mlops_workbench.notebooks import reproduction as reproducing

        stored = self._pick(name, version)
        _ = reproducing.recipe(
            self.project, self._tracking, stored, self._tracking.folder(stored)
        )  # says what is not there
        options = {"name": stored.name, "version": stored.version, "tolerance": tolerance}
        job = self._start("reproduce", stored.name, options, line("reproduce", options))
        if detach:
            return job
        job = jobs.wait(self._store, job.id, self.progress)
        if job.state != "succeeded" or job.result is None:
            raise JobFailed(f"Job {job.id} {job.state}: {job.error}", f"See {job.notebook or job.log}.")
        return reproducing.Reproduction.from_dict(job.result)

    def _reproduce(self, number: int, options: Mapping[str, Any]) -> Mapping[str, Any]:
        from mlops_workbench.jobs import queue as jobs
        from mlops_workbench.notebooks import reproduction as reproducing

        stored = self._tracking.version(options["name"], options["version"])
        folder = self._tracking.folder(stored)
        keep = self.project.folder("jobs", str(number))
        jobs.set_notebook(self._store, number, keep / "reproduce.ipynb")
        made = reproducing.reproduce(
            self.project,
            reproducing.recipe(self.project, self._tracking, stored, folder),
            folder,
            keep,
            options["tolerance"],
            self.progress,
        )
        return made.to_dict() | {"outcome": made.title}

    def jobs(self, *, id: int | None = None, cancel: int | None = None, limit: int = 20) -> JobList:
        """Jobs, newest first; one of them; or cancel one."""
        from mlops_workbench.jobs import queue as jobs

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
        if verb in ("retrain", "reproduce"):
            started: Job = getattr(self, verb)(**(dict(options) | {"detach": True}))
            return started
        self._tracking.require_model(str(options["name"]))
        return self._start(verb, str(options["name"]), options, line(verb, dict(options)))

    def _start(self, kind: str, model: str, options: Mapping[str, Any], words: str) -> Job:
        from mlops_workbench.jobs import queue as jobs

        number = jobs.create(self.project, self._store, kind, model, options, words)
        jobs.spawn(self.project, self._store, number)
        return jobs.get(self._store, number)

    def run_job(self, number: int) -> bool:
        """What a job's process does; whether it went well. The verdict is in the job's row."""
        from mlops_workbench.jobs import queue as jobs
        from mlops_workbench.notebooks import retraining as running

        kind, options = jobs.options(self._store, number)
        if kind == "build":
            jobs.end_orderly()
        with jobs.running(self._store, number) as progress:
            self.progress = progress
            if kind in ("retrain", "reproduce"):
                work = self._retrain if kind == "retrain" else self._reproduce
                return running.settle(self._store, number, lambda: work(number, options))
            return running.settle(self._store, number, lambda: getattr(self, kind)(**options).to_dict())

    def _retrain(self, number: int, options: Mapping[str, Any]) -> Mapping[str, Any]:
        from mlops_workbench.notebooks import retraining as running
        from mlops_workbench.rollout import judging

        running.execute(self.project, self._store, number, options, self.progress)
        name = options["name"]
        made = [v for v in self._tracking.versions() if v.name == name and v.tags.get("job") == str(number)]
        if not made:
            raise NotFound(f"The notebook registered no version of '{name}'.", "Let it register one.")
        version = made[0].version
        self.progress(f"gate: version {version}", 0.95)
        report = self._judge(name, version)
        if not report.passed:
            outcome = judging.outcome(report)
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

    def _pick(self, name: str, version: int | None) -> Stored:
        """The version asked for (`--version`, `NAME/3`, `NAME@alias`), or the champion. Raises `NotFound`."""
        return self._named(name, version, CHAMPION)

    def _need(self, name: str, version: int | None) -> Stored:
        """The version asked for, which must be said: what is done to it is not to be guessed. Raises `UsageError`."""
        return self._named(name, version, None)

    def _named(self, name: str, version: int | None, default: str | None) -> Stored:
        asked = projects.reference(name, version)
        if asked.version is not None:
            return self._tracking.version(asked.model, asked.version)
        self._tracking.require_model(asked.model)
        alias = asked.alias or default
        if alias is None:
            raise UsageError(f"Which version of '{name}'?", f"Say --version N, or {name}/N.")
        found = self._tracking.alias(asked.model, alias)
        if found is None and alias == CHAMPION:
            raise NotFound(f"'{asked.model}' has no champion.", "Promote a version, or name one.")
        if found is None:
            known = self._tracking.aliases(asked.model)
            raise NotFound(f"'{asked.model}' has no alias '{alias}'.", closest(alias, known))
        return self._tracking.version(asked.model, found)

    def _path(self, file: str) -> Path:
        path = Path(file).expanduser()
        return path if path.is_absolute() else self.folder / path

    def _version(self, stored: Stored) -> Version:
        return self._versions((stored,))[0]

    def _versions(self, found: Sequence[Stored]) -> list[Version]:
        from mlops_workbench.package import records as images
        from mlops_workbench.registry.model_list import describe

        policy = self.project.policy
        return describe(self._store, found, policy.approval, policy.governance, images.tags(self._store))


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
