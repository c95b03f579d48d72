"""The table of contents: a line a verb. Magics, command line, REST, sidebar and jobs all read it.

workbench = Workbench(Path("my-project"))
workbench.promote("flights/3", why="better in June")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from mlops_workbench import plugins
from mlops_workbench.base.errors import MlopsError
from mlops_workbench.interface import jobs as running
from mlops_workbench.interface.spec import Verb, spec, verbs_of
from mlops_workbench.session import Session
from mlops_workbench.verbs import alerts as _alerts
from mlops_workbench.verbs import alias as _alias
from mlops_workbench.verbs import approve as _approve
from mlops_workbench.verbs import backup as _backup
from mlops_workbench.verbs import build as _build
from mlops_workbench.verbs import card as _card
from mlops_workbench.verbs import compare as _compare
from mlops_workbench.verbs import contract as _contract
from mlops_workbench.verbs import delete as _delete
from mlops_workbench.verbs import deployments as _deployments
from mlops_workbench.verbs import doctor as _doctor
from mlops_workbench.verbs import drift as _drift
from mlops_workbench.verbs import export as _export
from mlops_workbench.verbs import gate as _gate
from mlops_workbench.verbs import history as _history
from mlops_workbench.verbs import images as _images
from mlops_workbench.verbs import ingest as _ingest
from mlops_workbench.verbs import init as _init
from mlops_workbench.verbs import jobs as _jobs
from mlops_workbench.verbs import label as _label
from mlops_workbench.verbs import ledger as _ledger
from mlops_workbench.verbs import lineage as _lineage
from mlops_workbench.verbs import load as _load
from mlops_workbench.verbs import log as _log
from mlops_workbench.verbs import models as _models
from mlops_workbench.verbs import monitor as _monitor
from mlops_workbench.verbs import move as _move
from mlops_workbench.verbs import predict as _predict
from mlops_workbench.verbs import promote as _promote
from mlops_workbench.verbs import quality as _quality
from mlops_workbench.verbs import register as _register
from mlops_workbench.verbs import reproduce as _reproduce
from mlops_workbench.verbs import restore as _restore
from mlops_workbench.verbs import retire as _retire
from mlops_workbench.verbs import retrain as _retrain
from mlops_workbench.verbs import rollback as _rollback
from mlops_workbench.verbs import run as _run
from mlops_workbench.verbs import runs as _runs
from mlops_workbench.verbs import serve as _serve
from mlops_workbench.verbs import snapshot as _snapshot
from mlops_workbench.verbs import status as _status
from mlops_workbench.verbs import stop as _stop
from mlops_workbench.verbs import validate as _validate


class Workbench(Session):
    """One project's verbs. What they work with: see `Session`."""

    # project
    init = _init.init
    status = _status.status
    doctor = _doctor.doctor
    backup = _backup.backup
    restore = _restore.restore
    move = _move.move

    # data
    validate = _validate.validate
    snapshot = _snapshot.snapshot
    contract = _contract.contract

    # track
    run = _run.run
    runs = _runs.runs
    compare = _compare.compare

    # registry
    register = _register.register
    models = _models.models
    load = _load.load
    gate = _gate.gate
    approve = _approve.approve
    promote = _promote.promote
    rollback = _rollback.rollback
    alias = _alias.alias
    retire = _retire.retire
    delete = _delete.delete
    history = _history.history
    lineage = _lineage.lineage
    card = _card.card
    ledger = _ledger.ledger

    # package
    build = _build.build
    images = _images.images
    export = _export.export

    # serve
    serve = _serve.serve
    stop = _stop.stop
    deployments = _deployments.deployments
    predict = _predict.predict

    # monitor
    alerts = _alerts.alerts
    ingest = _ingest.ingest
    monitor = _monitor.monitor
    label = _label.label
    log = _log.log
    drift = _drift.drift
    quality = _quality.quality

    # retrain
    retrain = _retrain.retrain
    reproduce = _reproduce.reproduce
    jobs = _jobs.jobs

    def __getattr__(self, name: str) -> Any:
        """A verb of an installed plugin."""
        if not name.startswith("_") and name in plugins.found("verbs"):
            return partial(plugins.load("verbs", name), self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def run_job(self, number: int) -> bool:
        """What a job's process does; whether it went well. The verdict is in the job's row."""
        return running.perform(self, verbs(), number)


@cache
def verbs() -> dict[str, Verb]:
    """All verbs by name, in the order of the loop; those of plugins come last."""
    own = verbs_of(Workbench)
    return own | {
        name: spec(plugins.load("verbs", name)) for name in plugins.found("verbs") if name not in own
    }


@contextmanager
def opened(folder: Path) -> Iterator[Workbench]:
    """A workbench that gives its connections back at the end."""
    found = Workbench.open(folder)
    try:
        yield found
    finally:
        found.close()


__all__ = ["MlopsError", "Workbench", "opened", "verbs"]
