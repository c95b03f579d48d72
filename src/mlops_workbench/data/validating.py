"""One validation from data to report: the contract is read or inferred, checked, and the report written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.clock import stamp
from mlops_workbench.base.errors import NotFound
from mlops_workbench.base.progress import Progress
from mlops_workbench.config.project import Project
from mlops_workbench.data import contracts
from mlops_workbench.data.frames import fingerprint
from mlops_workbench.data.verdict import TABLE, Checked, ContractReport
from mlops_workbench.manifest import Kind
from mlops_workbench.store.context import Context

if TYPE_CHECKING:
    import pandas as pd


def validate(
    context: Context,
    frame: pd.DataFrame,
    data: str,
    name: str,
    *,
    infer: bool,
    run: str | None = None,
    profile: Path | None = None,
) -> ContractReport:
    """Check a frame against the contract `name`; write the contract first when there is none, or when asked to."""
    project, progress, now = context.project, context.progress, context.store.clock.now()
    if profile is not None:
        from mlops_workbench.data import profiles

        profiles.require()
    progress("fingerprint of the data", 0.0)
    mark = fingerprint(frame, data)  # what no file can hold is said before one is written
    path = contracts.path_of(project.root, name)
    made = infer or not path.exists()
    checks: tuple[Checked, ...] = ()
    seen: tuple[str, ...] = ()
    if made:
        from mlops_workbench.data import hints, inferring, profiles

        seen = hints.hints(frame)
        contract = inferring.infer_usable(frame, data, name, now=now, progress=progress)
        contracts.write(contract, path)
        profiles.forget(project, name)
    else:
        from mlops_workbench.data import checking

        contract = contracts.read(path)
        checks = checking.check(frame, contract, now=now, progress=progress)
    if profile is not None:
        checks += _profiled(project, frame, contract, name, profile, progress)
    return ContractReport(
        contract=name,
        data=data,
        rows=len(frame),
        columns=len(frame.columns),
        inferred=made,
        checks=checks,
        path=str(path),
        digest=contract.digest,
        data_sha256=mark.sha256,
        at=stamp(now),
        run=run,
        hints=seen,
    )


def kinds_of(project: Project, name: str) -> dict[str, Kind]:
    """What a file of rows is read by: the types of the contract, if there is one."""
    path = contracts.path_of(project.root, name)
    rules = contracts.read(path).columns if path.exists() else {}
    return {c: contracts.KIND_OF_TYPE[rule.type] for c, rule in rules.items() if rule.type != "any"}


def _profiled(
    project: Project,
    frame: pd.DataFrame,
    contract: contracts.Contract,
    name: str,
    file: Path,
    progress: Progress,
) -> tuple[Checked, ...]:
    """Writes the data's whylogs profile, and judges it by the constraints of contract and reference profile."""
    from mlops_workbench.data import profiles

    blob = profiles.profile(frame, progress)
    _whole(file, blob)
    found = profiles.judge(blob, contract, profiles.newest(project, name))
    return tuple(
        Checked(column, f"profile: {rule}", f"profile: not {rule}", "warn", held, None, None, kind="profile")
        for column, rule, held in found
    )


def writable(file: str | None) -> Path | None:
    """The path, once it is clear that something can be written there. Raises `NotFound`."""
    if file is None:
        return None
    path = Path(file).expanduser()
    if not path.parent.is_dir():
        raise NotFound(f"There is no folder '{path.parent}' to write '{path.name}' into.", "Make it first.")
    return path


def write_page(report: ContractReport, path: Path) -> None:
    _whole(path, report.page().encode())


def _whole(path: Path, content: bytes) -> None:
    """Seen whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_bytes(content)
    draft.replace(path)


def artifacts(report: ContractReport) -> dict[str, str]:
    """What is kept with the run: the page, and the same as JSON."""
    return {
        f"contracts/{report.contract}.html": report.page(),
        f"contracts/{report.contract}.json": json.dumps(report.to_dict(), indent=1, ensure_ascii=False),
    }


def sentence(report: ContractReport) -> str:
    first, errors = report.errors[0], len(report.errors)
    place = f"column '{first.column}'" if first.column else TABLE
    return (
        f"'{report.data}' breaks the contract '{report.contract}': {place}: {first.check} "
        f"({first.count or 0:,} rows); {errors} error{'s' * (errors != 1)} in all."
    )
