"""A project: one folder with `mlops.toml` (policy, in git) and `.mlops/` (state, ignored by git).

Policy is what a team reviews: gate, names, base image. Where things are kept can also be set by the
environment, so that the same notebook runs on a laptop and in a job without an edit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import files
from mlops_workbench.base.errors import Conflict, InvalidConfig, NotFound, UsageError
from mlops_workbench.base.values import Value
from mlops_workbench.config.names import check_name

if TYPE_CHECKING:
    from mlops_workbench.config.policy import Policy

FILE_NAME = "mlops.toml"
STATE = ".mlops"
ARTIFACTS = "artifacts"
STARTING = "starting"
"""notes about deployments that are being started"""


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
        # rows, answers and logs are the owner's: who shares the folder says so by its rights
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        path = self.folder(*Path(file).parts[:-1]) / Path(file).name
        plain = f"sqlite:///{path}"
        if "%" not in plain and "?" not in plain:
            return plain
        # with the driver's name: for a plain one MLflow makes the folder that the escaped path would be
        return f"sqlite+pysqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"

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
        write_schema(root)
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
    from mlops_workbench.config import describing

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(describing.template(name))
    except FileExistsError:
        return False
    return True


def find(folder: Path) -> Project:
    """The project that `folder` is in. Raises `NotFound`."""
    start = folder.resolve()
    for candidate in (start, *start.parents):
        if (candidate / FILE_NAME).is_file():
            return load(candidate)
    raise NotFound(
        f"There is no {FILE_NAME} in {start} or a folder above it.", "Make a project: `init NAME`."
    )


def around(folder: Path) -> Path | None:
    """The project's folder above this one, which is none itself."""
    start = folder.resolve()
    if (start / FILE_NAME).is_file():
        return None
    return next((above for above in start.parents if (above / FILE_NAME).is_file()), None)


def load(root: Path) -> Project:
    """Read and check `mlops.toml`. Raises `InvalidConfig` naming file, key and value."""
    from mlops_workbench.config import reading  # msgspec: not before a project is opened

    policy = reading.read(root / FILE_NAME)
    stores = {"MLOPS_STORE_URL": policy.stores.workbench, "MLOPS_INFERENCE_URL": policy.stores.inference}
    for variable, stated in stores.items():
        url = os.environ.get(variable) or stated
        if url and not url.startswith(("sqlite", "postgres")):
            raise InvalidConfig(
                f"The store URL {url.split('@')[-1]!r} ([stores] or {variable}) cannot be used: records are kept in "
                "SQLite or PostgreSQL.",
                "Write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE.",
            )
    return Project(root, policy)


def write_schema(root: Path) -> None:
    """The JSON Schema beside `mlops.toml` that its first line names, if it is not there as this release makes it."""
    from mlops_workbench.config import describing

    if not has_schema(root):
        files.write_text(root / describing.SCHEMA_FILE, describing.schema_text())


def has_schema(root: Path) -> bool:
    """Whether the JSON Schema beside `mlops.toml` is the one of this release."""
    from mlops_workbench.config import describing

    path = root / describing.SCHEMA_FILE
    return path.is_file() and path.read_text(encoding="utf-8") == describing.schema_text()
