"""A folder to work in that goes when the work is done, and when its process was killed by whoever works there next."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(
    parent: Path, prefix: str, abandoned: Callable[[Path], None] = lambda _folder: None
) -> Iterator[Path]:
    """A new folder in `parent` whose name begins with `prefix`; what killed processes left under such names is removed.

    A lock on the folder says that its process lives: the system gives it back, however that ends. `abandoned` is called
    with each folder that is left, before it is removed; what it raises leaves the folder for the next time.
    """
    opened = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)  # a folder that was just made is not locked yet
        _remove_abandoned(parent, prefix, abandoned)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(opened)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(parent: Path, prefix: str, abandoned: Callable[[Path], None]) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            abandoned(folder)
        except BlockingIOError:
            continue  # of a process that lives
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
