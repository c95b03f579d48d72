"""A backup: one archive of everything that a project keeps, as it was at one moment, each file with its digest.

Databases are copied through SQLite's backup API while others write. For the moment of the cut (milliseconds) nobody
can write to any of them, and the files are linked; what is packed afterwards is what was there then.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO
from urllib.parse import unquote, urlparse

from mlops_workbench import __version__
from mlops_workbench.base import damage
from mlops_workbench.base.errors import Conflict, InvalidData, NotFound, UsageError
from mlops_workbench.base.progress import Progress
from mlops_workbench.base.scratch import scratch_folder
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import FILE_NAME, STATE, Project
from mlops_workbench.manifest import file_sha256
from mlops_workbench.store.reader import connect, sqlite_file, without_password

CONTENTS = "backup.json"
"""last member of an archive: what is in it"""
KEPT = (STATE, "contracts", FILE_NAME, "mlops.schema.json")
_FORMAT = 1
_SCRATCH = ".backup-"
_NOTE = "draft"
"""in the scratch folder: where the archive is being written"""
_DRAFT = ".draft"
_LEFT_OUT = ("keys", "starting")
"""below .mlops/: API keys of containers and notes about processes, which belong to this machine and moment"""
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Contents:
    """What an archive says of itself. `files`: path → size and SHA-256."""

    project: str
    root: str
    at: str
    release: str
    files: dict[str, tuple[int, str]]
    outside: tuple[str, ...] = ()
    format: int = _FORMAT


@dataclass(frozen=True)
class Backup(Value):
    """An archive of a project. `outside`: what it does not hold, and how that is backed up."""

    project: str
    file: str
    sha256: str
    at: str
    files: int
    bytes: int
    outside: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"Backup of '{self.project}' in {self.file}: {self.files:,} files as of {self.at[:19]}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        rows: list[list[Any]] = [["sha256", self.sha256], ["bytes", self.bytes]]
        return ["", ""], [*rows, *(["NOT in it", sentence] for sentence in self.outside)]


def write(project: Project, target: Path, at: str, progress: Progress) -> Backup:
    """Make the archive, readable by its owner only. Raises `Conflict`, `Damaged`, `UsageError`."""
    target = target.absolute()
    if target.exists():
        raise UsageError(f"There is a file '{target}' already.", "Name another one.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder '{target.parent}'.", "Name a file in a folder that exists.")
    databases, outside = _stores(project)
    draft = target.with_name(f".{target.name}.{os.getpid()}{_DRAFT}")
    # on the project's own file system: files are linked
    with scratch_folder(project.state, _SCRATCH, _forget_draft) as scratch:
        (scratch / _NOTE).write_text(str(draft))
        packed = scratch / "files"
        packed.mkdir()
        try:
            progress("copying the databases and linking the files")
            with _cut(databases, lambda: outside.extend(_link(project.root, packed, databases))) as readers:
                for file, reader in readers.items():
                    _copy(reader, file, packed / file.relative_to(project.root))
            progress("packing")
            contents = Contents(project.name, str(project.root), at, __version__, {}, tuple(outside))
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file_:
                _pack(packed, contents, file_)
                file_.flush()
                os.fsync(file_.fileno())
            _check(draft, None)
            draft.replace(target)
        except sqlite3.OperationalError as problem:
            raise Conflict(
                f"The databases cannot be held for a moment: {problem}.",
                "Others write without a pause: try again.",
            ) from None
        finally:
            draft.unlink(missing_ok=True)
    size, files = target.stat().st_size, len(contents.files)
    return Backup(project.name, str(target), file_sha256(target), at, files, size, contents.outside)


def check(archive: Path, sha256: str | None) -> tuple[Contents, Backup]:
    """Whether every file of an archive is what was packed. Raises `InvalidData`, `NotFound`."""
    contents = _check(archive, sha256)
    size, files = archive.stat().st_size, len(contents.files)
    return contents, Backup(
        contents.project, str(archive), file_sha256(archive), contents.at, files, size, contents.outside
    )


def unpack(archive: Path, root: Path, sha256: str | None, stamp: str) -> tuple[Contents, Path | None]:
    """Put what is in the archive into `root`, after all of it was found to be right. What is there of a project is
    moved to a folder beside it, which is returned. Raises `InvalidData`, `NotFound`."""
    _require_file(archive)
    root.mkdir(parents=True, exist_ok=True)
    aside: Path | None = None
    with scratch_folder(root, ".restore-") as scratch:
        contents = _check(archive, sha256, scratch)
        if any((root / name).exists() for name in KEPT):
            aside = root / f"{STATE}-before-{stamp}"
            aside.mkdir(mode=0o700)
            (aside / ".gitignore").write_text("*\n")
            for name in KEPT:
                with suppress(FileNotFoundError):
                    (root / name).rename(aside / name)
        (scratch / STATE).chmod(0o700)
        for name in KEPT:
            with suppress(FileNotFoundError):
                (scratch / name).rename(root / name)
    return contents, aside


def _forget_draft(scratch: Path) -> None:
    """The archive that a killed backup had begun."""
    with suppress(FileNotFoundError):
        draft = Path((scratch / _NOTE).read_text())
        if draft.name.endswith(_DRAFT):
            draft.unlink()


# the cut


@contextmanager
def _cut(files: Sequence[Path], meanwhile: Callable[[], None]) -> Iterator[dict[Path, sqlite3.Connection]]:
    """Connections that see the databases as they all were at one moment. `meanwhile` is called at that moment."""
    with ExitStack() as reading:
        readers = {}
        with ExitStack() as held:
            for file in files:
                with damage.named(file):
                    writer = held.enter_context(closing(connect(file)))
                    writer.execute("BEGIN IMMEDIATE")
                held.callback(writer.rollback)
            for file in files:
                readers[file] = reader = reading.enter_context(closing(connect(file)))
                reader.execute("BEGIN")
                with damage.named(file):
                    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # now it has its snapshot
            meanwhile()
        yield readers


def _copy(reader: sqlite3.Connection, file: Path, target: Path) -> None:
    """Raises `Damaged` when the copy is not whole: a backup of a damaged database would be found out too late."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with damage.named(file), closing(sqlite3.connect(target)) as copy:
        reader.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        damage.require_whole(copy, file)


