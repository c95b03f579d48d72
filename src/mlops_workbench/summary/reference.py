"""`reference.json` in a version's folder: how the rows looked that a model was fitted on, and what it answered."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlops_workbench.manifest import REFERENCE, read_plain
from mlops_workbench.summary.parts import NO_SUMS, CountArray, NumberArray, Part

PREDICTION, SCORE, LATENCY = "prediction", "score", "latency"
_FORMAT = 1

LATENCY_EDGES = tuple(
    float(m * 10**e) for e in range(5) for m in (1, 1.5, 2, 3, 4, 5, 7) if m * 10**e <= 60_000
)
"""milliseconds: steps of about 1.4, from 1 ms to a minute"""
_LATENCY = Part(LATENCY, "number", LATENCY_EDGES, counts=(0,) * (len(LATENCY_EDGES) + 2))


@dataclass(frozen=True)
class DataReference:
    """Parts in the order in which windows hold them: the model's columns, then its answers, then their latency.

    Columns and answers are kept apart, since a column may be called `prediction`.
    """

    columns: tuple[Part, ...]
    answers: tuple[Part, ...] = ()
    rows: int = 0
    """that the columns are of"""
    answered_rows: int = 0
    """that the answers are of: held-out ones where there are any, since a model is too sure of the rows it has seen"""

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return (*self.columns, *self.answers, _LATENCY)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each part's counts begin, and where the last one's end."""
        return tuple(np.cumsum([0, *(p.width for p in self.parts)]).tolist())

    @cached_property
    def layout(self) -> str:
        """Names the bins: windows of one layout add up."""
        bins = [(p.name, p.form, p.edges, p.names, p.buckets, p.centre) for p in self.parts]
        return hashlib.sha256(json.dumps(bins).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        return self.starts[-1]

    def split(self, counts: CountArray, sums: NumberArray) -> Iterator[tuple[Part, CountArray, NumberArray]]:
        """Each part with its own counts and sums."""
        for place, part in enumerate(self.parts):
            yield part, counts[self.starts[place] : self.starts[place + 1]], sums[place]

    def empty(self) -> tuple[CountArray, NumberArray]:
        return np.zeros(self.size, dtype=np.int64), np.tile(np.array(NO_SUMS), (len(self.parts), 1))

    def dumps(self) -> bytes:
        raw = {"format": _FORMAT, **asdict(self)}
        for part in (*raw["columns"], *raw["answers"]):
            part["sums"] = [v if math.isfinite(v) else None for v in part["sums"]]
        return json.dumps(raw, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def loads(cls, data: bytes) -> DataReference:
        """Raises ValueError for what is no reference, or one of a later format."""
        raw = json.loads(data)
        if raw.pop("format", None) != _FORMAT:
            raise ValueError(f"{REFERENCE} has another format than {_FORMAT}.")
        return cls(**raw | {side: tuple(_part(p) for p in raw[side]) for side in ("columns", "answers")})

    def dump(self, folder: Path) -> str:
        """Write `reference.json`; its SHA-256, for the manifest."""
        data = self.dumps()
        (folder / REFERENCE).write_bytes(data)
        return hashlib.sha256(data).hexdigest()


def _part(raw: dict[str, Any]) -> Part:
    lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
    sums = tuple(NO_SUMS[place] if v is None else v for place, v in enumerate(raw["sums"]))
    return Part(**raw | lists | {"sums": sums})


def load(folder: Path, sha256: str | None) -> DataReference | None:
    """The reference beside a model; None where there is none. Raises ValueError if it is not the one that the manifest
    names (`sha256`), OSError for a link."""
    try:
        data = read_plain(Path(folder) / REFERENCE)
    except FileNotFoundError:
        return None
    if sha256 is None or hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{REFERENCE} is not the one that was registered.")
    return DataReference.loads(data)
