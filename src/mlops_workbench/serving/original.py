"""The model itself: its file verified and loaded, and rows in, answers out, through pandas and scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.manifest import FILE_NAME, Field, Manifest
from mlops_workbench.serving.answers import Prediction, Row
from mlops_workbench.serving.errors import ModelRefused

if TYPE_CHECKING:
    import pandas as pd


class Original:
    """A fitted model as it was registered."""

    def __init__(self, model: Any, manifest: Manifest) -> None:
        self.model = model
        self._manifest = manifest
        # Fitted on arrays: giving it column names would make scikit-learn warn at every call.
        self._plain_array = hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_")
        self._head, self._last = _split(model)
        self.gives_probabilities = bool(manifest.classes) and hasattr(model, "predict_proba")

    @classmethod
    def load(cls, folder: Path, manifest: Manifest, digest: str | None) -> Original:
        """The bytes that are hashed are the bytes that are loaded. Raises ModelRefused."""
        path = model_file(folder, manifest)
        data = path.read_bytes()
        require_digest(hashlib.sha256(data).hexdigest(), manifest, digest, path)
        return cls(_deserialize(data, manifest, path), manifest)

    def predict(self, rows: Sequence[Row]) -> Prediction:
        """One model call for all rows."""
        return self.answer(as_frame(self._manifest, rows))

    def answer(self, frame: Any) -> Prediction:
        """One model call for rows as `as_frame` makes them."""
        rows = len(frame)
        if self._plain_array:
            frame = frame.to_numpy()
        for step in self._head:
            frame = step.transform(frame)
        values = self._last.predict(frame)
        if getattr(values, "ndim", 1) == 2 and values.shape[1] == 1:  # fitted on a frame of one column
            values = values[:, 0]
        probabilities = self._last.predict_proba(frame).tolist() if self.gives_probabilities else None
        values = values.tolist() if hasattr(values, "tolist") else list(values)
        if len(values) != rows:
            raise RuntimeError(f"The model answered {len(values)} values for {rows} rows.")
        return Prediction(values, probabilities)


def model_file(folder: Path, manifest: Manifest) -> Path:
    """Raises ModelRefused if it is not in the folder."""
    path = (folder / manifest.model_file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ModelRefused(
            f"The model folder {folder} has no file '{manifest.model_file}'.", "Fetch the version again."
        )
    return path


def require_digest(found: str, manifest: Manifest, digest: str | None, path: Path) -> None:
    """Raises ModelRefused if a SHA-256 is neither the manifest's nor, if there is one, the registry's."""
    _same_digest(found, manifest.sha256, f"{FILE_NAME} recorded", path)
    if digest:
        _same_digest(found, digest, "the registry recorded", path)


def as_frame(manifest: Manifest, rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as the DataFrame the model was fitted on: the manifest's columns, order and types."""
    import numpy as np
    import pandas as pd

    extra = manifest.extra
    names = manifest.columns
    numbers = set(extra.get("as_numbers", ()))
    zones, categories = extra.get("zones", {}), extra.get("categories", {})
    if not categories and all(f.kind == "double" or f.name in numbers for f in manifest.inputs):
        # one array at once: a wide model has thousands of columns. Column by column in memory, as pandas has it.
        block = np.array([[row.get(name) for name in names] for row in rows], dtype="float64")
        return pd.DataFrame(np.asfortranarray(block.reshape(len(rows), len(names))), columns=names)
    # A string that is missing is NaN, pandas' and SimpleImputer's default, except in columns that
    # were seen with None: to a OneHotEncoder these are two different categories.
    none = frozenset(extra.get("null_is_none", ()))
    columns: dict[str, Any] = {}
    for f in manifest.inputs:
        values = [row.get(f.name) for row in rows]
        if f.name in categories:
            columns[f.name] = _category(values, categories[f.name])
        elif f.name in numbers:
            columns[f.name] = np.array(values, dtype="float64")
        else:
            columns[f.name] = _column(f, values, none=f.name in none)
        if f.name in zones:
            columns[f.name] = pd.DatetimeIndex(columns[f.name]).tz_localize("UTC").tz_convert(zones[f.name])
    return pd.DataFrame(columns, columns=names)


def _category(values: list[Any], known: list[Any]) -> Any:
    """A pandas category of all values that the column had, in their order; any other value is missing."""
    import pandas as pd

    own = {str(value): value for value in known} | {value: value for value in known}
    return pd.Categorical([None if v is None else own.get(v) for v in values], categories=known)


def _column(field: Field, values: list[Any], *, none: bool) -> Any:
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
    if not none:
        values = [float("nan") if v is None else v for v in values]
    column = np.empty(len(values), dtype="object")
    column[:] = values
    return column


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


def _split(model: Any) -> tuple[list[Any], Any]:
    """(steps before it, final estimator) of a scikit-learn Pipeline, so that labels and probabilities share one
    preprocessing pass (most of the time of a call); no steps for anything else.

    Only for exactly Pipeline: a subclass may do something else in `predict`. Step by step, as `predict` does: the
    pipeline without its last step would ask whether it was fitted, which a transformer without state cannot say.
    """
    from sklearn.pipeline import Pipeline

    if type(model) is not Pipeline or len(model.steps) < 2 or model.steps[-1][1] in (None, "passthrough"):
        return [], model
    steps = [step for _, step in model.steps]
    return [step for step in steps[:-1] if step is not None and step != "passthrough"], steps[-1]


def _utc(value: datetime | None) -> datetime | None:
    """Without a zone: what has one is turned to UTC, as the column is."""
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)
