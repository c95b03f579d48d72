"""Deployments that were started, with their live state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import select, update

from mlops_workbench.errors import NotFound, closest
from mlops_workbench.rollout import deployments as running
from mlops_workbench.rollout.deployments import Deployment
from mlops_workbench.store.database import Row, Store
from mlops_workbench.store.tables import deployments, now
from mlops_workbench.values import Value


@dataclass(frozen=True)
class DeploymentList(Value):
    """What serves now."""

    deployments: tuple[Deployment, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["model", "version", "state", "kind", "url", "since"], [
            [d.model, d.version, d.state, d.kind, d.url, d.started_at] for d in self.deployments
        ]


def keep(store: Store, deployment: Deployment) -> None:
    with store.write() as connection:
        connection.execute(
            deployments.insert().values(
                id=deployment.id,
                model=deployment.model,
                version=int(deployment.version),
                at=now(),
                deployment=deployment.to_dict(),
            )
        )


def end(store: Store, deployment: Deployment) -> None:
    with store.write() as connection:
        connection.execute(update(deployments).where(deployments.c.id == deployment.id).values(ended=now()))


def current(store: Store, model: str | None = None) -> tuple[Deployment, ...]:
    """Deployments that were not stopped, newest first, with the state they are in now."""
    statement = select(deployments).where(deployments.c.ended.is_(None)).order_by(deployments.c.at.desc())
    if model is not None:
        statement = statement.where(deployments.c.model == model)
    found = (_deployment(row) for row in store.rows(statement))
    return tuple(replace(d, state=running.alive(d)) for d in found)


def require(store: Store, model: str) -> Deployment:
    """The deployment that serves a model. Raises `NotFound`."""
    for deployment in current(store, model):
        if deployment.state in ("ready", "starting"):
            return deployment
    served = sorted({d.model for d in current(store) if d.state == "ready"})
    raise NotFound(f"Nothing serves '{model}'.", closest(model, served) or "Serve it first.")


def of_version(store: Store, model: str, version: int) -> list[Mapping[str, Any]]:
    """All deployments that a version ever had, oldest first: id, kind, url, at, ended."""
    statement = (
        select(deployments)
        .where(deployments.c.model == model, deployments.c.version == version)
        .order_by(deployments.c.at)
    )
    return [
        {"id": r["id"], "at": r["at"], "ended": r["ended"]} | {k: r["deployment"][k] for k in ("kind", "url")}
        for r in store.rows(statement)
    ]


def _deployment(row: Row) -> Deployment:
    known = {f.name for f in fields(Deployment)}
    return Deployment(**{k: v for k, v in row["deployment"].items() if k in known})
