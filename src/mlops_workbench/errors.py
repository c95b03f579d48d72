"""The errors that verbs raise: what a notebook or script catches."""

from __future__ import annotations

from mlops_workbench.base.errors import (
    BaseImageUnavailable,
    BuildFailed,
    Conflict,
    ContractViolation,
    Damaged,
    Drifted,
    EngineUnavailable,
    GateFailed,
    InvalidConfig,
    InvalidData,
    InvalidModel,
    JobFailed,
    MissingDependency,
    MlopsError,
    NotFound,
    NotPassed,
    ServingFailed,
    StoreUnavailable,
    UnexpectedError,
    UsageError,
)

__all__ = [
    "BaseImageUnavailable",
    "BuildFailed",
    "Conflict",
    "ContractViolation",
    "Damaged",
    "Drifted",
    "EngineUnavailable",
    "GateFailed",
    "InvalidConfig",
    "InvalidData",
    "InvalidModel",
    "JobFailed",
    "MissingDependency",
    "MlopsError",
    "NotFound",
    "NotPassed",
    "ServingFailed",
    "StoreUnavailable",
    "UnexpectedError",
    "UsageError",
]
