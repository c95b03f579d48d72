"""The rows that a model is proven on, and the comparison of what it answers where it is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Protocol

from mlops_workbench.base.errors import InvalidModel
from mlops_workbench.data.kinds import kind_of
from mlops_workbench.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5
"""rows that the manifest keeps"""
_COMPLETE = 3
_PROOF_ROWS = 300
_FAST_ROWS = 2_000
_CELLS = 400_000
"""of the rows that a fast path is proven on: a wide model is asked fewer rows"""
_EACH_VALUE = 24
"""values of one column that get a row each"""


class Answers(Protocol):
    """What a served model says: one label or number a row, and probabilities (rows × classes) if it has them."""

    @property
    def values(self) -> Sequence[Any]: ...

    @property
    def probabilities(self) -> Sequence[Sequence[float]] | None: ...


@dataclass(frozen=True)
class NotebookAnswers:
    """Answers that the notebook's model gave."""

    values: Sequence[Any]
    probabilities: Sequence[Sequence[float]] | None = None


def sample_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The first rows, some with missing values if there are any, and some in which something is rare."""
    import numpy as np

    incomplete = frame.isna().any(axis=1).to_numpy()
    some = np.flatnonzero(incomplete)[:2].tolist()
    first = np.flatnonzero(~incomplete)[:SAMPLE_ROWS].tolist()
    head = [*first[: _COMPLETE - len(some) // 2], *some]
    return frame.iloc[list(dict.fromkeys([*head, *_telling(frame, 2 * SAMPLE_ROWS), *first]))[:SAMPLE_ROWS]]


def proof_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that a model must answer as in the notebook: the first ones, those with each column's gaps, extremes, rare
    values, hours and changes of a time zone, and others from all over the frame."""
    import numpy as np

    most = min(_PROOF_ROWS, max(50, _CELLS // max(1, frame.shape[1])))
    anywhere = np.random.default_rng(0).permutation(len(frame))[:most].tolist()
    chosen = dict.fromkeys([*range(min(10, len(frame))), *_telling(frame, 2 * most // 3), *anywhere])
    return frame.iloc[list(chosen)[:most]]


def _telling(frame: pd.DataFrame, most: int) -> list[int]:
    """Places of rows, at most so many: the first of each column, then the second of each, and so on."""
    columns = [_telling_of(frame[name]) for name in frame.columns]
    found: dict[int, None] = {}
    for place in chain.from_iterable(zip_longest(*columns)):
        if place is not None:
            found[int(place)] = None
        if len(found) >= most:
            break
    return list(found)


def _telling_of(series: pd.Series[Any]) -> Iterator[int]:
    """Rows in which a column has something that its other rows may not have; the most telling first."""
    import numpy as np
    import pandas as pd

    gaps = series.isna().to_numpy()
    kind = kind_of(series)
    if kind == "datetime" and not gaps.all():
        zone = series.dt.tz
        # a time that is read in another zone differs in some hours only, and in some months by another hour
        hours = series.dt.hour.astype(str)
        if zone is not None:
            hours = hours + series.map(lambda t: "" if t is pd.NaT else t.strftime("%z"))
        yield from np.flatnonzero(~hours.duplicated().to_numpy() & ~gaps)[: 2 * _EACH_VALUE].tolist()
    if kind == "double" and pd.api.types.is_numeric_dtype(series.dtype):
        values = series.to_numpy(dtype=float, na_value=np.nan)
        if not gaps.all():
            yield int(np.nanargmin(values))
            yield int(np.nanargmax(values))
    elif not gaps.all():
        try:
            counted = series.value_counts(sort=False, dropna=True)
            rare = counted[counted > 0].sort_values(kind="stable").index[:_EACH_VALUE]
            first = ~series.duplicated().to_numpy() & series.isin(list(rare)).to_numpy()
        except TypeError:  # values that have no hash
            return
        yield from np.flatnonzero(first).tolist()
    yield from np.flatnonzero(gaps)[:1].tolist()


def some(frame: pd.DataFrame, most: int = _FAST_ROWS) -> pd.DataFrame:
    """Rows to ask, from all over the frame, fewer of a wide one. Infinities are no rows that can be asked."""
    import numpy as np

    numbers = frame.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan)
    finite = np.flatnonzero(~np.isinf(numbers).any(axis=1))
    most = min(most, max(100, _CELLS // max(1, frame.shape[1])))
    chosen = np.random.default_rng(0).permutation(finite)[:most]
    return frame.iloc[np.sort(chosen)]


def prove(served: Answers, wanted: Answers, label: str) -> None:
    """Raises `InvalidModel` if the runtime did not answer as the notebook's model did."""
    found = differing(served, wanted.values, wanted.probabilities)
    if found:
        raise InvalidModel(
            f"Served from its file, '{label}' answers otherwise than in the notebook: {found}.",
            "A served column holds numbers, texts, booleans or times: fit the model on such columns.",
        )


def difference(manifest: Manifest, answers: Answers, tolerance: float = 1e-9) -> str:
    """How answers on the sample rows differ from the recorded ones; empty when they do not."""
    return differing(answers, manifest.expected, manifest.expected_probabilities, tolerance)


def differing(
    answers: Answers,
    wanted: Sequence[Any],
    probabilities: Sequence[Sequence[float]] | None,
    tolerance: float = 1e-9,
) -> str:
    """How answers differ from what is wanted, with the first row; empty when they do not."""
    import numpy as np

    for row, (got, right) in enumerate(zip(answers.values, wanted, strict=True)):
        if not alike(got, right, tolerance):
            return f"sample row {row}: {got!r}, recorded {right!r}"
    if probabilities:
        gaps = np.abs(np.asarray(answers.probabilities) - np.asarray(probabilities))
        if not (gap := gaps.max()) <= tolerance:
            return f"probabilities differ by up to {gap:.2g}"
    return ""


def alike(got: Any, wanted: Any, tolerance: float = 1e-9) -> bool:
    """Numbers within the tolerance, all else equal; inside of lists and objects too."""
    import numpy as np

    if isinstance(wanted, float) and isinstance(got, int | float):
        return bool(np.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True))
    if isinstance(wanted, dict) and isinstance(got, dict):
        return got.keys() == wanted.keys() and all(alike(got[k], v, tolerance) for k, v in wanted.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(got) == len(wanted) and all(
            alike(a, b, tolerance) for a, b in zip(got, wanted, strict=True)
        )
    return bool(got == wanted)
