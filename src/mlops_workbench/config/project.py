"""A project: one folder with `mlops.toml` (policy, in git) and `.mlops/` (state, ignored by git).

Policy is what a team reviews: gate, names, base image. Where things are kept can also be set by the
environment, so that the same notebook runs on a laptop and in a job without an edit.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from mlops_workbench.base.errors import Conflict, InvalidConfig, NotFound, UsageError, closest
from mlops_workbench.base.values import Value, is_number
from mlops_workbench.config.gate import GatePolicy as GatePolicy
from mlops_workbench.config.gate import faults
from mlops_workbench.config.serving import ServingPolicy as ServingPolicy
from mlops_workbench.config.serving import faults as serving_faults

FILE_NAME = "mlops.toml"
STATE = ".mlops"
ARTIFACTS = "artifacts"
DEFAULT_BASE_IMAGE = "python:3.11-slim"


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """`[approval]`: whose word a version needs, besides a green gate, before it may become champion."""

    required: int = 0
    """how many different people must have approved it; 0: none"""
    second_person: bool = True
    """whether the word of the one who registered the version does not count"""
    expires_days: int = 14
    """an approval older than this counts no more"""


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """`[stores]`: URLs that move the records elsewhere; empty: inside `.mlops/`."""

    tracking: str = ""
    workbench: str = ""
    inference: str = ""
    artifacts: str = ""


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """`[image]`: how serving images are built."""

    base: str = DEFAULT_BASE_IMAGE


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """`[drift]`: PSI from which a feature is watched, and from which it has drifted."""

    warn: float = 0.1
    drift: float = 0.2


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole of `mlops.toml`, every key checked."""

    name: str
    gate: GatePolicy = field(default_factory=GatePolicy)
    approval: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    stores: StorePolicy = field(default_factory=StorePolicy)
    image: ImagePolicy = field(default_factory=ImagePolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    serving: ServingPolicy = field(default_factory=ServingPolicy)

    @property
    def governance(self) -> str:
        """SHA-256 over what decides who may become champion: `[gate]` and `[approval]`. An approval names it."""
        decides = {"gate": asdict(self.gate), "approval": asdict(self.approval)}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


TEMPLATE = """\
# Policy of this project: kept in git, reviewed like code.
[project]
name = "{name}"

[gate]
# metric = "roc_auc"         # decides; default by task: roc_auc, balanced_accuracy or rmse
tolerance = 0.02             # how much worse than the champion is still accepted: 2 % of its figure
confidence = 0.9             # of the bootstrap interval of the gain, which must lie above that
first_version = "refuse"     # passes only by `gate --first`; "allow": always while there is no champion

[gate.thresholds]
# roc_auc = 0.6              # at least this for scores, at most this for errors

# [gate.regression]          # cases that must stay right: inputs and `expected`
# cases = "contracts/cases.csv"

# [gate.slices]              # the worst slice may be 10 % worse than the whole
# columns = ["carrier"]
# tolerance = 0.1

# [gate.fairness]            # Fairlearn's metrics, by a column that the model need not read
# column = "sex"
# metric = "demographic_parity_difference"
# limit = 0.1

# [gate.latency]             # measured on the serving runtime, over HTTP
# p99_ms = 50
# memory_mb = 500

[approval]
required = 0                 # people who must approve a version, besides a green gate
# second_person = true       # the one who registered it does not count
# expires_days = 14

[drift]
warn = 0.1                   # PSI from which a feature is watched
drift = 0.2                  # PSI from which a feature has drifted

# [serving]                  # limits of one request, the log, and who may ask
# max_rows = 10000           # also max_body_mb, max_waiting_rows, timeout_seconds, grace_seconds
# fast = true                # a proven fast path answers; false: always the original model
# when_log_fails = "refuse"  # "answer": answered and counted when the log cannot be written
# log_exclude = ["name"]     # columns that the log never holds; log_hash: only as a hash
# api_keys_file = "keys.txt" # a key a line, not in git; or the variable MLOPS_API_KEYS
# memory = "2g"              # of a container, and its cores
# cpus = 1.0

[image]
# base = "{base}"

# [stores]                   # default: SQLite and files inside .mlops/
# tracking = "postgresql+psycopg://…"
"""


@dataclass(frozen=True)
class Project(Value):
    """The folder, its policy, and where each record lives."""

    root: Path
    policy: Policy
    created: bool = False

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def state(self) -> Path:
        return self.root / STATE

    def folder(self, *parts: str) -> Path:
        """A folder below `.mlops/`, made if it is not there."""
        path = self.state.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def tracking_url(self) -> str:
        return self._url("MLOPS_TRACKING_URL", self.policy.stores.tracking, "mlflow.db")

    @property
    def store_url(self) -> str:
        return self._url("MLOPS_STORE_URL", self.policy.stores.workbench, "workbench.db")

    @property
    def inference_url(self) -> str:
        return self._url("MLOPS_INFERENCE_URL", self.policy.stores.inference, "inference/inference.db")

    @property
    def artifact_root(self) -> str:
        given = os.environ.get("MLOPS_ARTIFACT_ROOT") or self.policy.stores.artifacts
        return given or self.folder(ARTIFACTS).as_uri()

    @property
    def base_image(self) -> str:
        return os.environ.get("MLOPS_BASE_IMAGE") or self.policy.image.base

    def _url(self, variable: str, policy: str, file: str) -> str:
        if given := os.environ.get(variable) or policy:
            return given
        path = self.state / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{path}"

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "root": str(self.root), "created": self.created}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [
            ["project", self.name],
            ["policy", self.root / FILE_NAME],
            ["state", self.state],
        ]

    @property
    def title(self) -> str:
        return f"Project '{self.name}' {'made' if self.created else 'is already here'}."


