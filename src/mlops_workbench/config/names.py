"""Names that people type: of projects, models and contracts, of a version, and of the person who acts."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass

from mlops_workbench.base.errors import UsageError


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
    """A model, and a version of it by number or alias if one was given."""

    model: str
    version: int | None = None
    alias: str | None = None


def reference(name: str, version: int | None = None) -> Reference:
    """`NAME`, `NAME/3` or `NAME@alias`, and a version given with it. Raises `UsageError`."""
    found = re.fullmatch(r"(?P<model>[^/@]+)(?:/v?(?P<version>[1-9]\d*)|@(?P<alias>[A-Za-z0-9_.-]+))?", name)
    if found is None:
        raise UsageError(f"A version is named NAME, NAME/3 or NAME@alias. Got '{name}' instead.")
    number = int(found["version"]) if found["version"] else None
    if version is not None and (found["alias"] or number not in (None, version)):
        raise UsageError(f"'{name}' and version {version} name two versions.", "Say one of them.")
    return Reference(found["model"], version or number, found["alias"])
