"""A build context as a tar: only what the image needs, byte for byte the same for the same content."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import mlops_workbench
from mlops_workbench.manifest import FILE_NAME, REFERENCE, Manifest, open_plain
from mlops_workbench.package import slim
from mlops_workbench.package.dockerfile import MODEL_DIR, RUNTIME_DIR

_SKIPPED = {"__pycache__"}


Files = Sequence[tuple[str, Path | bytes]]
"""(path in the context, what is there)"""


def dependency_files(wheels: Iterable[Path], lock: str) -> Files:
    """`requirements.txt`, `slim.py` and `wheels/`."""
    return [
        ("requirements.txt", lock.encode()),
        ("slim.py", Path(slim.__file__)),
        *((f"wheels/{wheel.name}", wheel) for wheel in wheels),
    ]


def service_files(model_dir: Path, manifest: Manifest, *, fast_only: bool = False) -> Files:
    """`runtime/` (our serving code alone) and `model/`, with the folders that they have in the image.

    Of the model's folder only the manifest, what it says is loaded and a proven fast path go along: of a scikit-learn
    model not MLflow's own files, example data and notebooks; with `fast_only` not the model's file, either. An MLflow
    model of another flavour goes along whole.
    """
    return [
        *((f"runtime{RUNTIME_DIR}/{name}", path) for name, path in runtime_files()),
        *(
            (f"model{MODEL_DIR}/{name}", model_dir / name)
            for name in model_files(model_dir, manifest, fast_only=fast_only)
        ),
    ]


def write_context(out: IO[bytes], dockerfile: str, files: Files) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # Folders are named, too: those that the engine makes by itself have the time of the build.
        for folder in sorted({str(p) for name, _ in files for p in PurePosixPath(name).parents} - {"."}):
            _add(tar, folder, None)
        for name, source in sorted([("Dockerfile", dockerfile.encode()), *files], key=lambda f: f[0]):
            _add(tar, name, source)


def model_files(folder: Path, manifest: Manifest, *, fast_only: bool) -> tuple[str, ...]:
    """What of a model's folder lies in its image."""
    plan = ("fast.json", "fast.npz") if manifest.extra.get("fast", {}).get("proven") else ()
    beside = (REFERENCE,) if manifest.extra.get("reference") else ()
    return (FILE_NAME, *beside, *(() if fast_only else manifest.files(folder)), *plan)


def runtime_files() -> Iterator[tuple[str, Path]]:
    """(path in the image, file) of `mlops_workbench/__init__.py`, `manifest.py`, `summary/` and `serving/`."""
    package = Path(mlops_workbench.__file__).parent
    chosen = [package / "__init__.py", package / "manifest.py"]
    chosen += [path for room in ("serving", "summary") for path in sorted((package / room).rglob("*"))]
    for path in chosen:
        if path.is_file() and not _SKIPPED & set(path.parts):
            yield f"mlops_workbench/{path.relative_to(package).as_posix()}", path


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes | None) -> None:
    """A file, or a folder."""
    entry = tarfile.TarInfo(name)
    # Fixed owner, mode and time: the same content is the same tar, and every user may read it in the image.
    entry.mode, entry.mtime, entry.uid, entry.gid = 0o644, 0, 0, 0
    if source is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        return
    if isinstance(source, bytes):
        entry.size = len(source)
        tar.addfile(entry, io.BytesIO(source))
        return
    with open_plain(source) as file:
        entry.size = os.fstat(file.fileno()).st_size
        tar.addfile(entry, file)
