"""The model without the web: a folder that is verified and loaded, and rows in, predictions out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.manifest import FILE_NAME, Field, Manifest
from mlops_workbench.serving.errors import ModelRefused

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer a row, as Python's own values."""

    values: list[Any]
    """labels or numbers"""
    probabilities: list[list[float]] | None
    """a list a row in the order of the manifest's classes; None when the model has none"""

    def part(self, start: int, stop: int) -> Prediction:
        """The answers of some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[start:stop]
        return Prediction(self.values[start:stop], probabilities)


@dataclass(frozen=True, slots=True)
class Warmup:
    """What the first call on the manifest's sample showed."""

    rows: int
    differing: int
    """rows that were answered otherwise than in the notebook; 0 is right"""


class DataPlane:
    """A loaded model. Made by `load`; `predict` may be called from one thread at a time."""

    def __init__(self, model: Any, manifest: Manifest, *, name: str, version: str) -> None:
        self.model = model
        self.manifest = manifest
        self.name = name
        self.version = version
        self.digest = manifest.sha256
        self.warmup: Warmup | None = None
        # Fitted on arrays: giving it column names would make scikit-learn warn at every call.
        self._plain_array = hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_")
        self._head, self._last = _split(model)
        self._gives_probabilities = bool(manifest.classes) and hasattr(model, "predict_proba")
        # A string that is missing is NaN, pandas' and SimpleImputer's default, except in columns that
        # were seen with None: to a OneHotEncoder these are two different categories.
        self._none_columns = frozenset(manifest.extra.get("null_is_none", ()))

    @property
    def gives_probabilities(self) -> bool:
        return self._gives_probabilities

    @classmethod
    def load(cls, folder: Path, *, name: str, version: str, digest: str | None = None) -> DataPlane:
        """Read, verify, then load: the bytes that were hashed are the bytes that are loaded.

        Raises ModelRefused if the folder is incomplete, the file's SHA-256 is neither the manifest's nor
        `digest` (of the registry), or the file holds types that were not listed at registration.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        path = (folder / manifest.model_file).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise ModelRefused(
                f"The model folder {folder} has no file '{manifest.model_file}'.", "Fetch the version again."
            )
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        _same_digest(found, manifest.sha256, f"{FILE_NAME} recorded", path)
        if digest:
            _same_digest(found, digest, "the registry recorded", path)
        return cls(_deserialize(data, manifest, path), manifest, name=name, version=version)

    def warm(self) -> Warmup:
        """Predict the manifest's sample, so that the first caller does not pay for imports and caches.

        Raises ModelRefused if the model cannot answer it here (another library version, a missing part).
        """
        sample = self.manifest.sample
        differing = 0
        if sample:
            try:
                answer = self.predict([self.from_json(row) for row in sample])
            except Exception as error:
                raise ModelRefused(
                    f"The model '{self.name}' version {self.version} cannot answer its own sample rows here: "
                    f"{type(error).__name__}: {error}.",
                    "Compare the installed libraries with the manifest's requirements.",
                ) from error
            differing = sum(
                not _agree(a, b) for a, b in zip(answer.values, self.manifest.expected, strict=False)
            )
        self.warmup = Warmup(rows=len(sample), differing=differing)
        return self.warmup

    def predict(self, rows: Sequence[Row]) -> Prediction:
        """One model call for all rows. A column that a row lacks is missing (null)."""
        frame: Any = self.frame(rows)
        if self._plain_array:
            frame = frame.to_numpy()
        if self._head is not None:
            frame = self._head.transform(frame)
        values = self._last.predict(frame)
        probabilities = self._last.predict_proba(frame).tolist() if self._gives_probabilities else None
        values = values.tolist() if hasattr(values, "tolist") else list(values)
        if len(values) != len(rows):
            raise RuntimeError(f"The model answered {len(values)} values for {len(rows)} rows.")
        return Prediction(values, probabilities)

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Rows as the DataFrame the model was fitted on: the manifest's columns, order and types."""
        import pandas as pd

        columns = {f.name: self._column(f, [row.get(f.name) for row in rows]) for f in self.manifest.inputs}
        return pd.DataFrame(columns, columns=self.manifest.columns)

    def _column(self, field: Field, values: list[Any]) -> Any:
        """One typed column. The type depends on the field alone, never on which rows share a batch."""
        import numpy as np

        match field.kind:
            case "double":
                return np.array(values, dtype="float64")  # None becomes NaN
            case "long":
                return np.array(values, dtype="float64" if field.nullable else "int64")
            case "datetime":
                return np.array([_utc(v) for v in values], dtype="datetime64[us]").astype("datetime64[ns]")
            case "boolean" if not field.nullable:
                return np.array(values, dtype="bool")
        if field.name not in self._none_columns:
            values = [float("nan") if v is None else v for v in values]
        column = np.empty(len(values), dtype="object")
        column[:] = values
        return column

    def from_json(self, row: Row) -> dict[str, Any]:
        """A sample row of the manifest: times are ISO 8601 text there."""
        times = {f.name for f in self.manifest.inputs if f.kind == "datetime"}
        return {
            k: datetime.fromisoformat(v) if k in times and isinstance(v, str) else v for k, v in row.items()
        }


def _read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest.load(folder)
    except FileNotFoundError:
        raise ModelRefused(
            f"There is no {FILE_NAME} in '{folder}'.", "Give the folder of a version."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise ModelRefused(
            f"The {FILE_NAME} in '{folder}' cannot be read: {error}", "Fetch the version again."
        ) from error


def _same_digest(found: str, wanted: str, who: str, path: Path) -> None:
    if found != wanted.removeprefix("sha256:"):
        raise ModelRefused(
            f"'{path}' is not the model that was registered: it has SHA-256 {found[:16]}…, "
            f"{who} {wanted[:16]}….",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )


def _deserialize(data: bytes, manifest: Manifest, path: Path) -> Any:
    try:
        if manifest.serialization == "cloudpickle":
            import cloudpickle  # type: ignore[import-untyped]

            return cloudpickle.loads(data)
        import skops.io

        return skops.io.loads(data, trusted=list(manifest.trusted))
    except Exception as error:
        # Anything can come out of a constructor or an import here; all of it means: not served.
        raise ModelRefused(
            f"'{path.name}' cannot be loaded: {type(error).__name__}: {error}",
            "Compare the installed libraries with the manifest's requirements, or register the model again.",
        ) from error


def _split(model: Any) -> tuple[Any, Any]:
    """(preprocessing, final estimator) of a scikit-learn Pipeline, so that labels and probabilities share one
    preprocessing pass (most of the time of a call); (None, model) for anything else.

    Only for exactly Pipeline: a subclass may do something else in `predict`.
    """
    from sklearn.pipeline import Pipeline

    if type(model) is not Pipeline or len(model.steps) < 2 or model.steps[-1][1] in (None, "passthrough"):
        return None, model
    return model[:-1], model[-1]


def _utc(value: datetime | None) -> datetime | None:
    """Without a zone: what has one is turned to UTC, as the column is."""
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)


def _agree(answer: Any, expected: Any) -> bool:
    """Labels must be equal; numbers may differ in the last digits (another CPU sums in another order)."""
    if isinstance(answer, float) and isinstance(expected, int | float):
        return abs(answer - expected) <= 1e-6 * max(1.0, abs(expected))
    return bool(answer == expected)
