"""Files that are seen whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mlops_workbench.base.errors import UsageError


def user_cache() -> Path:
    """The workbench's folder in the user's cache; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-workbench"


def write_text(path: Path, text: str) -> Path:
    """Raises `UsageError` where nothing can be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as problem:
        raise UsageError(
            f"'{path}' cannot be written: {problem.strerror}.", "Name a file in a folder that can be written."
        ) from None
    finally:
        with suppress(OSError):  # what could not be made need not be removed
            draft.unlink()
    return path
