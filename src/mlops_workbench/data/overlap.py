"""How many rows that a model is judged on are rows that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_workbench.data.kinds import as_kind, kind_of, numbers_of
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Overlap:
    """`seen` of `rows` judged rows equal one that the model was fitted on, label included.

    `repeated`: share of the rows it was fitted on that equal another one of them. As many of fresh rows from the same
    source are expected to equal one by chance: with a few columns of few values that may be most.
    """

    rows: int
    seen: int
    repeated: float

    @property
    def share(self) -> float:
        return self.seen / self.rows

    @property
    def trained(self) -> float:
        """The share of judged rows that must be taken for rows it was fitted on, 0..1: what is beyond chance.

        Chance is five standard deviations of a binomial count above `repeated`. Of a share t of training rows and
        1 - t of fresh ones, t + (1 - t)·repeated are seen; solved for t.
        """
        chance = self.repeated + 5 * (self.repeated * (1 - self.repeated) / self.rows) ** 0.5
        return max(0.0, (self.share - chance) / (1 - self.repeated)) if self.repeated < 1 else 0.0


def overlap(fitted_on: pd.DataFrame, judged: pd.DataFrame, columns: Mapping[str, Kind]) -> Overlap:
    """Compared by `columns`, those of the model and its label, as values of their kinds: a whole number equals one
    with a point, and a category its text."""
    import numpy as np

    before, now = (_hashes(frame, columns) for frame in (fitted_on, judged))
    _, place, count = np.unique(before, return_inverse=True, return_counts=True)
    return Overlap(len(now), int(np.isin(now, before).sum()), float((count[place] > 1).mean()))


def _hashes(frame: pd.DataFrame, columns: Mapping[str, Kind]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    import numpy as np
    import pandas as pd

    found = np.zeros(len(frame), dtype=np.uint64)
    for name, kind in columns.items():
        found = found * np.uint64(1_000_003) ^ pd.util.hash_array(_values(frame[name], kind))
    return found


def _values(series: pd.Series[Any], kind: Kind) -> Any:
    import pandas as pd

    taken = as_kind(series, kind)
    known = kind_of(taken)
    if kind in ("double", "long", "boolean") and known in ("double", "boolean"):
        return numbers_of(taken) + 0.0  # -0.0 is 0.0
    if kind == "datetime" and known == "datetime":
        return pd.to_datetime(taken, utc=True, errors="coerce").to_numpy()
    return as_kind(taken.astype(object).where(taken.notna(), ""), "string").astype(str).to_numpy(dtype=object)
