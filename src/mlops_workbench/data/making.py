"""Contracts made from data or from a suite, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import NotFound, closest
from mlops_workbench.config.project import Project
from mlops_workbench.data import contracts, validations
from mlops_workbench.data.frames import fingerprint
from mlops_workbench.data.sheet import ContractSheet
from mlops_workbench.store.context import Context
from mlops_workbench.store.engine import Store

if TYPE_CHECKING:
    import pandas as pd


def require_free(project: Project, name: str, replace: bool) -> None:
    """Raises `Conflict` before any work is done; writing looks again."""
    path = contracts.path_of(project.root, name)
    if path.exists() and not replace:
        raise contracts.taken(path)


def show(project: Project, store: Store, name: str) -> ContractSheet:
    """The contract as its file says now, with the last validations. Raises `NotFound`, `InvalidConfig`."""
    from mlops_workbench.data import profiles

    path = contracts.path_of(project.root, name)
    if not path.exists():
        raise NotFound(
            f"There is no contract '{name}'.",
            closest(name, contracts.names(project.root)) or "Make one from data.",
        )
    contract = contracts.read(path)
    reference = profiles.newest(project, name)
    return ContractSheet(
        contract,
        str(path),
        profile=str(reference or ""),
        constraints=_constraints(contract, reference),
        validations=validations.of_contract(store, name),
    )


def from_suite(project: Project, name: str, file: Path, *, replace: bool) -> ContractSheet:
    """Raises `NotFound`, `InvalidData`, `Conflict`."""
    from mlops_workbench.data import expectations, profiles

    imported = expectations.read_suite(file, name)
    path = contracts.path_of(project.root, name)
    contracts.write(imported.contract, path, replace=replace)
    profiles.forget(project, name)
    total = imported.carried + len(imported.left_out)
    source = f"imported from '{file.name}' ({imported.carried} of {total} expectations)"
    return ContractSheet(imported.contract, str(path), source, left_out=imported.left_out)


def from_data(
    context: Context,
    name: str,
    frame: pd.DataFrame,
    data: str,
    *,
    replace: bool,
) -> ContractSheet:
    """Infers the contract and, where whylogs is installed, profiles the data. Raises `InvalidData`, `Conflict`."""
    from mlops_workbench.data import hints, inferring, profiles

    project, progress, now = context.project, context.progress, context.store.clock.now()
    fingerprint(frame, data)  # what no file can hold is said before one is written
    contract = inferring.infer_usable(frame, data, name, now=now, progress=progress)
    blob = profiles.profile(frame, progress) if profiles.available() else None
    path = contracts.path_of(project.root, name)
    contracts.write(contract, path, replace=replace)
    profile = profiles.keep(project, name, contract.digest, blob) if blob else None
    source = f"inferred from '{data}' ({len(frame):,} rows × {len(frame.columns)} columns)"
    return ContractSheet(
        contract,
        str(path),
        source,
        profile=str(profile or ""),
        no_profile="" if blob else profiles.MISSING,
        constraints=_constraints(contract, profile),
        hints=hints.hints(frame),
    )


def _constraints(contract: contracts.Contract, profile: Path | None) -> tuple[str, ...]:
    from mlops_workbench.data import profiles

    if profile is None or not profiles.available():
        return ()
    return tuple(f"{one.column}: {one.rule}" for one in profiles.constraints(contract, profile))
