"""The environment variables of a serving process, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from mlops_workbench.serving.app import create_app
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.predlog import PredictionLog


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
    fast: bool = True
    """whether a proven fast path is used"""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Raises ModelRefused if a variable is missing or does not fit."""

        def needed(name: str) -> str:
            if value := env.get(name):
                return value
            raise ModelRefused(f"The environment variable {name} is not set.", "Set it and start again.")

        port = env.get("PORT") or "8080"
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ModelRefused(f"PORT must be a number from 0 to 65535. Got '{port}' instead.")
        fast = env.get("MLOPS_FAST") or "1"
        if fast not in ("0", "1"):
            raise ModelRefused(f"MLOPS_FAST must be 0 or 1. Got '{fast}' instead.")
        return cls(
            model_dir=Path(needed("MLOPS_MODEL_DIR")),
            name=needed("MLOPS_MODEL_NAME"),
            version=needed("MLOPS_MODEL_VERSION"),
            digest=env.get("MLOPS_MODEL_DIGEST") or None,
            role=env.get("MLOPS_ROLE") or "champion",
            log_url=env.get("MLOPS_LOG_URL") or None,
            host=env.get("HOST") or "127.0.0.1",
            port=int(port),
            fast=fast == "1",
        )


def app_from(settings: Settings) -> FastAPI:
    """Loads, verifies and warms the model, opens the log. Raises ModelRefused or LogRefused."""
    dataplane = DataPlane.load(
        settings.model_dir,
        name=settings.name,
        version=settings.version,
        digest=settings.digest,
        fast=settings.fast,
    )
    dataplane.warm()
    log = PredictionLog(settings.log_url, dataplane.manifest, settings.name) if settings.log_url else None
    return create_app(dataplane, log, role=settings.role)
