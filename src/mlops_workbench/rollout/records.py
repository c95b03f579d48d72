"""Deployments that were started, with their live state."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.registry.origin import DeploymentPeriod
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.rollout.runtime.liveness import alive
from mlops_workbench.store.engine import Store

if TYPE_CHECKING:
    from sqlalchemy import Insert


@dataclass(frozen=True)
class Live(Value):
    """A deployment and the state it is in now: ready, starting, stopped or failed."""

    deployment: Deployment
    state: str
    changed: str = ""
    """what is different from what it replaced, for a person"""

    @property
    def model(self) -> str:
        return self.deployment.model

    @property
    def version(self) -> str:
        return self.deployment.version

    @property
    def url(self) -> str:
        return self.deployment.url

    @property
    def limits(self) -> str | None:
        """What a container may use; None for a process."""
        if self.deployment.memory is None:
            return None
        return f"{self.deployment.memory}, {self.deployment.cpus:g} cores"

    def to_dict(self) -> dict[str, Any]:
        return self.deployment.to_dict() | {"state": self.state, "changed": self.changed}

    @property
    def title(self) -> str:
        if self.state != "ready":
            return f"Version {self.version} of '{self.model}' at {self.url}: {self.state}."
        how: str = self.deployment.kind
        if self.deployment.follows:
            how += f", follows {self.deployment.follows}"
        return f"Version {self.version} of '{self.model}' answers at {self.url} ({how})."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        if self.state != "ready":
            return ["", ""], []
        return ["", ""], [
            ["ask it", f"POST {self.url}/predict"],
            ["try it", f"{self.url}/docs"],
            ["health", f"{self.url}/health/ready"],
            ["metrics", f"{self.url}/metrics"],
            *([["may use", self.limits]] if self.limits else []),
            *([["changed", self.changed]] if self.changed else []),
        ]

    def text(self) -> str:
        return super().text() if self.state == "ready" else self.title


@dataclass(frozen=True)
class DeploymentList(Value):
    """What serves now."""

    deployments: tuple[Live, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["model", "version", "follows", "state", "kind", "limits", "url", "since"], [
            [
                *(d.model, d.version, d.deployment.follows, d.state, d.deployment.kind, d.limits, d.url),
                d.deployment.started_at,
            ]
            for d in self.deployments
        ]


def keep(store: Store, deployment: Deployment) -> None:
    with store.write() as connection:
        connection.execute(_inserted(store, deployment))


def _inserted(store: Store, deployment: Deployment) -> Insert:
    from mlops_workbench.rollout.tables import deployments

    return deployments.insert().values(
        id=deployment.id,
        model=deployment.model,
        version=int(deployment.version),
        at=store.now(),
        deployment=deployment.to_dict(),
    )


def moved(store: Store, deployment: Deployment, version: str, digest: str) -> Deployment:
    """It serves another version from now on: a record of its own, so that each version has its deployments."""
    from sqlalchemy import update

    from mlops_workbench.rollout.tables import deployments

    after = replace(
        deployment, id=uuid.uuid4().hex[:12], version=version, digest=digest, started_at=store.clock.now()
    )
    ended = update(deployments).where(deployments.c.id == deployment.id, deployments.c.ended.is_(None))
    with store.write() as connection:
        if connection.execute(ended.values(ended=store.now())).rowcount:  # else somebody else has recorded it
            connection.execute(_inserted(store, after))
    return after


def readdressed(store: Store, deployment: Deployment) -> None:
    """It answers at another address than was recorded."""
    from sqlalchemy import update

    from mlops_workbench.rollout.tables import deployments

    with store.write() as connection:
        connection.execute(
            update(deployments)
            .where(deployments.c.id == deployment.id)
            .values(deployment=deployment.to_dict())
        )


def following(store: Store, model: str | None = None, alias: str | None = None) -> tuple[Deployment, ...]:
    """Deployments that follow an alias and were not stopped, whatever state they are in."""
    return tuple(d for d in _unended(store, model) if d.follows and (alias is None or d.follows == alias))


def end(store: Store, deployment: Deployment) -> None:
    from sqlalchemy import update

    from mlops_workbench.rollout.tables import deployments

    with store.write() as connection:
        connection.execute(
            update(deployments).where(deployments.c.id == deployment.id).values(ended=store.now())
        )


def current(store: Store, model: str | None = None) -> tuple[Live, ...]:
    """Deployments that were not stopped, newest first, with the state they are in now."""
    return tuple(Live(d, alive(d, store.clock.now())) for d in _unended(store, model))


def _unended(store: Store, model: str | None) -> list[Deployment]:
    sql = "SELECT model, deployment FROM workbench_deployments WHERE ended IS NULL ORDER BY at DESC"
    found = store.read(sql, {}, ["deployment"])
    return [Deployment.from_dict(dict(row["deployment"])) for row in found if model in (None, row["model"])]


def require(store: Store, model: str) -> Deployment:
    """The deployment that serves a model. Raises `NotFound`."""
    for live in current(store, model):
        if live.state in ("ready", "starting"):
            return live.deployment
    served = sorted({d.model for d in current(store) if d.state == "ready"})
    raise NotFound(
        f"Nothing serves '{model}'.", closest(model, served) or f"Serve it first: `serve {model}`."
    )


def of_version(store: Store, model: str, version: int) -> tuple[DeploymentPeriod, ...]:
    """All deployments that a version ever had, oldest first."""
    sql = "SELECT * FROM workbench_deployments WHERE model = :model AND version = :version ORDER BY at"
    found = store.read(sql, {"model": model, "version": version}, ["deployment"])
    return tuple(
        DeploymentPeriod(r["id"], r["deployment"]["kind"], r["deployment"]["url"], r["at"], r["ended"])
        for r in found
    )