def _link(root: Path, scratch: Path, databases: Sequence[Path]) -> list[str]:
    """Links to all files but the databases, in `scratch`; sentences about what is left out."""
    out = []
    not_files = {str(file) + end for file in databases for end in ("", *_BESIDE)}
    for source in _files(root):
        relative = source.relative_to(root)
        if str(source) in not_files:
            continue
        if source.is_symlink():
            out.append(f"{relative} is a link to {source.readlink()}: back that up where it is.")
            continue
        if not source.is_file():
            continue
        target = scratch / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            continue  # it was just removed
        except OSError:
            shutil.copy2(source, target)
    return out


def _files(root: Path) -> Iterator[Path]:
    for name in KEPT:
        top = root / name
        if top.is_symlink() or not top.is_dir():
            if top.is_symlink() or top.exists():
                yield top
            continue
        for folder, folders, names in os.walk(top):
            left_out = _LEFT_OUT if Path(folder) == root / STATE else ()
            folders[:] = sorted(f for f in folders if not f.startswith(_SCRATCH) and f not in left_out)
            links = [f for f in folders if Path(folder, f).is_symlink()]
            yield from (
                Path(folder, found) for found in sorted([*names, *links]) if not found.endswith(".draft")
            )


def _stores(project: Project) -> tuple[list[Path], list[str]]:
    """SQLite files in the project, in the order in which they are held; sentences about stores that are elsewhere."""
    inside: list[Path] = []
    outside: list[str] = []
    stores = {
        "ledger, gates and jobs": project.store_url,
        "runs and models": project.tracking_url,
        "inference log": project.inference_url,
    }
    for what, url in stores.items():
        file = sqlite_file(url)
        if file is not None and file.is_relative_to(project.root):
            if file.exists() and file not in inside:
                inside.append(file)
        elif url.startswith("postgres"):
            outside.append(
                f"The {what} are in {without_password(url)}: pg_dump --format=custom at the same time."
            )
        else:
            outside.append(f"The {what} are in {without_password(url)}: back that up at the same time.")
    root = urlparse(project.artifact_root)
    if root.scheme not in ("", "file"):
        outside.append(f"Files of runs and models are in {project.artifact_root}: keep its versions there.")
    elif not Path(unquote(root.path)).is_relative_to(project.root):
        outside.append(f"Files of runs and models are in {project.artifact_root}: copy that folder.")
    return inside, outside


