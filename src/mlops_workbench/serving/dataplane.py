"""The model without the web: a folder that is verified and loaded, and rows in, predictions out.

A version with a proven fast path is answered by that; the original, with pandas and scikit-learn, is loaded when the
first row comes that the fast path leaves to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_workbench.manifest import FILE_NAME, Manifest
from mlops_workbench.serving.answers import Prediction as Prediction
from mlops_workbench.serving.answers import Row as Row
from mlops_workbench.serving.errors import ModelRefused, ServingError
from mlops_workbench.serving.logs import report
from mlops_workbench.serving.original import Original, as_frame, model_file, require_digest
from mlops_workbench.serving.pyfunc import PyFunc

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.serving.fast.evaluator import Evaluator

logger = logging.getLogger("mlops_workbench.serving")


@dataclass(frozen=True, slots=True)
class Warmup:
    """What the first call on the manifest's sample showed."""

    rows: int
    differing: int
    """rows that were answered otherwise than in the notebook; 0 is right"""


class StillLoading(Exception):
    """The original is being loaded for these rows; `DataPlane.when_loaded` is called when to ask again."""


class DataPlane:
    """A loaded model. Made by `load`; `predict` may be called from one thread at a time."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        name: str,
        version: str,
        original: Original | PyFunc | Callable[[], Original | PyFunc],
        fast: Evaluator | None = None,
        fast_only: bool = False,
    ) -> None:
        """A function as `original` is called when the model itself is first needed; with `fast_only` it never is."""
        self.manifest = manifest
        self.name = name
        self.version = version
        self.digest = manifest.sha256
        self.warmup: Warmup | None = None
        self._original = None if callable(original) else original
        self._load = original if callable(original) else lambda: original
        self._fast = fast
        self.fast_only = fast_only
        self._loading = threading.Lock()
        self._beside: Literal["", "loading", "done"] = ""
        self.when_loaded: Callable[[], None] = lambda: None
        """called in another thread when what `predict` raised StillLoading for has been loaded, or cannot be"""

    @property
    def gives_probabilities(self) -> bool:
        return self.original.gives_probabilities if self._fast is None else self._fast.gives_probabilities

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        version: str,
        digest: str | None = None,
        fast: bool = True,
        fast_only: bool = False,
        plan: str | None = None,
    ) -> DataPlane:
        """Read, verify, then load what answers: the fast path if it is proven and wanted, else the original.

        Raises ModelRefused if the folder is incomplete, the file's SHA-256 is neither the manifest's nor
        `digest` (of the registry), the plan is not the one that was proven (or not `plan`, the registry's), or the
        file holds types that were not listed at registration. With `fast_only` there is no file of the model: the
        plan's digest alone vouches for what answers.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        evaluator = _evaluator(folder, manifest, plan) if fast else None
        if fast_only:
            _require_alone(manifest, evaluator, digest, plan)
        elif evaluator is not None:
            require_digest(manifest.digest_of(folder), manifest, digest, model_file(folder, manifest))

        def original() -> Original | PyFunc:
            return _kind(manifest).load(folder, manifest, digest)

        return cls(
            manifest,
            name=name,
            version=version,
            original=original() if evaluator is None else original,
            fast=evaluator,
            fast_only=fast_only,
        )

    @property
    def model(self) -> Any:
        return self.original.model

    @property
    def original(self) -> Original | PyFunc:
        """The model itself, loaded now if it was not. Raises ModelRefused."""
        with self._loading:
            if self._original is None:
                self._original = self._load()
                self._compare(self._original)
            return self._original

    @property
    def path(self) -> str:
        """`fast` or `original`: which one answers ordinary rows."""
        return "original" if self._fast is None else "fast"

    def warm(self) -> Warmup:
        """Predict the manifest's sample, so that the first caller does not pay for imports and caches.

        Raises ModelRefused if the model cannot answer it here (another library version, a missing part).
        """
        sample = self.manifest.sample
        differing = 0
        if sample:
            try:
                answer = self.predict([self.from_json(row) for row in sample])
            except ModelRefused:
                raise
            except ServingError as error:
                raise ModelRefused(error.message, error.next_step) from None
            except Exception as error:
                raise ModelRefused(
                    f"The model '{self.name}' version {self.version} cannot answer its own sample rows here: "
                    f"{type(error).__name__}: {error}.",
                    "Compare the installed libraries with the manifest's requirements.",
                ) from error
            differing = sum(
                not _agree(a, b) for a, b in zip(answer.values, self.manifest.expected, strict=False)
            )
            if differing and self.fast_only:
                raise ModelRefused(
                    f"The fast path answers {differing} of its sample rows otherwise than in the notebook, and there "
                    "is no original model here.",
                    "Build the image with the original model.",
                )
            if differing and self._fast is not None:
                logger.warning("fast path off", extra={"facts": {"why": "its sample rows differ"}})
                self._fast = None
                return self.warm()
        self.warmup = Warmup(rows=len(sample), differing=differing)
        return self.warmup

    def predict(self, rows: Sequence[Row], *, wait: bool = True) -> Prediction:
        """One model call for all rows. A column that a row lacks is missing (null).

        Without `wait` it raises StillLoading for rows that need the original, while that is loaded beside.
        """
        if self._fast is None:
            return self.original.predict(rows)
        found = self._fast.answer(rows)
        if not found.left:
            return Prediction(found.values, found.probabilities)
        if self.fast_only:
            raise _not_covered(found.left, len(rows))
        if not wait and self._load_beside():
            raise StillLoading
        rest = self.original.predict([rows[i] for i in found.left])
        if not found.values:
            return rest
        return Prediction(
            _merged(found.values, rest.values, found.left),
            None
            if found.probabilities is None or rest.probabilities is None
            else _merged(found.probabilities, rest.probabilities, found.left),
        )

    def _load_beside(self) -> bool:
        """Whether the original is not there yet, but will be: in the seconds of its imports others are answered."""
        if self._original is not None or self._beside == "done":
            # Done and not there: it could not be loaded, and says why when it is asked for again.
            return False
        if not self._beside:
            self._beside = "loading"
            threading.Thread(target=self._load_now, name="mlops-original", daemon=True).start()
        return True

    def _load_now(self) -> None:
        try:
            _ = self.original
        except Exception as error:  # whatever a model raises when it is loaded
            report(logger, "original not loaded", error)
        finally:
            self._beside = "done"
            self.when_loaded()

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Rows as the DataFrame the model was fitted on: the manifest's columns, order and types."""
        return as_frame(self.manifest, rows)

    def _compare(self, original: Original | PyFunc) -> None:
        """Ask both for the sample rows: other libraries than those of the proof may answer otherwise."""
        if self._fast is None or not self.manifest.sample:
            return
        rows = [self.from_json(row) for row in self.manifest.sample]
        found = self._fast.answer(rows)
        left = set(found.left)
        wanted = original.predict(rows)
        own = [value for i, value in enumerate(wanted.values) if i not in left]
        if not all(_agree(a, b) for a, b in zip(found.values, own, strict=True)):
            logger.warning("fast path off", extra={"facts": {"why": "the original answers otherwise here"}})
            self._fast = None

    def from_json(self, row: Row) -> dict[str, Any]:
        return from_json(self.manifest, row)


def from_json(manifest: Manifest, row: Row) -> dict[str, Any]:
    """A sample row of the manifest: times are ISO 8601 text there."""
    times = {f.name for f in manifest.inputs if f.kind == "datetime"}
    if not times:
        return dict(row)
    return {k: datetime.fromisoformat(v) if k in times and isinstance(v, str) else v for k, v in row.items()}


def _kind(manifest: Manifest) -> type[Original] | type[PyFunc]:
    return PyFunc if manifest.serialization == "pyfunc" else Original


def read_manifest(folder: Path) -> Manifest:
    """Raises ModelRefused."""
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


def _require_alone(
    manifest: Manifest, evaluator: Evaluator | None, digest: str | None, plan: str | None
) -> None:
    """Raises ModelRefused where no fast path answers, or the registry's digests are not known."""
    if evaluator is None:
        raise ModelRefused(
            f"There is no original model of '{manifest.name}' here, and its fast path is not to be used.",
            "Leave out MLOPS_FAST=0, or build the image with the original model.",
        )
    if not plan or not digest or digest.removeprefix("sha256:") != manifest.sha256:
        raise ModelRefused(
            f"The fast path of '{manifest.name}' is not vouched for: MLOPS_PLAN_DIGEST and MLOPS_MODEL_DIGEST must be "
            "those of the registry.",
            "Build the image again.",
        )


def _not_covered(left: list[int], rows: int) -> ServingError:
    which = f"Row {left[0]}" + (f" and {len(left) - 1} more of {rows}" if len(left) > 1 else "")
    return ServingError(
        "InvalidData",
        f"{which} cannot be answered here: the fast path is not proven for such values (a number beyond 1e100, one at "
        "which the order of summation decides, or a value that the model refuses), and this image holds nothing else.",
        "Ask a service with the original model, or correct the row.",
    )


def _evaluator(folder: Path, manifest: Manifest, plan: str | None = None) -> Evaluator | None:
    """The fast path, if the manifest says that it is proven. Raises ModelRefused."""
    record = manifest.extra.get("fast") or {"proven": False}
    if plan and plan != record.get("sha256"):
        raise ModelRefused(
            f"The fast path of '{manifest.name}' is not the one that was registered: the registry recorded "
            f"{plan[:16]}….",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )
    if not record["proven"]:
        return None
    from mlops_workbench.serving.fast.evaluator import Evaluator
    from mlops_workbench.serving.fast.plan import Plan, PlanRefused

    try:
        return Evaluator(Plan.read(folder, record["sha256"]))
    except (PlanRefused, KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelRefused(
            f"The fast path of '{manifest.name}' is refused: {error}",
            "Fetch the version again, or serve it without: MLOPS_FAST=0.",
        ) from error


def _merged(own: list[Any], rest: list[Any], left: list[int]) -> list[Any]:
    """Both answers in the rows' order; `left`: the positions of the rest."""
    places, first, second = set(left), iter(own), iter(rest)
    return [next(second) if i in places else next(first) for i in range(len(own) + len(rest))]


def _agree(answer: Any, expected: Any) -> bool:
    """Labels must be equal; numbers may differ in the last digits (another CPU sums in another order)."""
    if isinstance(answer, float) and isinstance(expected, int | float):
        return abs(answer - expected) <= 1e-6 * max(1.0, abs(expected))
    if isinstance(answer, dict) and isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(_agree(v, expected[k]) for k, v in answer.items())
    if isinstance(answer, list) and isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_agree, answer, expected))
    return bool(answer == expected)
