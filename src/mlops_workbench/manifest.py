"""`workbench.json`: what a model folder says about its model. Plain values, read by the serving image too.

Imports nothing but the standard library: the runtime loads this file alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

FILE_NAME = "workbench.json"

Kind = Literal["double", "long", "string", "boolean", "datetime"]
Task = Literal["classification", "regression", "other"]


@dataclass(frozen=True, slots=True)
class Field:
    """One input column. Integers are stored as `double` unless asked otherwise: an integer column breaks on NaN."""

    name: str
    kind: Kind
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Digests:
    """What the registry vouches for; a file in a model's folder that has another SHA-256 is not loaded.

    The manifest's covers all that decides an answer, for it holds those of the files. None: nobody vouches (a folder
    that was just written), or a version that was registered before it was recorded.
    """

    model: str | None = None
    """of the model's file, of an MLflow model of its whole folder"""
    plan: str | None = None
    """of the fast path's plan; None if it has none"""
    manifest: str | None = None
    """of `workbench.json`"""


NO_DIGESTS = Digests()


@dataclass(frozen=True, slots=True)
class Servable:
    """A version of a model as it is served, with the digests by which the registry vouches for its files: see
    `Digests`."""

    name: str
    version: str
    digest: str
    plan: str | None = None
    fast_only: bool = False
    """whether the plan is all there is: no file of the model"""
    manifest: str | None = None

    @property
    def digests(self) -> Digests:
        return Digests(self.digest, self.plan, self.manifest)

    def variables(self) -> dict[str, str]:
        """Of the environment that the runtime reads them from (`serving.settings`)."""
        found = {
            "MLOPS_MODEL_NAME": self.name,
            "MLOPS_MODEL_VERSION": self.version,
            "MLOPS_MODEL_DIGEST": self.digest,
            "MLOPS_PLAN_DIGEST": self.plan,
            "MLOPS_MANIFEST_DIGEST": self.manifest,
            "MLOPS_FAST_ONLY": "1" if self.fast_only else None,
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a model is loaded, what it takes and gives, and what it answered on a few sample rows."""

    name: str
    task: Task
    inputs: tuple[Field, ...]
    model_file: str
    """path inside the folder, for example `model.skops`; of an MLflow model its `MLmodel`"""
    serialization: Literal["skops", "cloudpickle", "pyfunc"]
    """`pyfunc`: the folder is an MLflow model of any flavour, which MLflow itself loads"""
    trusted: tuple[str, ...]
    """type names that skops may load (all seen in the model when it was registered)"""
    sha256: str
    """of `model_file`, of an MLflow model of its whole folder; an artifact that differs is refused"""
    python: str
    """major.minor that the model was fitted with"""
    requirements: tuple[str, ...]
    """locked closure (`name==version`) of what the model and the runtime import"""
    target: str | None = None
    classes: tuple[Any, ...] = ()
    """class labels in the order of `predict_proba`'s columns; empty when the model has none"""
    sample: tuple[dict[str, Any], ...] = ()
    expected: tuple[Any, ...] = ()
    """what the model answered on `sample` in the notebook: labels or numbers"""
    expected_probabilities: tuple[tuple[float, ...], ...] = ()
    format: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    positive: Any = None
    """of two classes the one that F1, precision, recall, rates and scores are of; None: the last"""

    @property
    def columns(self) -> list[str]:
        return [f.name for f in self.inputs]

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kinds of the columns that the model reads, and of its label: what a file of rows is read by."""
        found: dict[str, Kind] = {f.name: f.kind for f in self.inputs}
        if self.target is not None:
            found[self.target] = kind_of_labels(self.classes)
        return found

    @property
    def unread(self) -> tuple[str, ...]:
        """Columns that the model was fitted with and does not read: it takes rows without them."""
        return tuple(self.extra.get("unread", ()))

    def taken_from(self, columns: Iterable[str]) -> list[str]:
        """Which columns of a table are given to the model: all of its own, but for unread ones that are not there."""
        there = set(columns)
        return [c for c in self.columns if c in there or c not in self.unread]

    @property
    def runs_code(self) -> bool:
        """Whether loading it can execute arbitrary code (pickle), and needs the Python that wrote it."""
        return self.serialization != "skops"

    def files(self, folder: Path) -> tuple[str, ...]:
        """What is loaded to answer with the model itself: paths inside the folder, sorted."""
        return tuple(tree_files(folder)) if self.serialization == "pyfunc" else (self.model_file,)

    @property
    def positive_class(self) -> Any:
        """The class that counts as positive; None unless there are two."""
        if len(self.classes) != 2:
            return None
        return self.classes[1] if self.positive is None else self.positive

    def digest_of(self, folder: Path) -> str:
        """What `sha256` is of the files in this folder. Raises OSError if `model_file` is not there, or a link."""
        found = file_sha256(folder / self.model_file, plain=True)
        return tree_sha256(folder) if self.serialization == "pyfunc" else found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def dump(self, folder: Path) -> Path:
        path = folder / FILE_NAME
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return path

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Manifest:
        """`sha256`: of the manifest, as the registry recorded it.

        Raises FileNotFoundError if the folder holds no manifest, OSError if it is a link, ValueError if it is another
        one than was recorded or of a later format.
        """
        data = read_plain(Path(folder) / FILE_NAME)
        if sha256 and (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise ValueError(
                f"it was changed: it has SHA-256 {found[:16]}…, the registry recorded {sha256[:16]}…."
            )
        raw = json.loads(data)
        if raw.get("format") != 1:
            raise ValueError(f"{FILE_NAME} has format {raw.get('format')!r}; this version reads format 1.")
        raw["inputs"] = tuple(Field(**f) for f in raw["inputs"])
        for key in ("trusted", "requirements", "classes", "sample", "expected"):
            raw[key] = tuple(raw[key])
        raw["expected_probabilities"] = tuple(tuple(row) for row in raw["expected_probabilities"])
        return cls(**raw)


def kind_of_labels(classes: Sequence[Any]) -> Kind:
    """The kind of a column of labels: the classes', numbers of a model that has none."""
    if any(isinstance(label, str) for label in classes):
        return "string"
    return "boolean" if classes and all(isinstance(label, bool) for label in classes) else "double"


def open_plain(path: Path) -> IO[bytes]:
    """A file of a model's folder, opened. Raises OSError for a link, a folder, a pipe: who can write there must not
    choose what else is read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path) -> bytes:
    """See `open_plain`."""
    with open_plain(path) as file:
        return file.read()


def file_sha256(path: Path, *, plain: bool = False) -> str:
    """`plain`: raise OSError for a link (`open_plain`)."""
    digest = hashlib.sha256()
    with open_plain(path) if plain else path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


REFERENCE = "reference.json"
"""how the rows looked that the model was fitted on; its digest is in the manifest's `extra`"""
_BESIDE = (FILE_NAME, REFERENCE, "registered_model_meta")
"""in an MLflow model's folder, but no part of the model: our manifest and reference, and a note that MLflow writes when
it loads"""


def tree_files(folder: Path) -> Iterator[str]:
    """Every file of an MLflow model's folder, sorted; links too, which no version is registered with."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return (name for name in sorted(found) if name not in _BESIDE)


def tree_sha256(folder: Path) -> str:
    """SHA-256 over names and contents. A file that is added, removed, renamed or a link is another tree."""
    digest = hashlib.sha256()
    for name in tree_files(folder):
        path = folder / name
        plain = path.is_file() and not path.is_symlink()
        digest.update(json.dumps([name, file_sha256(path, plain=True) if plain else None]).encode() + b"\n")
    return digest.hexdigest()
