"""What a serving process is started with: variables made of `[serving]`, and the keys that callers show."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.config.serving import ServingPolicy

KEYS, KEYS_FILE, HASH_KEY = "MLOPS_API_KEYS", "MLOPS_API_KEYS_FILE", "MLOPS_LOG_HASH_KEY"
FOLLOW = "MLOPS_FOLLOW"
"""file that says which version to serve"""


def variables(policy: ServingPolicy, root: Path) -> dict[str, str]:
    """Secrets come from the environment of the process that starts it, or are in files."""
    found = {
        "MLOPS_FAST": "1" if policy.fast else "0",
        "MLOPS_MAX_BODY_MB": str(policy.max_body_mb),
        "MLOPS_MAX_ROWS": str(policy.max_rows),
        "MLOPS_MAX_WAITING_ROWS": str(policy.max_waiting_rows),
        "MLOPS_TIMEOUT_SECONDS": str(policy.timeout_seconds),
        "MLOPS_GRACE_SECONDS": str(policy.grace_seconds),
        "MLOPS_LOG_FAILURE": policy.when_log_fails,
        "MLOPS_LOG_DURABILITY": policy.durability,
        "MLOPS_LOG_EXCLUDE": "\n".join(policy.log_exclude),
        "MLOPS_LOG_HASH": "\n".join(policy.log_hash),
    }
    found |= {name: os.environ[name] for name in (KEYS, HASH_KEY) if os.environ.get(name)}
    if file := keys_file(policy, root):
        found[KEYS_FILE] = str(file)
    return found


def keys_file(policy: ServingPolicy, root: Path) -> Path | None:
    name = os.environ.get(KEYS_FILE) or policy.api_keys_file
    return (root / Path(name).expanduser()).absolute() if name else None


def without_keys(variables: Mapping[str, str], folder: Path, owner: int | None) -> dict[str, str]:
    """For a container, whose environment everybody reads who may ask the engine: its API keys are in a file.

    `folder`: of this deployment's model, made for the one who runs in the container (`owner`; None: ourselves). Keys
    beside a file of keys stay: the runtime reads one file.
    """
    found = dict(variables)
    if KEYS_FILE in found or not (keys := found.pop(KEYS, "")):
        return dict(variables)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "api-keys"
    draft = folder / f".{os.getpid()}.draft"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(keys.replace(",", "\n") + "\n")
    for path in (folder, draft):
        path.chmod(0o700 if path is folder else 0o600)
        if owner is not None:
            os.chown(path, owner, owner)
    draft.replace(file)
    return found | {KEYS_FILE: str(file)}


def api_key(policy: ServingPolicy, root: Path) -> str | None:
    """The key of the workbench's own requests: the first that is set, if any is. Raises `InvalidConfig`."""
    file = keys_file(policy, root)
    try:
        lines = file.read_text("utf-8").splitlines() if file else []
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidConfig(f"The file of API keys {file} cannot be read: {problem}.") from None
    found = [*os.environ.get(KEYS, "").split(","), *lines]
    return next((k.strip() for k in found if k.strip() and not k.strip().startswith("#")), None)


def without_platform(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a runtime that we start, without what a platform or a person set for another one."""
    foreign = (
        "MLOPS_FAST",
        "MLOPS_FOLLOW",
        "MLOPS_PLAN_",
        "MLOPS_MANIFEST_",
        "MLOPS_MAX_",
        "MLOPS_LOG_",
        "MLOPS_API_KEYS",
        "AIP_",
        "SAGEMAKER_BIND_",
    )
    return {name: value for name, value in environ.items() if not name.startswith(foreign)}
