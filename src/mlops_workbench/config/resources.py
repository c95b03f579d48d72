"""Memory and cores that a container may use: their defaults, and how people write them."""

from __future__ import annotations

import re

MEMORY, CPUS = "2g", 1.0
MEMORY_PATTERN = r"^\s*(\d{1,6})([kmgKMG])[bB]?\s*$"
FEWEST_CPUS, MOST_CPUS = 0.01, 1024.0
MEMORY_WORDS = "be memory from 64m up, such as 512m or 2g"
"""with less than 64 MB nothing of ours starts any more"""


def as_memory(text: str) -> str:
    """`512m`, `2g`. Raises ValueError."""
    found = re.match(MEMORY_PATTERN, text)
    if (
        found is None
        or int(found[1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[found[2].lower()] < 64 << 20
    ):
        raise ValueError(f"must {MEMORY_WORDS}. Got '{text}' instead")
    return f"{int(found[1])}{found[2].lower()}"


def as_cpus(text: str) -> float:
    """`0.5`, `2`. Raises ValueError; how many there are is for the engine to say."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not FEWEST_CPUS <= value <= MOST_CPUS:
        raise ValueError(
            f"must be a number of cores from {FEWEST_CPUS} up, such as 0.5 or 2. Got '{text}' instead"
        )
    return value
