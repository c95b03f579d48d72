"""The gate put together: versions behind the real serving runtime, the rows, the image, and where reports go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import NotFound
from mlops_workbench.base.page import page
from mlops_workbench.config.names import user
from mlops_workbench.config.project import Project
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.versions import Predictor, ServingRuntime
from mlops_workbench.serving import pyfunc
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.package.image import Image
    from mlops_workbench.registry.checks.check import Contestant, Measured
    from mlops_workbench.registry.gate_report import GateReport
    from mlops_workbench.rollout.runtime.fresh import Served


def load(folder: Path) -> Predictor:
    """A model folder behind the real serving runtime, in a process of its own. Raises `InvalidModel`."""
    return _fresh(folder, Manifest.load(folder))


def _fresh(folder: Path, manifest: Manifest) -> Served:
    from mlops_workbench.rollout.runtime.fresh import Served

    return Served.load(folder, pyfunc=manifest.serialization == "pyfunc")


def warm() -> None:
    """Start what models are loaded in: it has its imports done by the time that one is."""
    from mlops_workbench.rollout.runtime import fresh

    fresh.server().warm()


def compile_fast_path(
    folder: Path,
    model: Any,
    manifest: Manifest,
    ordinary: Mapping[str, Sequence[Mapping[str, Any]]],
    served: Predictor,
) -> dict[str, Any]:
    """Compile the model to a plan in its folder and prove it against the real runtime. Returns the record.

    `ordinary`: rows as JSON carries them, keyed by split: train, held-out. `served`: what `load` made of the folder.
    Whatever goes wrong, the original path answers.
    """
    from mlops_workbench.registry.fastpath import NotCovered, compiling, proving
    from mlops_workbench.serving.dataplane import from_json
    from mlops_workbench.serving.fast.evaluator import Evaluator
    from mlops_workbench.serving.fast.plan import ARRAYS, HEADER, Plan
    from mlops_workbench.serving.original import as_frame

    try:
        plan = compiling.compiled(
            model, manifest, lambda rows: as_frame(manifest, [from_json(manifest, r) for r in rows]), folder
        )
        fast = Evaluator(Plan.read(folder, plan.sha256))
        rows = {kind: [from_json(manifest, r) for r in rows] for kind, rows in ordinary.items()}
        found = proving.proof(plan, manifest, rows, served, fast.answer)
    except NotCovered as reason:
        found = proving.FastPathProof(False, str(reason))
    except (
        Exception
    ) as problem:  # scikit-learn's insides change: a version must not fail to register for that
        sentence = " ".join(str(problem).split())[:200]
        found = proving.FastPathProof(
            False, f"it could not be compiled ({type(problem).__name__}: {sentence})"
        )
    if not found.proven:
        for name in (HEADER, ARRAYS):
            (folder / name).unlink(missing_ok=True)
    return found.to_dict()


RUNTIME = ServingRuntime(load, compile_fast_path, pyfunc.opened, pyfunc.values_of)


def contestant(project: Project, tracking: Tracking, stored: RegisteredVersion) -> Contestant:
    from mlops_workbench.registry import registering
    from mlops_workbench.registry.checks.check import Contestant, ModelItself
    from mlops_workbench.registry.versions import recorded
    from mlops_workbench.serving.dataplane import from_json
    from mlops_workbench.serving.original import as_frame

    def fitted_on() -> pd.DataFrame | None:
        try:
            return registering.fitted_on(project, stored)
        except NotFound:
            return None

    folder, manifest = recorded(tracking, stored)
    served = _fresh(folder, manifest)
    itself = None
    # an MLflow model's columns have types that depend on the row
    if manifest.serialization != "pyfunc":
        itself = ModelItself(
            lambda rows: as_frame(manifest, [from_json(manifest, row) for row in rows]), served.frame
        )
    return Contestant(stored.version, manifest, served, fitted_on, itself)


def judge(
    context: TrackedContext,
    stored: RegisteredVersion,
    champion: RegisteredVersion | None,
    image: Image | None,
    *,
    data: Any,
    first: bool,
) -> GateReport:
    """Judge a version by the project's policy and keep the report: stored, tagged, and with the version's run."""
    project, store, tracking = context.project, context.store, context.tracking
    progress = context.progress
    warm()
    from mlops_workbench.data import snapshots
    from mlops_workbench.registry import gate, gates, registering
    from mlops_workbench.registry.checks.check import GateContext
    from mlops_workbench.rollout.runtime import trials

    progress("loading the version")
    candidate = contestant(project, tracking, stored)
    beside = contestant(project, tracking, champion) if champion else None
    rows, label = (
        snapshots.resolve(project, store, data, context.namespace, candidate.manifest.kinds)
        if data is not None
        else (
            registering.held_out(project, stored),
            stored.facts.evaluate.name if stored.facts.evaluate else "",
        )
    )

    def measure(size: int) -> Measured:
        progress("measuring the serving runtime")
        fast = project.policy.serving.fast
        folder, sample = tracking.folder(stored), candidate.manifest.sample
        return trials.measure(folder, stored.servable, sample, size, fast=fast)

    tag = image.tag if image else ""
    asked = GateContext(
        root=project.root,
        rows_from=_whereabouts(stored, rows, label, given=data is not None),
        first_by=user() if first else "",
        measure=measure,
        image=tag,
        ask_image=trials.image(tag, stored.servable) if tag else None,
    )
    progress("asking it for the held-out rows")
    report = gate.judge(stored.name, candidate, beside, rows, project.policy.gate, asked)
    if data is not None and rows is not None:
        snapshots.keep(project, store, rows, label)  # evidence that nobody can look at again is none
    report = gates.keep(store, report)
    _attach(tracking, stored, report)
    return report


def _whereabouts(stored: RegisteredVersion, rows: pd.DataFrame | None, label: str, *, given: bool) -> str:
    """Where a person finds the judged rows: their snapshot, which is the version's or will be kept; the beginning of
    its hash stands for it in every verb that takes data."""
    from mlops_workbench.data.frames import fingerprint

    if rows is None:
        return ""
    own = stored.facts.evaluate
    sha256 = own.sha256 if own and not given else fingerprint(rows, label).sha256
    return f"'{label}', {len(rows):,} rows, snapshot {sha256[:12]}"


def _attach(tracking: Tracking, stored: RegisteredVersion, report: GateReport) -> None:
    """The report as part of the version, and as an artifact of the run that made it."""
    if stored.run_id:
        texts = {
            f"gate/report-{report.id}.json": json.dumps(report.to_dict(), indent=1, ensure_ascii=False),
            f"gate/report-{report.id}.html": page(report.title, report._repr_html_()),
        }
        tracking.log(stored.run_id, files=texts)
    tags = {"gate": "passed" if report.passed else "failed", "gate.report": str(report.id)}
    if report.metrics:
        tags["metrics"] = json.dumps(dict(report.metrics))
    for key, value in tags.items():
        tracking.tag_version(stored.name, stored.version, key, value)


def outcome(report: GateReport) -> str:
    """What a job says of a version that did not pass."""
    first = report.failures[0]
    found = first.figure if first.passed is False else first.detail
    verdict = f"version {report.version} did not pass the gate ({first.name}: {found})"
    if report.champion is None:
        # a job is nobody's choice
        return f"{verdict}; there is still no champion: a person may choose the first version with the gate"
    return f"{verdict}; the champion stays"
