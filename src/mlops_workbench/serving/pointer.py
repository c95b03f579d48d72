"""The file that a following runtime looks at: which version it is to serve, and which one to have ready.

It lies beside the versions' folders, which it names relative to itself, so that all of it can be mounted somewhere
else. Who moves the alias writes it whole or not at all; the runtime only reads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.manifest import Digests
from mlops_workbench.serving.errors import ModelRefused

FILE_NAME = "current.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Target:
    """A version, and where its folder is."""

    version: str
    digest: str
    folder: str
    """name of a folder beside the pointer"""
    plan: str = ""
    """SHA-256 of the fast path's plan that the registry recorded; empty leaves the manifest's own"""
    manifest: str = ""
    """SHA-256 of `workbench.json` that the registry recorded; empty leaves it unchecked"""

    @property
    def digests(self) -> Digests:
        return Digests(self.digest or None, self.plan or None, self.manifest or None)

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    def same(self, other: Target | None) -> bool:
        """Whether it is that version, wherever it lies."""
        return other is not None and (self.version, self.digest) == (other.version, other.digest)


@dataclass(frozen=True, slots=True)
class Pointer:
    """`current` is to be served. `next` is to be loaded and warmed meanwhile; with `pause` it takes over at any
    moment, and no further request is given to `current`. `generation` is another text each time: the runtime reports
    the one that it obeyed last."""

    model: str
    alias: str
    current: Target
    next: Target | None = None
    pause: bool = False
    generation: str = ""

    def dumps(self) -> str:
        """`hold` and `turn` are what a runtime of an earlier image reads as `pause` and `generation`."""
        values = {
            "format": FORMAT,
            "model": self.model,
            "alias": self.alias,
            "current": self.current.to_dict(),
            "next": self.next.to_dict() if self.next else None,
            "pause": self.pause,
            "generation": self.generation,
            "hold": self.pause,
            "turn": self.generation,
        }
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Pointer:
        """Raises FileNotFoundError, or ModelRefused for what is no pointer."""
        try:
            values = json.loads(path.read_text("utf-8"))
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']!r}")
            after = values.get("next")
            return cls(
                model=values["model"],
                alias=values["alias"],
                current=_target(values["current"]),
                next=_target(after) if after else None,
                pause=values.get("pause", values.get("hold")) is True,
                generation=str(values.get("generation", values.get("turn", ""))),
            )
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelRefused(
                f"'{path}' does not say what to serve: {type(error).__name__}: {error}.",
                "Let the workbench write it again.",
            ) from error


def _target(values: Any) -> Target:
    found = Target(
        values["version"],
        values["digest"],
        values["folder"],
        plan=values.get("plan") or "",
        manifest=values.get("manifest") or "",
    )
    if not all(isinstance(v, str) and v for v in (found.version, found.digest, found.folder)):
        raise ValueError("a version, a digest and a folder are texts")
    if Path(found.folder).name != found.folder or found.folder in (".", ".."):
        raise ValueError(f"the folder {found.folder!r} is not beside it")
    return found
