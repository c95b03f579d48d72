"""A fitted model as a plan: arithmetic for numbers, tables for the rest, arrays for the last estimator."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.fastpath import NotCovered
from mlops_workbench.registry.fastpath.columns import PlanColumn, PlanColumns, walk
from mlops_workbench.registry.fastpath.estimators import estimator, require_known

Frame = Callable[[Sequence[Mapping[str, Any]]], Any]
"""rows as the runtime makes a DataFrame of them; handed in"""

_LARGEST = 64 << 20
"""bytes of arrays, beyond which a plan would cost more memory than it saves time"""
_MOST_VALUES = 20_000
_UNSEEN = "\x01 never seen \x01"


@dataclass(frozen=True)
class Compiled:
    """A plan that was written. `sha256`: of its header, which holds that of the arrays."""

    sha256: str
    header: dict[str, Any]
    arrays: dict[str, Any]


def compiled(model: Any, manifest: Manifest, frame: Frame, folder: Path) -> Compiled:
    """Write `fast.json` and `fast.npz`. Raises NotCovered, and writes nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that are unseen on purpose
        header, arrays = _plan(model, manifest, frame)
    if sum(a.nbytes for a in arrays.values()) > _LARGEST:
        raise NotCovered(f"its arrays are larger than {_LARGEST >> 20} MB")
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    header["arrays"] = hashlib.sha256(stored.getvalue()).hexdigest()
    encoded = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    (folder / "fast.npz").write_bytes(stored.getvalue())
    (folder / "fast.json").write_bytes(encoded)
    return Compiled(hashlib.sha256(encoded).hexdigest(), header, arrays)


def _plan(model: Any, manifest: Manifest, frame: Frame) -> tuple[dict[str, Any], dict[str, Any]]:
    names = getattr(model, "feature_names_in_", None)
    if names is not None and list(names) != manifest.columns:
        raise NotCovered("the columns stand in another order than the model's")
    parts, last = _parts(model)
    require_known(last)
    columns: PlanColumns = [
        PlanColumn(i, f.kind, tabled=f.kind == "boolean") for i, f in enumerate(manifest.inputs)
    ]
    for part in parts:
        columns = walk(part, columns)
    for column in (inner for outer in columns for inner in outer.all):
        if column.kind == "datetime" or (column.kind == "string" and not column.encoded):
            raise NotCovered(f"the column '{manifest.inputs[column.raw].name}' is read as it is")
    asked = _Asked(model, parts, manifest, frame)
    header, arrays = estimator(last, sparse=asked.sparse)
    if asked.width != len(columns):
        raise NotCovered("the number of features is not known")
    arrays = {f"estimator.{name}": np.ascontiguousarray(a) for name, a in arrays.items()}
    # also those that no feature is made of: the original looks at them
    numbers = [raw for raw, f in enumerate(manifest.inputs) if f.kind in ("double", "long")]
    return {
        "format": 1,
        "inputs": [{"name": f.name, "kind": f.kind, "nullable": f.nullable} for f in manifest.inputs],
        "features": len(columns),
        "numbers": [manifest.inputs[raw].name for raw in numbers],
        "programs": _programs(columns, numbers, arrays),
        "tables": _tables(columns, manifest, asked, arrays),
        "estimator": header,
    }, arrays


def _parts(model: Any) -> tuple[list[Any], Any]:
    """What comes before the last estimator, and that estimator. As in the runtime: only of exactly Pipeline. A search
    of scikit-learn's answers with its best estimator."""
    from sklearn.pipeline import Pipeline

    parts: list[Any] = []
    last = _best(model)
    while type(last) is Pipeline:
        parts += [step for _, step in last.steps[:-1]]
        last = _best(last.steps[-1][1])
    inner = getattr(last, "_preprocessor", None)  # HistGradientBoosting encodes its categories itself
    return [*parts, inner] if inner is not None else parts, last


def _best(model: Any) -> Any:
    ours = type(model).__module__.startswith("sklearn.model_selection.")
    return _best(model.best_estimator_) if ours and hasattr(model, "best_estimator_") else model


class _Asked:
    """The original's features of rows that are made up: what fills the tables."""

    def __init__(self, model: Any, parts: Sequence[Any], manifest: Manifest, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame
        self._plain_array = hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_")
        self._base = dict(manifest.sample[0]) if manifest.sample else {}
        first, self.sparse = self._features([self._base])
        self.width = first.shape[1]

    def features(self, name: str, values: Sequence[Any]) -> Any:
        """Features (values × width) of rows that differ in one column. Raises what the original raises."""
        return self._features([self._base | {name: value} for value in values])[0]

    def _features(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, bool]:
        found = self._frame(rows)
        if self._plain_array:
            found = found.to_numpy()
        for part in self._parts:
            if part is not None and not isinstance(part, str):
                found = part.transform(found)
        sparse = hasattr(found, "toarray")
        return np.asarray(found.toarray() if sparse else found, dtype=np.float64), sparse


def _programs(columns: PlanColumns, numbers: Sequence[int], arrays: dict[str, Any]) -> list[dict[str, Any]]:
    """Numbers whose steps have the same names run side by side."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, column in enumerate(columns):
        if not column.tabled:
            alike.setdefault(tuple(s[0] for s in column.steps), []).append(place)
    programs = []
    for names, places in alike.items():
        steps = []
        for at, name in enumerate(names):
            given = []
            for which in range(len(columns[places[0]].steps[at]) - 1):
                key = f"number.{len(arrays)}"
                arrays[key] = np.array([columns[p].steps[at][1 + which] for p in places], dtype=np.float64)
                given.append(key)
            steps.append([name, *given])
        rows = [numbers.index(columns[p].raw) for p in places]
        programs.append({"from": rows, "to": places, "steps": steps})
    return programs


def _tables(
    columns: PlanColumns, manifest: Manifest, asked: _Asked, arrays: dict[str, Any]
) -> list[dict[str, Any]]:
    tables = []
    every = [inner for column in columns for inner in column.all]
    for raw in sorted({c.raw for c in every if c.tabled}):
        places = [i for i, c in enumerate(columns) if c.tabled and c.raw == raw]
        field = manifest.inputs[raw]
        if field.kind == "boolean":
            keys: list[Any] = [False, True]
        else:
            keys = list(dict.fromkeys(v for c in every if c.tabled and c.raw == raw for v in c.values))
        if len(keys) > _MOST_VALUES:
            raise NotCovered(f"the column '{field.name}' has more than {_MOST_VALUES:,} known values")
        number = field.kind in ("double", "long")
        rows = [asked.features(field.name, keys)[:, places]] if keys else []
        missing = _asked_one(asked, field.name, None, places)
        unseen: Any = (max([*map(float, keys), 0.0]) + 0.515625) if number else _UNSEEN
        unknown = None if field.kind == "boolean" else _asked_one(asked, field.name, unseen, places)
        codes: list[int] = []
        for row in (missing, unknown):
            codes.append(-1 if row is None else len(keys) + len([c for c in codes if c >= 0]))
            rows += [] if row is None else [row]
        key = f"table.{len(arrays)}"
        arrays[key] = np.concatenate(rows) if rows else np.zeros((1, len(places)))
        tables.append(
            {
                "column": field.name,
                "number": number,
                "keys": keys,
                "missing": codes[0],
                "unknown": codes[1],
                "values": key,
                "to": places,
            }
        )
    return tables


def _asked_one(asked: _Asked, name: str, value: Any, places: list[int]) -> Any:
    """One row of the table; None when the original refuses that value."""
    try:
        return asked.features(name, [value])[:, places]
    except (ValueError, TypeError):
        return None
