"""A build context as a tar: only what the image needs, byte for byte the same for the same content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import mlops_workbench
from mlops_workbench.manifest import FILE_NAME, Manifest

_SKIPPED = {"__pycache__"}


def write_context(
    out: IO[bytes],
    *,
    dockerfile: str,
    wheels: Iterable[Path],
    requirements: Sequence[str],
    model_dir: Path,
    manifest: Manifest,
) -> None:
    """Dockerfile, `requirements.txt`, `wheels/`, `runtime/` (our serving code alone) and `model/`.

    Of the model's folder only the manifest, what it says is loaded and a proven fast path go along: of a scikit-learn
    model not MLflow's own files. An MLflow model of another flavour goes along whole.
    """
    files: list[tuple[str, Path | bytes]] = [
        ("Dockerfile", dockerfile.encode()),
        ("requirements.txt", "".join(f"{r}\n" for r in requirements).encode()),
        *((f"wheels/{wheel.name}", wheel) for wheel in wheels),
        *((f"runtime/{name}", path) for name, path in runtime_files()),
        *((f"model/{name}", model_dir / name) for name in _model_files(model_dir, manifest)),
    ]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, source in sorted(files, key=lambda f: f[0]):
            _add(tar, name, source)


def _model_files(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    plan = ("fast.json", "fast.npz") if manifest.extra.get("fast", {}).get("proven") else ()
    return (FILE_NAME, *manifest.files(folder), *plan)


def runtime_files() -> Iterator[tuple[str, Path]]:
    """(path in the image, file) of `mlops_workbench/__init__.py`, `manifest.py` and `serving/`."""
    package = Path(mlops_workbench.__file__).parent
    chosen = [package / "__init__.py", package / "manifest.py", *sorted((package / "serving").rglob("*"))]
    for path in chosen:
        if path.is_file() and not _SKIPPED & set(path.parts):
            yield f"mlops_workbench/{path.relative_to(package).as_posix()}", path


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)
    # Fixed owner, mode and time: the same content is the same tar, and every user may read it in the image.
    entry.mode, entry.mtime, entry.uid, entry.gid = 0o644, 0, 0, 0
    if isinstance(source, bytes):
        entry.size = len(source)
        tar.addfile(entry, io.BytesIO(source))
        return
    entry.size = source.stat().st_size
    with source.open("rb") as file:
        tar.addfile(entry, file)
