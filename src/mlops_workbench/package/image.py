"""Built images as values: what was built, and the proof that it answers as the notebook did."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from mlops_workbench.base.values import Value
from mlops_workbench.manifest import Manifest


@dataclass(frozen=True)
class ContractProof(Value):
    """The sample rows, asked through one contract."""

    contract: str
    path: str
    rows: int
    equal: int
    difference: float
    """the largest of a number or probability; 0 where only labels were compared"""


@dataclass(frozen=True)
class ImageProof(Value):
    """A container of the image, asked the recorded sample rows through every contract."""

    contracts: tuple[ContractProof, ...]
    seconds: float

    @property
    def sentence(self) -> str:
        if not self.contracts:
            return "none was recorded"
        rows = self.contracts[0].rows
        worst = max(c.difference for c in self.contracts)
        summary = f"{rows} sample rows through {len(self.contracts)} contracts answered as in the notebook"
        return f"{summary}, largest difference {worst:.0e}" if worst else summary


Prove = Callable[[str, Manifest], ImageProof]
"""Starts an image by its tag and asks it; handed in by the verb. Raises ServingFailed with the end of its log."""


@dataclass(frozen=True)
class Image(Value):
    """A built image."""

    tag: str
    id: str
    model: str
    version: str
    base: str
    platform: str
    """`linux/amd64`"""
    fast_only: bool
    """whether it holds the fast path alone, without the original model"""
    size_mb: float
    """all layers, the base's too"""
    added_mb: float
    """over the base"""
    seconds: float
    """all of it: wheels, build and proof"""
    created: datetime
    steps: int
    cached: int
    """steps that an earlier build had done already"""
    proof: ImageProof
    lock: str
    """file of the locked requirements with their hashes"""
    sbom: str
    """file of the bill of materials (CycloneDX)"""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Image:
        """The inverse of `to_dict`, also for older records, which have no proof."""
        proof = raw.get("proof") or {"contracts": (), "seconds": 0.0}
        contracts = tuple(ContractProof(**one) for one in proof["contracts"])
        known: dict[str, Any] = {
            "platform": "",
            "fast_only": False,
            "steps": 0,
            "cached": 0,
            "lock": "",
            "sbom": "",
        } | {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        made = {
            "created": datetime.fromisoformat(raw["created"]),
            "proof": ImageProof(contracts, proof["seconds"]),
        }
        return cls(**known | made)

    @property
    def title(self) -> str:
        return f"Image {self.tag}"

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [
            ["id", self.id.removeprefix("sha256:")[:12]],
            ["size", f"{self.size_mb:.0f} MB, of which {self.added_mb:.0f} MB over {self.base}"],
            ["platform", self.platform],
            ["holds", "the fast path alone" if self.fast_only else "the model and its libraries"],
            ["proof", self.proof.sentence],
            ["took", f"{self.seconds:.1f} s, {self.cached} of {self.steps} steps were done before"],
            ["requirements", self.lock],
            ["bill of materials", self.sbom],
        ]


@dataclass(frozen=True)
class Listed(Value):
    """An image that was built, and what has become of it."""

    model: str
    version: int
    tag: str
    size_mb: float
    added_mb: float
    base: str
    platform: str
    fast_only: bool
    created: str
    here: bool | None
    """whether the engine still has that very image; None when no engine answers"""
    deployments: tuple[str, ...]
    """addresses of what runs from it"""
    lock: str
    sbom: str


@dataclass(frozen=True)
class ImageList(Value):
    """Images that were built, newest first."""

    images: tuple[Listed, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        heads = ["model", "version", "tag", "MB", "added", "holds", "base", "platform", "created", "here"]
        return [*heads, "serves"], [
            [
                *(i.model, i.version, i.tag, round(i.size_mb), round(i.added_mb)),
                "fast path" if i.fast_only else "model",
                *(i.base, i.platform or None, i.created[:16].replace("T", " ")),
                {True: "yes", False: "no", None: None}[i.here],
                ", ".join(i.deployments) or None,
            ]
            for i in self.images
        ]


def listed(image: Image, version: int, *, here: bool | None, deployments: tuple[str, ...]) -> Listed:
    same = {f.name: getattr(image, f.name) for f in fields(Listed) if f.name in _SAME}
    return Listed(
        **same, version=version, created=image.created.isoformat(), here=here, deployments=deployments
    )


_SAME = ("model", "tag", "size_mb", "added_mb", "base", "platform", "fast_only", "lock", "sbom")


def image_repository(name: str) -> str:
    """`mlops/<name>`, with a short hash where the name has characters that an image's name may not have."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name:
        return f"mlops/{plain}"
    return f"mlops/{plain or 'model'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
