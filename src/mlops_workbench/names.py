"""Names of the inference log's tables and columns, by the rule the serving runtime writes them with.

The runtime runs alone in its image, so the rule's home is `mlops_workbench.serving.tables`; a test holds both
equal.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_IDENTIFIER = 63  # PostgreSQL cuts identifiers at so many bytes
_SLUG = 44  # leaves room for what is put around a slug


def slug(name: str) -> str:
    """A model's name as part of a table's name; no two names give the same.

    A name that is not its own slug gets a short hash, and so does one that looks as if it had one.
    """
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())
    if plain == name and len(plain) <= _SLUG and not re.search(r"_[0-9a-f]{8}$", plain):
        return plain
    return f"{plain[: _SLUG - 9]}_{_short_hash(name)}"


def feature_columns(names: Iterable[str]) -> dict[str, str]:
    """Feature name → column name: `x_<name>`, with a hash only where a database could not tell two apart."""
    names = list(names)
    folded = Counter(n.lower() for n in names)
    columns = {}
    for name in names:
        column = f"x_{name}"
        if folded[name.lower()] > 1 or len(column.encode()) > _IDENTIFIER:
            column = f"{column.encode()[: _IDENTIFIER - 9].decode(errors='ignore')}_{_short_hash(name)}"
        columns[name] = column
    return columns


def _short_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
