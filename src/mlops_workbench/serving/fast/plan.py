"""A plan on disk: `fast.json` (what to do) and `fast.npz` (with which numbers). Data, never code.

The manifest holds the SHA-256 of `fast.json`, which holds that of `fast.npz`: the bytes that were proven are the
bytes that are read.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlops_workbench.manifest import read_plain

HEADER = "fast.json"
ARRAYS = "fast.npz"
FORMAT = 1


class PlanRefused(Exception):
    """The plan is not the one that was proven, or cannot be read here."""


@dataclass(frozen=True, slots=True)
class Plan:
    header: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Plan:
        """Raises PlanRefused if a file is missing, differs from what was proven, or is of another format."""
        try:
            header_text, stored = read_plain(folder / HEADER), read_plain(folder / ARRAYS)
        except OSError as error:
            raise PlanRefused(f"The fast path's plan cannot be read: {error.strerror}.") from error
        if hashlib.sha256(header_text).hexdigest() != sha256:
            raise PlanRefused(f"'{HEADER}' is not the plan that was proven: its SHA-256 differs.")
        header = json.loads(header_text)
        if header.get("format") != FORMAT:
            raise PlanRefused(f"'{HEADER}' has format {header.get('format')!r}; {FORMAT} is read here.")
        if hashlib.sha256(stored).hexdigest() != header["arrays"]:
            raise PlanRefused(f"'{ARRAYS}' is not the plan that was proven: its SHA-256 differs.")
        with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
            return cls(header, {name: arrays[name] for name in arrays.files})
