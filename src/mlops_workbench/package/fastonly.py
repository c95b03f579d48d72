"""May a version be served by its fast path alone? Only if its proof covers all rows that the model answers."""

from __future__ import annotations

from mlops_workbench.base.errors import BuildFailed
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.fastpath.summary import sentence

_INSTEAD = "Build it with the original model: without this option."


def require_covered(manifest: Manifest, plan: str | None) -> None:
    """Raises BuildFailed with what is not covered. `plan`: the SHA-256 that the registry recorded."""
    record = manifest.extra.get("fast")
    if not record or not record["proven"]:
        raise BuildFailed(
            f"'{manifest.name}' cannot be served by a fast path alone; it has none: {sentence(record)}.",
            _INSTEAD,
        )
    if not plan or plan != record["sha256"]:
        raise BuildFailed(
            f"The fast path of '{manifest.name}' is not the one that the registry recorded.",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )
    if "only" not in record:
        raise BuildFailed(
            f"The proof of '{manifest.name}' was made before it was asked which rows a fast path leaves.",
            "Register the model again.",
        )
    if lost := {kind: count for kind, count in record["only"].items() if count}:
        kind, count = max(lost.items(), key=lambda pair: pair[1])
        raise BuildFailed(
            f"'{manifest.name}' cannot be served by its fast path alone: it leaves {count:,} of the proof's rows "
            f"'{kind}' to the original model, which answers them.",
            _INSTEAD,
        )
