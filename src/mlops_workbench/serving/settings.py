"""The environment variables of a serving process, in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from mlops_workbench.manifest import Manifest
from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane, read_manifest
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.follower import Follow, same_requirements
from mlops_workbench.serving.keys import Keys
from mlops_workbench.serving.pointer import Pointer, Target
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.privacy import Privacy
from mlops_workbench.serving.protocols.vertex import VertexRoutes
from mlops_workbench.summary import reference
from mlops_workbench.summary.reference import DataReference

logger = logging.getLogger("mlops_workbench.serving")

_PORTS = ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT")
"""a platform's own variable counts before the image's"""


@dataclass(frozen=True, slots=True)
class Settings:
    model_dir: Path
    name: str
    version: str
    digest: str | None
    """SHA-256 that the registry recorded; None leaves the manifest's own"""
    role: str
    log_url: str | None
    """SQLAlchemy URL of the inference log; None serves without one"""
    host: str
    port: int
    limits: Limits
    grace_seconds: float
    """that requests in flight get when the process is asked to end"""
    answer_unlogged: bool
    power: bool
    """whether the log's commits survive a power cut, not only the process"""
    privacy: Privacy
    keys: Keys | None
    vertex_routes: VertexRoutes
    fast: bool = True
    """whether a proven fast path is used"""
    follow: Path | None = None
    """the pointer file that says which version to serve (`pointer`)"""
    any_requirements: bool = False
    """whether versions with other locked requirements than the first are followed: what is installed is not just its"""
    fast_only: bool = False
    """whether the fast path is all there is: an image without the original model"""
    take_port: int | None = None
    """listened on as well as soon as it is free: what is replaced holds it until then"""
    plan_digest: str | None = None
    """SHA-256 of the fast path's plan that the registry recorded; None leaves the manifest's own"""
    manifest_digest: str | None = None
    """SHA-256 of `workbench.json` that the registry recorded; None leaves it unchecked"""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Raises ModelRefused if a variable is missing or does not fit."""

        def needed(name: str) -> str:
            if value := env.get(name):
                return value
            raise ModelRefused(f"The environment variable {name} is not set.", "Set it and start again.")

        return cls(
            model_dir=Path(needed("MLOPS_MODEL_DIR")),
            name=needed("MLOPS_MODEL_NAME"),
            version=needed("MLOPS_MODEL_VERSION"),
            digest=env.get("MLOPS_MODEL_DIGEST") or None,
            role=env.get("MLOPS_ROLE") or "champion",
            log_url=env.get("MLOPS_LOG_URL") or None,
            take_port=int(env["MLOPS_TAKE_PORT"]) if env.get("MLOPS_TAKE_PORT") else None,
            host=env.get("HOST") or "127.0.0.1",
            port=_port(env),
            limits=_limits(env),
            grace_seconds=_number(env, "MLOPS_GRACE_SECONDS", 30),
            answer_unlogged=_choice(env, "MLOPS_LOG_FAILURE", ("refuse", "answer")) == "answer",
            power=_choice(env, "MLOPS_LOG_DURABILITY", ("process", "power")) == "power",
            privacy=Privacy.from_env(env),
            keys=Keys.from_env(env),
            vertex_routes=VertexRoutes.from_env(env),
            fast=_choice(env, "MLOPS_FAST", ("1", "0")) == "1",
            follow=Path(env["MLOPS_FOLLOW"]) if env.get("MLOPS_FOLLOW") else None,
            any_requirements=_choice(env, "MLOPS_FOLLOW_REQUIREMENTS", ("same", "any")) == "any",
            fast_only=_choice(env, "MLOPS_FAST_ONLY", ("0", "1")) == "1",
            plan_digest=env.get("MLOPS_PLAN_DIGEST") or None,
            manifest_digest=env.get("MLOPS_MANIFEST_DIGEST") or None,
        )


def app_from(settings: Settings) -> FastAPI:
    """Loads, verifies and warms the model, opens the log. Raises ModelRefused or LogRefused."""
    own = Target(
        settings.version,
        settings.digest or "",
        "",
        plan=settings.plan_digest or "",
        manifest=settings.manifest_digest or "",
    )
    if settings.follow is None:
        dataplane, log = _loaded(settings, settings.model_dir, own)
        return _app(settings, dataplane, log, None)
    follow = _follow(settings, settings.follow, own)
    dataplane, log = follow.load(follow.served)
    return _app(settings, dataplane, log, follow)


def _app(
    settings: Settings, dataplane: DataPlane, log: PredictionLog | None, follow: Follow | None
) -> FastAPI:
    return create_app(
        dataplane,
        log,
        AppOptions(
            settings.role,
            settings.limits,
            settings.keys,
            settings.vertex_routes,
            settings.answer_unlogged,
        ),
        follow=follow,
    )


def _loaded(settings: Settings, folder: Path, target: Target) -> tuple[DataPlane, PredictionLog | None]:
    dataplane = DataPlane.load(
        folder,
        name=settings.name,
        version=target.version,
        digests=target.digests,
        fast=settings.fast,
        fast_only=settings.fast_only,
    )
    dataplane.warm()
    settings.privacy.fits(dataplane.manifest)
    if not settings.log_url:
        return dataplane, None
    log = PredictionLog(
        settings.log_url, dataplane.manifest, settings.name, settings.privacy, power=settings.power
    )
    if (known := _reference(folder, dataplane.manifest)) is not None:
        log.count_windows(known, target.version)
    return dataplane, log


def _reference(folder: Path, manifest: Manifest) -> DataReference | None:
    """None for a version that was registered without, and one whose reference was changed: it decides no answer."""
    try:
        return reference.load(folder, manifest.extra.get("reference"))
    except (OSError, ValueError, TypeError, KeyError) as problem:
        logger.warning("no windows", extra={"facts": {"why": str(problem)[:300]}})
        return None


def _follow(settings: Settings, path: Path, own: Target) -> Follow:
    """What the pointer says at the start is what is served first: after a restart, too, nothing but the champion
    answers. Where no pointer is yet, the model of the variables is. Raises ModelRefused."""
    alias, served = settings.role, own
    with suppress(FileNotFoundError):
        pointer = Pointer.read(path)
        if pointer.model != settings.name:
            raise ModelRefused(
                f"'{path}' is of the model '{pointer.model}', not of '{settings.name}'.", "Name another file."
            )
        alias, served = pointer.alias, pointer.current

    def load(target: Target) -> tuple[DataPlane, PredictionLog | None]:
        folder = path.parent / target.folder if target.folder else settings.model_dir
        if not settings.any_requirements:
            same_requirements(
                read_manifest(settings.model_dir, own.digests.manifest),
                read_manifest(folder, target.digests.manifest),
            )
        return _loaded(settings, folder, target)

    return Follow(path, load, alias, served)


def _port(env: Mapping[str, str]) -> int:
    name = next((n for n in _PORTS if env.get(n)), "PORT")
    port = env.get(name) or "8080"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ModelRefused(f"{name} must be a number from 0 to 65535. Got '{port}' instead.")
    return int(port)


def _limits(env: Mapping[str, str]) -> Limits:
    usual = Limits()
    body = int(_number(env, "MLOPS_MAX_BODY_MB", usual.body_bytes / (1 << 20)) * (1 << 20))
    rows = int(_number(env, "MLOPS_MAX_ROWS", usual.request_rows))
    waiting = int(_number(env, "MLOPS_MAX_WAITING_ROWS", usual.waiting_rows))
    return Limits(
        request_rows=rows,
        body_bytes=body,
        waiting_rows=waiting,
        held_bytes=max(usual.held_bytes, 2 * body),
        request_seconds=_number(env, "MLOPS_TIMEOUT_SECONDS", usual.request_seconds),
    )


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ModelRefused(f"{name} must be a number above 0. Got '{text}' instead.")
    return value


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = env.get(name) or choices[0]
    if text not in choices:
        raise ModelRefused(f"{name} must be {' or '.join(choices)}. Got '{text}' instead.")
    return text
