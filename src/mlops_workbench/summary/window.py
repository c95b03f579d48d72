"""A window: the rows of a period, counted in the reference's bins. Windows add up, in any order."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.summary.parts import SUMS, CountArray, NumberArray
from mlops_workbench.summary.reference import DataReference

MINUTE, HOUR = 60, 3600
"""seconds that a window is of"""
_AT_ONCE = 256
"""windows that are added up together"""


@dataclass(slots=True)
class Window:
    """`counts` and `sums` as `DataReference.split` takes them apart."""

    rows: int
    requests: int
    counts: CountArray
    sums: NumberArray

    @classmethod
    def empty(cls, reference: DataReference) -> Window:
        return cls(0, 0, *reference.empty())

    def add(self, other: Window) -> None:
        self.rows += other.rows
        self.requests += other.requests
        self.counts += other.counts
        self.sums[:, :2] += other.sums[:, :2]
        np.minimum(self.sums[:, 2], other.sums[:, 2], out=self.sums[:, 2])
        np.maximum(self.sums[:, 3], other.sums[:, 3], out=self.sums[:, 3])

    def dumps(self) -> bytes:
        """Compressed, since most bins of a minute are empty."""
        return zlib.compress(self.counts.astype("<u4").tobytes() + self.sums.astype("<f8").tobytes(), 1)

    def add_dumped(self, reference: DataReference, dumped: Sequence[tuple[int, int, bytes]]) -> None:
        """Many at once, each as its rows, its requests and what `dumps` gave. Raises ValueError for windows of another
        layout."""
        size, width = 4 * reference.size, 8 * SUMS * len(reference.parts)
        for start in range(0, len(dumped), _AT_ONCE):
            some = dumped[start : start + _AT_ONCE]
            raw = [zlib.decompress(data) for _, _, data in some]
            if any(len(each) != size + width for each in raw):
                raise ValueError("A window of another layout.")
            counts = np.frombuffer(b"".join(each[:size] for each in raw), dtype="<u4")
            sums = np.frombuffer(b"".join(each[size:] for each in raw), dtype="<f8")
            self.counts += counts.reshape(len(some), -1).sum(axis=0, dtype=np.int64)
            sums = sums.reshape(len(some), -1, SUMS)
            self.sums[:, :2] += sums[:, :, :2].sum(axis=0)
            np.minimum(self.sums[:, 2], sums[:, :, 2].min(axis=0), out=self.sums[:, 2])
            np.maximum(self.sums[:, 3], sums[:, :, 3].max(axis=0), out=self.sums[:, 3])
        self.rows += sum(rows for rows, _, _ in dumped)
        self.requests += sum(requests for _, requests, _ in dumped)


def counted(
    reference: DataReference,
    columns: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Sequence[Any]],
    *,
    requests: int,
) -> Window:
    """One window of rows, column by column. `answers`: predictions, scores and latencies, by name. A column that is
    not there has missing values only."""
    rows = len(next(iter(answers.values())))
    nothing = [None] * rows
    parts = reference.parts
    given = [columns.get(p.name, nothing) for p in reference.columns]
    given += [answers.get(p.name, nothing) for p in parts[len(given) :]]
    found = [part.count(values) for part, values in zip(parts, given, strict=True)]
    counts = np.concatenate([c for c, _ in found])
    return Window(rows, requests, counts, np.stack([s for _, s in found]))
