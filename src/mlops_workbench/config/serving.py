"""`[serving]` of `mlops.toml`: limits, what the log may hold, who may ask; and the variables that tell the runtime."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.manifest import Manifest

KEYS, KEYS_FILE, HASH_KEY = "MLOPS_API_KEYS", "MLOPS_API_KEYS_FILE", "MLOPS_LOG_HASH_KEY"
FOLLOW = "MLOPS_FOLLOW"
"""file that says which version to serve"""
MEMORY, CPUS = "2g", 1.0
LONGEST_GRACE = 30
"""seconds; `stop` waits a little longer, then kills"""


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """`[serving]`: how a served model treats its callers and its log. Secrets never stand here."""

    fast: bool = True
    """whether a version's proven fast path answers"""
    max_body_mb: float = 32.0
    max_rows: int = 10_000
    """of one request"""
    max_waiting_rows: int = 20_000
    """of all requests that wait; beyond it 503"""
    timeout_seconds: float = 30.0
    """for one request"""
    grace_seconds: float = 30.0
    """for requests in flight when the service is stopped"""
    when_log_fails: str = "refuse"
    """or "answer": answered, and counted in /metrics"""
    log_exclude: tuple[str, ...] = ()
    """columns that the log never holds"""
    log_hash: tuple[str, ...] = ()
    """columns of texts that the log holds as HMAC-SHA256"""
    api_keys_file: str = ""
    """a file with a key a line, relative to the project; read again when it changes"""
    memory: str = MEMORY
    """that a container may use"""
    cpus: float = CPUS
    """cores that a container may use"""


def faults(policy: ServingPolicy) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it)"""
    for key in ("max_body_mb", "max_rows", "max_waiting_rows", "timeout_seconds", "grace_seconds"):
        if not getattr(policy, key) > 0:
            yield f"[serving] {key}", f"must be above 0. Got {getattr(policy, key)!r} instead"
    if policy.grace_seconds > LONGEST_GRACE:
        yield (
            "[serving] grace_seconds",
            f"must be at most {LONGEST_GRACE}. Got {policy.grace_seconds!r} instead",
        )
    if policy.when_log_fails not in ("refuse", "answer"):
        yield (
            "[serving] when_log_fails",
            f'must be "refuse" or "answer". Got {policy.when_log_fails!r} instead',
        )
    for check, said in ((as_memory, policy.memory), (as_cpus, str(policy.cpus))):
        try:
            check(said)
        except ValueError as problem:
            yield f"[serving] {check.__name__.removeprefix('as_')}", str(problem)
    for name in (*policy.log_exclude, *policy.log_hash):
        if not name or "\n" in name:
            yield "[serving] log_exclude and log_hash", f"must hold names of columns. Got {name!r} instead"


def as_memory(said: str) -> str:
    """`512m`, `2g`: at least 64 MB, with which nothing of ours starts any more. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,6})([kmg])b?", said.strip().lower())
    if found is None or int(found[1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[found[2]] < 64 << 20:
        raise ValueError(f"must be memory from 64m up, such as 512m or 2g. Got '{said}' instead")
    return f"{int(found[1])}{found[2]}"


def as_cpus(said: str) -> float:
    """`0.5`, `2`. Raises ValueError; how many there are is the engine's to know."""
    try:
        value = float(said)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1024:
        raise ValueError(f"must be a number of cores from 0.01 up, such as 0.5 or 2. Got '{said}' instead")
    return value


def environment(policy: ServingPolicy, root: Path) -> dict[str, str]:
    """What a serving process is told. Secrets come from the environment of whoever starts it, or are in files."""
    told = {
        "MLOPS_FAST": "1" if policy.fast else "0",
        "MLOPS_MAX_BODY_MB": str(policy.max_body_mb),
        "MLOPS_MAX_ROWS": str(policy.max_rows),
        "MLOPS_MAX_WAITING_ROWS": str(policy.max_waiting_rows),
        "MLOPS_TIMEOUT_SECONDS": str(policy.timeout_seconds),
        "MLOPS_GRACE_SECONDS": str(policy.grace_seconds),
        "MLOPS_LOG_FAILURE": policy.when_log_fails,
        "MLOPS_LOG_EXCLUDE": "\n".join(policy.log_exclude),
        "MLOPS_LOG_HASH": "\n".join(policy.log_hash),
    }
    told |= {name: os.environ[name] for name in (KEYS, HASH_KEY) if os.environ.get(name)}
    if file := keys_file(policy, root):
        told[KEYS_FILE] = str(file)
    return told


def keys_file(policy: ServingPolicy, root: Path) -> Path | None:
    said = os.environ.get(KEYS_FILE) or policy.api_keys_file
    return (root / Path(said).expanduser()).absolute() if said else None


def key(policy: ServingPolicy, root: Path) -> str | None:
    """A key that the workbench's own requests show: the first that is set, if any is. Raises InvalidConfig."""
    file = keys_file(policy, root)
    try:
        lines = file.read_text("utf-8").splitlines() if file else []
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidConfig(f"The file of API keys {file} cannot be read: {problem}.") from None
    found = [*os.environ.get(KEYS, "").split(","), *lines]
    return next((k.strip() for k in found if k.strip() and not k.strip().startswith("#")), None)


def without_platform(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a runtime that we start: what a platform or a person set for another one stays out."""
    foreign = (
        "MLOPS_FAST",
        "MLOPS_FOLLOW",
        "MLOPS_PLAN_",
        "MLOPS_MAX_",
        "MLOPS_LOG_",
        "MLOPS_API_KEYS",
        "AIP_",
        "SAGEMAKER_BIND_",
    )
    return {name: value for name, value in environ.items() if not name.startswith(foreign)}


def readable(manifest: Manifest, policy: ServingPolicy) -> Manifest:
    """Without the columns of which the log does not hold what was asked: they must not look drifted."""
    hidden = {*policy.log_exclude, *policy.log_hash}
    return dataclasses.replace(manifest, inputs=tuple(f for f in manifest.inputs if f.name not in hidden))
