"""How a model's name becomes part of a table's name."""

from __future__ import annotations

import hashlib
import re


def slug(name: str) -> str:
    """Lower case, anything but a-z, 0-9 and _ replaced by _; a hash is appended where that changed the name.

    Two different names never share a slug: `flights` stays, `Flights` becomes `flights_` and the first eight
    hexadecimal digits of the name's SHA-256.
    """
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())
    if plain == name:
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