# the archive


class _Hashed:
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self.sha256.update(part)
        self.size += len(part)
        return part


def _pack(scratch: Path, contents: Contents, file: BinaryIO) -> None:
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(p for p in scratch.rglob("*") if p.is_file()):
            name = path.relative_to(scratch).as_posix()
            with path.open("rb") as opened:
                read = _Hashed(opened)
                info = tarfile.TarInfo(name)
                info.size, info.mode = os.fstat(opened.fileno()).st_size, 0o600
                tar.addfile(info, read)
            contents.files[name] = (read.size, read.sha256.hexdigest())
        text = json.dumps(asdict(contents)).encode()
        info = tarfile.TarInfo(CONTENTS)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))


def _check(archive: Path, sha256: str | None, into: Path | None = None) -> Contents:
    """Read a whole archive and compare each file with what was packed; with `into`, write the files there."""
    _require_file(archive)
    if sha256 and file_sha256(archive) != sha256.lower():
        raise InvalidData(
            f"'{archive}' is not the archive of SHA-256 {sha256[:16]}….", "Look for another copy of it."
        )
    found: dict[str, tuple[int, str]] = {}
    contents: Contents | None = None
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                _require_plain(archive, member)
                opened = tar.extractfile(member)
                assert opened is not None, "it is a regular file"
                if member.name == CONTENTS:
                    contents = _contents(json.loads(opened.read()))
                    continue
                found[member.name] = _through(opened, None if into is None else into / member.name)
    except (tarfile.TarError, OSError, EOFError, ValueError, TypeError, KeyError) as problem:
        raise InvalidData(
            f"'{archive}' is no whole backup: {type(problem).__name__}: {problem}.", "Use another one."
        ) from None
    if contents is None:
        raise InvalidData(
            f"'{archive}' is no whole backup: its list of files is missing.", "Use another one."
        )
    wrong = sorted(name for name in {*found, *contents.files} if found.get(name) != contents.files.get(name))
    if wrong:
        raise InvalidData(
            f"'{archive}' is not as it was packed: {len(wrong)} files differ, first {wrong[0]}.",
            "Use another one.",
        )
    return contents


def _contents(values: dict[str, Any]) -> Contents:
    if values["format"] != _FORMAT:
        raise ValueError(f"format {values['format']}, which this release does not read")
    files = {name: (int(size), str(digest)) for name, (size, digest) in values["files"].items()}
    return Contents(**values | {"files": files, "outside": tuple(values["outside"])})


def _through(opened: IO[bytes], target: Path | None) -> tuple[int, str]:
    """Size and SHA-256 of what is read, which is written to `target`."""
    read = _Hashed(opened)
    if target is None:
        while read.read(1 << 20):
            pass
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while part := read.read(1 << 20):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        target.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return read.size, read.sha256.hexdigest()


def _require_plain(archive: Path, member: tarfile.TarInfo) -> None:
    """An archive holds files of a project and nothing else: no links, and nothing that lands elsewhere."""
    parts = PurePosixPath(member.name).parts
    inside = member.name == CONTENTS or (parts and parts[0] in KEPT and ".." not in parts)
    if not inside or not member.isfile() or member.issym() or member.islnk():
        raise InvalidData(
            f"'{archive}' is no backup of a project: it holds '{member.name}'.", "Use another one."
        )


def _require_file(archive: Path) -> None:
    if not archive.is_file():
        raise NotFound(f"There is no archive '{archive}'.", "Name a file that the verb backup wrote.")
