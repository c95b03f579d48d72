"""A model of any MLflow flavour: its folder verified, loaded by MLflow, and asked through `pyfunc`.

The one module of the runtime that imports mlflow; `mlflow-skinny` is enough. Nothing here asks a tracking store, and
nothing is written.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_workbench.manifest import Manifest, open_plain, tree_files
from mlops_workbench.serving.answers import Prediction, Row
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.original import as_frame, model_file, require_digest

_WHOLE = ("int", "uint")


class PyFunc:
    """A registered MLflow model."""

    gives_probabilities = False
    """what several numbers a row mean is not said by MLflow: they are answered as they come"""

    def __init__(self, model: Any, manifest: Manifest) -> None:
        self.model = model
        self._manifest = manifest
        self._types: dict[str, str] = manifest.extra.get("dtypes", {})

    @classmethod
    def load(cls, folder: Path, manifest: Manifest, digest: str | None) -> PyFunc:
        """Every file is hashed before one is loaded: loading runs code. MLflow reads the files by itself, so it gets
        those that were hashed: a copy that nobody else can write. Without `digest` nobody vouches for the folder, and
        it is loaded where it lies. Raises ModelRefused.
        """
        folder = model_file(folder, manifest).parent
        kept = copied(folder) if digest and not only_root_writes(folder) else None
        place = Path(kept.name) if kept else folder
        try:
            require_digest(manifest.digest_of(place), manifest, digest, folder)
            model = opened(place)
        except ModelRefused:
            _remove(kept)
            raise
        except Exception as error:  # whatever a flavour raises means: not served
            _remove(kept)
            raise ModelRefused(
                f"The MLflow model in '{folder}' cannot be loaded: {type(error).__name__}: {error}",
                "Compare the installed libraries with the manifest's requirements, or register the model again.",
            ) from error
        if kept:  # it may read its files at any time
            weakref.finalize(model, _remove, kept)
        return cls(model, manifest)

    def predict(self, rows: Sequence[Row]) -> Prediction:
        """One model call for all rows that give columns of the same types."""
        kinds: dict[tuple[bool, ...], list[int]] = {}
        for place, row in enumerate(rows):
            kinds.setdefault(tuple(self._fits(row)), []).append(place)
        if len(kinds) == 1:
            return Prediction(self._ask(rows), None)
        values: list[Any] = [None] * len(rows)
        for places in kinds.values():
            for place, value in zip(places, self._ask([rows[i] for i in places]), strict=True):
                values[place] = value
        return Prediction(values, None)

    def _ask(self, rows: Sequence[Row]) -> list[Any]:
        with _nothing_written():
            return values_of(self.model.predict(self._frame(rows)), len(rows))

    def _fits(self, row: Row) -> Iterator[bool]:
        """By column with a type that holds no gaps: whether this value fits. So no row's types depend on others."""
        for name, kind in self._types.items():
            value = row.get(name)
            if kind.startswith(_WHOLE):
                yield isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            elif kind == "bool":
                yield value is not None

    def _frame(self, rows: Sequence[Row]) -> Any:
        """A DataFrame with the types that the columns had in the notebook, or that the model's signature names."""
        frame: Any = as_frame(self._manifest, rows)
        fits = list(self._fits(rows[0])) if rows else []
        strict = iter(fits)
        for name, kind in self._types.items():
            if not (kind.startswith(_WHOLE) or kind == "bool") or next(strict, True):
                frame[name] = frame[name].astype(kind)
        return frame


def copied(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """The model's files in a folder of this user's own. Raises ModelRefused for links, and what cannot be read."""
    kept = tempfile.TemporaryDirectory(prefix="mlops-model-")
    try:
        for name in tree_files(folder):
            path = Path(kept.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_plain(folder / name) as source, path.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        _remove(kept)
        if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENOENT):
            raise ModelRefused(
                f"'{folder}' is not the model that was registered: it holds a link or a file that is none ({error}).",
                "Fetch the version again; if it still does, someone changed the stored artifact.",
            ) from error
        raise ModelRefused(
            f"'{folder}' cannot be copied to be verified: {error}.",
            f"Make room for another one in {tempfile.gettempdir()}.",
        ) from error
    return kept


def _remove(kept: tempfile.TemporaryDirectory[str] | None) -> None:
    if kept is not None:
        kept.cleanup()


def only_root_writes(folder: Path) -> bool:
    """Whether nobody but root, who we are not, can change the folder, as in an image: it needs no copy."""
    if os.getuid() == 0:
        return False
    places = (folder, *folder.absolute().parents, *folder.rglob("*"))
    try:
        return all(s.st_uid == 0 and not s.st_mode & 0o022 for s in (p.lstat() for p in places))
    except OSError:
        return False


def values_of(answer: Any, rows: int) -> list[Any]:
    """One value a row, as JSON carries it: what one column holds; of a table with several `{column: value}`, of an
    array with several a list.

    Raises RuntimeError if these are not as many as the rows.
    """
    import numpy as np
    import pandas as pd

    if isinstance(answer, pd.DataFrame) and answer.shape[1] == 1:
        answer = answer.iloc[:, 0]
    if isinstance(answer, pd.DataFrame):
        answer = answer.to_dict(orient="records")
    elif isinstance(answer, dict):  # one array an output, as Keras gives them
        parts = {name: values_of(part, rows) for name, part in answer.items()}
        answer = [{name: part[i] for name, part in parts.items()} for i in range(rows)]
    elif isinstance(answer, pd.Series):
        answer = answer.tolist()
    elif not isinstance(answer, list | tuple):
        array = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
        answer = (array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else np.atleast_1d(array)).tolist()
    if len(answer) != rows:
        raise RuntimeError(f"The model answered {len(answer)} values for {rows} rows.")
    return [_plain(value) for value in answer]


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of NumPy's kind of text too
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat() if value == value else None
    if hasattr(value, "tolist"):  # NumPy's
        return _plain(value.tolist())
    return str(value)


def opened(folder: Path) -> Any:
    """MLflow's `PyFuncModel` of a folder on this machine. Raises whatever the flavour does."""
    # Set before mlflow is imported: it would make a store in the working folder, and report its use.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow.pyfunc

    _forget_code_of_others(folder)
    with _nothing_written():
        return mlflow.pyfunc.load_model(str(folder))


def _forget_code_of_others(folder: Path) -> None:
    """Modules that another model brought along: this one's may have the same names, and Python keeps the first."""
    codes = [p for p in sys.path if Path(p).name == "code" and Path(p).parent != folder]
    others = [p for p in codes if Path(p).with_name("MLmodel").is_file() or not Path(p).exists()]
    for place in others:
        sys.path.remove(place)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(place + os.sep):
                del sys.modules[name]


@contextmanager
def _nothing_written() -> Iterator[None]:
    """Modules that come along are imported without a `__pycache__` beside them: it would be another tree."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
