"""What DVC says of a file, read from its own records (`FILE.dvc`, `dvc.lock`): DVC itself is not needed for that."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def revision(file: Path) -> str | None:
    """`dvc md5 …, commit …` of a tracked file, naming what was changed since; None if DVC does not track it."""
    for record, out in _outs(file):
        if md5 := out.get("md5") or out.get("checksum"):
            tracked = f"dvc md5 {md5}"
            if not str(md5).endswith(".dir") and file.is_file() and _md5(file) != md5:
                tracked += " (the file was changed since)"
            commit = _git(record, "log", "-1", "--format=%H", "--", record.name)
            if not commit:
                return f"{tracked}, {record.name} is not committed"
            changed = _git(record, "status", "--porcelain", "--", record.name)
            return f"{tracked}, commit {commit}" + (f" ({record.name} was changed since)" if changed else "")
    return None


def _outs(file: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """DVC's records that name this file or a folder that it is in, the nearest first."""
    file = file.resolve()
    for place in (file, *file.parents):
        own = place.parent / f"{place.name}.dvc"
        if own.is_file() and place.name:  # the folder `.dvc` holds DVC's settings
            outs = _mapping(own).get("outs")
            yield from ((own, out) for out in _listed(outs) if _names(own, out, file))
        lock = place / "dvc.lock"
        if place != file and lock.is_file():
            stages = _mapping(lock).get("stages")
            for stage in stages.values() if isinstance(stages, dict) else ():
                outs = stage.get("outs") if isinstance(stage, dict) else None
                yield from ((lock, out) for out in _listed(outs) if _names(lock, out, file))


def _listed(outs: Any) -> list[Mapping[str, Any]]:
    return [out for out in outs if isinstance(out, dict)] if isinstance(outs, list) else []


def _names(record: Path, out: Mapping[str, Any], file: Path) -> bool:
    path = (record.parent / str(out.get("path"))).resolve()
    return path == file or path in file.parents


def _mapping(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # no record of DVC's
    return found if isinstance(found, dict) else {}


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _git(record: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(record.parent), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
