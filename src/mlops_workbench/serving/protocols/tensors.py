"""Tensors of the Open Inference Protocol: from JSON or binary to columns, and from answers back."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.manifest import Field, Kind
from mlops_workbench.serving.errors import shown
from mlops_workbench.serving.protocols.rows import known, refuse

DTYPES = {
    "BOOL": "?",
    **{f"INT{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": f"<f{n}" for n in (2, 4, 8)},
}
DATATYPE: dict[Kind, str] = {
    "double": "FP64",
    "long": "INT64",
    "string": "BYTES",
    "boolean": "BOOL",
    "datetime": "BYTES",
}
"""what a column is described as; datetimes are ISO 8601 text"""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any]
    """flat, row by row; NaN and null are None"""


def read(described: Any, binary: memoryview, start: int, most: int) -> tuple[Tensor, int]:
    """One input, and where the next one's binary data begins. Raises ServingError InvalidData."""
    if not isinstance(described, dict):
        refuse(f"An input must be an object. Got {shown(described)} instead.")
    name, datatype, shape = (described.get(key) for key in ("name", "datatype", "shape"))
    if not isinstance(name, str) or not name:
        refuse(f"An input must have a 'name'. Got {shown(name)} instead.")
    if datatype != "BYTES" and datatype not in DTYPES:
        refuse(f"The datatype of '{name}' must be BYTES, {', '.join(DTYPES)}. Got {shown(datatype)} instead.")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n <= most for n in shape) or not shape:
        refuse(
            f"The shape of '{name}' must be a list of whole numbers up to {most}. Got {shown(shape)} instead."
        )
    parameters = described.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if isinstance(parameters, dict) and "shared_memory_region" in parameters:
        refuse(f"'{name}' lies in shared memory, which is not offered.", "Send its data in the request.")
    count = math.prod(shape)
    if size is None:
        values = _flat(described.get("data"), name)
    else:
        if type(size) is not int or size < 0 or start + size > len(binary):
            refuse(f"'{name}' has {shown(size)} bytes of binary data; {len(binary) - start} were sent.")
        values = _decoded(binary[start : start + size], datatype, name)
        start += size
    if len(values) != count:
        refuse(f"'{name}' has {len(values)} values; its shape {shape} means {count}.")
    return Tensor(name, datatype, tuple(shape), values), start


def _flat(data: Any, name: str) -> list[Any]:
    """JSON data may be nested or flat. Level by level: depth is the sender's choice."""
    if not isinstance(data, list):
        refuse(f"'{name}' must have 'data', a list. Got {shown(data)} instead.")
    while any(isinstance(v, list) for v in data):
        data = [inner for v in data for inner in (v if isinstance(v, list) else [v])]
    return [known(v) for v in data]


def _decoded(raw: memoryview, datatype: str, name: str) -> list[Any]:
    if datatype == "BYTES":
        return _texts(raw, name)
    dtype = np.dtype(DTYPES[datatype])
    if len(raw) % dtype.itemsize:
        refuse(f"'{name}' has {len(raw)} bytes, which is no whole number of {datatype}.")
    if datatype == "BOOL":  # any byte but 0 is true
        return [bool(v) for v in raw]
    return [known(v) for v in np.frombuffer(raw, dtype=dtype).tolist()]


def _texts(raw: memoryview, name: str) -> list[Any]:
    """Each a length of four bytes (little end first) and UTF-8. Binary data has no null: empty is missing."""
    texts: list[Any] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + size > len(raw):
            refuse(f"'{name}' ends in the middle of a text.")
        try:
            texts.append(str(raw[at + 4 : at + 4 + size], "utf-8") or None)
        except UnicodeDecodeError:
            refuse(f"'{name}' holds bytes that are not UTF-8.")
        at += 4 + size
    return texts


def columns(tensors: Sequence[Tensor], fields: Sequence[Field]) -> list[dict[str, Any]]:
    """Rows from one tensor a column ([n] or [n, 1]), or from a single one [n, columns] of numbers."""
    names = [f.name for f in fields]
    only = tensors[0] if len(tensors) == 1 else None
    if only and only.name not in names and len(only.shape) == 2:
        return _matrix(only, fields)
    kinds = {f.name: f.kind for f in fields}
    lengths = {t.name: t.shape[0] for t in tensors}
    if len(lengths) < len(tensors):
        refuse("An input is there twice.")
    if len(set(lengths.values())) > 1:
        refuse(f"The inputs must have one length. Got {shown(lengths, 200)} instead.")
    for tensor in tensors:
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            refuse(f"'{tensor.name}' must have the shape [n] or [n, 1]. Got {list(tensor.shape)} instead.")
        kind = kinds.get(tensor.name)  # the check says which columns there are
        if kind and not _fits(tensor.datatype, kind):
            refuse(f"'{tensor.name}' must be {DATATYPE[kind]}. Got {tensor.datatype} instead.")
    count = next(iter(lengths.values()), 0)
    return [{t.name: t.values[i] for t in tensors} for i in range(count)]


def _matrix(tensor: Tensor, fields: Sequence[Field]) -> list[dict[str, Any]]:
    rows, width = tensor.shape
    other = [f.name for f in fields if not _fits(tensor.datatype, f.kind)]
    if other:
        refuse(
            f"One tensor for all columns takes {tensor.datatype} only, and '{other[0]}' is of another kind.",
            "Send a tensor a column, named like it.",
        )
    if width != len(fields):
        refuse(f"'{tensor.name}' has {width} columns; the model takes {len(fields)}.")
    names = [f.name for f in fields]
    cut = range(0, rows * width, width)
    return [dict(zip(names, tensor.values[i : i + width], strict=True)) for i in cut]


def _fits(datatype: str, kind: Kind) -> bool:
    if kind in ("double", "long"):
        return datatype not in ("BYTES", "BOOL")
    return datatype == DATATYPE[kind]


def label_type(labels: Sequence[Any]) -> str:
    """The datatype that labels or numbers go out as: mixed or nested ones as JSON text would mislead; BYTES."""
    known_ones = [v for v in labels if v is not None]
    if known_ones and all(isinstance(v, bool) for v in known_ones):
        return "BOOL"
    if known_ones and all(type(v) is int and -(2**63) <= v < 2**63 for v in known_ones):
        return "INT64"
    if all(isinstance(v, int | float) for v in known_ones):
        return "FP64"
    return "BYTES"


def encoded(values: Sequence[Any], datatype: str) -> bytes:
    """Binary data of flat values: a missing number is NaN, a missing text is empty."""
    if datatype == "BYTES":
        texts = ["" if v is None else str(v) for v in values]
        return b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))
    if datatype == "FP64":
        values = [math.nan if v is None else v for v in values]
    return np.array(values, dtype=DTYPES[datatype]).tobytes()