def user() -> str:
    """Who acts: `MLOPS_USER`, else the login name."""
    try:
        return os.environ.get("MLOPS_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container may run under a uid without a name
        return f"uid {os.getuid()}"


def check_name(name: str, what: str) -> str:
    """Names stand in URLs, file names and image tags. Raises `UsageError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"The name of a {what} must be 1 to 100 letters, digits, '.', '_' or '-', "
            f"beginning with a letter or digit. Got {name!r} instead."
        )
    return name


@dataclass(frozen=True, slots=True)
class Reference:
    """A model, and a version of it by number or alias if one was said."""

    model: str
    version: int | None = None
    alias: str | None = None


def reference(name: str, version: int | None = None) -> Reference:
    """`NAME`, `NAME/3` or `NAME@alias`, and a version said beside it. Raises `UsageError`."""
    found = re.fullmatch(r"(?P<model>[^/@]+)(?:/v?(?P<version>[1-9]\d*)|@(?P<alias>[A-Za-z0-9_.-]+))?", name)
    if found is None:
        raise UsageError(f"A version is named NAME, NAME/3 or NAME@alias. Got '{name}' instead.")
    said = int(found["version"]) if found["version"] else None
    if version is not None and (found["alias"] or said not in (None, version)):
        raise UsageError(f"'{name}' and version {version} name two versions.", "Say one of them.")
    return Reference(found["model"], version or said, found["alias"])


def init(folder: Path, name: str) -> Project:
    """Make `folder` a project, or return the one that is there.

    Raises `Conflict` if it is a project of another name, `UsageError` if the folder cannot be written.
    """
    check_name(name, "project")
    root = folder.resolve()
    path = root / FILE_NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        created = _write_policy(path, name)
        project = load(root)
        if project.name != name:
            raise Conflict(
                f"{path} already names this project '{project.name}', not '{name}'.", "Use another folder."
            )
        ignore = project.folder() / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as problem:
        raise UsageError(
            f"No project can be made in {root}: {problem.strerror}.", "Use a folder that can be written."
        ) from None
    return Project(root, project.policy, created)


def _write_policy(path: Path, name: str) -> bool:
    """Whether it was made: of two at once, one makes it and the other finds it."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name, base=DEFAULT_BASE_IMAGE))
    except FileExistsError:
        return False
    return True


def find(folder: Path) -> Project:
    """The project that `folder` is in. Raises `NotFound`."""
    start = folder.resolve()
    for candidate in (start, *start.parents):
        if (candidate / FILE_NAME).is_file():
            return load(candidate)
    raise NotFound(f"There is no {FILE_NAME} in {start} or a folder above it.", "Make a project: init NAME.")


def load(root: Path) -> Project:
    """Read and check `mlops.toml`. Raises `InvalidConfig` naming file, key and value."""
    path = root / FILE_NAME
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise InvalidConfig(f"{path} is not TOML: {problem}.", "Mend that line.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidConfig(
            f"{path} cannot be read: {problem}.", "Make it a readable file in UTF-8."
        ) from None
    head = raw.pop("project", None)
    if not isinstance(head, dict) or set(head) - {"name"} or not isinstance(head.get("name"), str):
        raise InvalidConfig(f'{path} must have [project] with name = "…" alone. Got {head!r} instead.')
    sections = get_type_hints(Policy)
    known = [f.name for f in fields(Policy) if f.name != "name"]
    values: dict[str, Any] = {"name": head["name"]}
    for section, content in raw.items():
        if section not in known:
            raise InvalidConfig(
                f"{path} has a section [{section}] that is not known.", closest(section, known)
            )
        values[section] = _section(path, section, sections[section], content)
    policy = Policy(**values)
    _check(path, policy)
    return Project(root, policy)


def _section(path: Path, name: str, kind: type, content: Any) -> Any:
    if not isinstance(content, dict):
        raise InvalidConfig(f"{path}: '{name}' must be a section. Got {content!r} instead.")
    kinds = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            raise InvalidConfig(f"{path}: [{name}] has no key '{key}'.", closest(key, known))
        if is_dataclass(kinds[key]):
            values[key] = _section(path, f"{name}.{key}", kinds[key], value)
        else:
            values[key] = _value(path, name, key, kinds[key], value)
    return kind(**values)


def _value(path: Path, section: str, key: str, kind: Any, value: Any) -> Any:
    """One key's value, of the kind that its dataclass declares. Raises `InvalidConfig`."""
    if get_origin(kind) is Mapping:
        if isinstance(value, dict) and all(is_number(v) for v in value.values()):
            return {k: float(v) for k, v in value.items()}
        raise InvalidConfig(f"{path}: [{section}.{key}] must map names to numbers. Got {value!r} instead.")
    if get_origin(kind) is tuple:
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        wanted = "a list of texts"
    elif kind is float:
        if is_number(value):
            return float(value)
        wanted = "a number"
    else:
        if type(value) is kind:
            return value
        wanted = {int: "a whole number", bool: "true or false"}.get(kind, "a text")
    raise InvalidConfig(f"{path}: [{section}] {key} must be {wanted}. Got {value!r} instead.")


def _check(path: Path, policy: Policy) -> None:
    if policy.approval.required < 0 or policy.approval.expires_days < 1:
        raise InvalidConfig(
            f"{path}: [approval] needs required ≥ 0 and expires_days ≥ 1. "
            f"Got {policy.approval.required} and {policy.approval.expires_days} instead."
        )
    for where, what in (*faults(policy.gate), *serving_faults(policy.serving)):
        raise InvalidConfig(f"{path}: {where} {what}.")
    if not 0 < policy.drift.warn <= policy.drift.drift:
        raise InvalidConfig(
            f"{path}: [drift] needs 0 < warn ≤ drift. "
            f"Got warn = {policy.drift.warn!r} and drift = {policy.drift.drift!r} instead."
        )
