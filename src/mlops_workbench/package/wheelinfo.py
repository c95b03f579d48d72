"""What a wheel says of itself: name, version, licence, and what it needs. The file is read, nothing is imported."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlops_workbench.manifest import file_sha256

_LONGEST_LICENCE = 100
"""characters; beyond it the field holds the licence's text, not its name"""


@dataclass(frozen=True, slots=True)
class WheelInfo:
    """`licence`: an SPDX expression or a name, as the package says it; empty when it says none."""

    name: str
    version: str
    sha256: str
    licence: str
    summary: str
    requires: tuple[Requirement, ...]


def read(wheel: Path) -> WheelInfo:
    with zipfile.ZipFile(wheel) as archive:
        (file,) = (n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(file).decode("utf-8", errors="replace"))
    return WheelInfo(
        name=canonicalize_name(metadata["Name"]),
        version=metadata["Version"],
        sha256=file_sha256(wheel),
        licence=_licence(metadata),
        summary=metadata.get("Summary", ""),
        requires=tuple(_requires(metadata.get_all("Requires-Dist", []))),
    )


def _licence(metadata: Message) -> str:
    if expression := metadata.get("License-Expression"):
        return str(expression).strip()
    named = " ".join(str(metadata.get("License", "")).split())
    if named and len(named) <= _LONGEST_LICENCE and named.upper() != "UNKNOWN":
        return named
    kinds = [
        str(c).rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License ")
    ]
    return " AND ".join(kinds) if len(kinds) == 1 else ", ".join(kinds)


def _requires(lines: Iterable[str]) -> Iterable[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:  # an old package's own way of saying it: pip passes it over, too
            continue


def closure(
    wheels: Sequence[WheelInfo], roots: Iterable[str], environment: dict[str, str]
) -> tuple[WheelInfo, ...]:
    """Of these wheels those that `roots` need in an environment (of markers), with what they need in turn."""
    known = {wheel.name: wheel for wheel in wheels}
    waiting = [canonicalize_name(root) for root in roots]
    found: dict[str, WheelInfo] = {}
    while waiting:
        name = waiting.pop()
        if name in found or name not in known:
            continue
        found[name] = known[name]
        waiting += [
            canonicalize_name(need.name)
            for need in known[name].requires
            if need.marker is None or need.marker.evaluate({"extra": ""} | environment)
        ]
    return tuple(found[name] for name in sorted(found))


def lock(wheels: Iterable[WheelInfo]) -> str:
    """`requirements.txt` that pip takes with `--require-hashes`: these very files and no others."""
    lines = (f"{w.name}=={w.version} \\\n    --hash=sha256:{w.sha256}\n" for w in wheels)
    return "".join(lines)
