"""The end of a version: retired with its evidence kept in an archive, or deleted when nothing refers to it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import Conflict
from mlops_workbench.registry import ledger
from mlops_workbench.registry.intents import intent
from mlops_workbench.registry.ledger import LedgerEntry
from mlops_workbench.registry.promotion import reconcile
from mlops_workbench.store.engine import Store
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking


def retire(
    store: Store,
    tracking: Tracking,
    stored: RegisteredVersion,
    *,
    why: str,
    archive: Path,
    documents: Mapping[str, str],
    stop: Callable[[], int],
) -> LedgerEntry:
    """Put a version out of use: archived, its deployments stopped, its aliases taken away.

    `documents`: file name → text, kept in the archive beside the model's files. `stop` ends what serves the version
    and says how many that were. Raises `Conflict` for a version that is retired already.
    """
    reconcile(store, tracking, stored.name)
    with intent(store, tracking, stored.name) as change:
        if stored.version in ledger.retired(ledger.entries(store, stored.name)):
            raise Conflict(f"Version {stored.version} of '{stored.name}' is retired already.")
        held = sorted(a for a, number in tracking.aliases(stored.name).items() if number == stored.version)
        pack(tracking.folder(stored), documents, archive)
        stopped = stop()
        change.mean(
            "retire",
            why=why,
            evidence={"archive": archive.name, "aliases": held, "stopped": stopped},
            new_version=stored.version,
            version=stored.version,
            aliases=held,
        )
        for alias in held:
            tracking.remove_alias(stored.name, alias)
        return change.settle()


def pack(folder: Path, documents: Mapping[str, str], archive: Path) -> None:
    """A zip file of a model's folder and what is written about it; seen whole or not at all."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_name(f"{archive.name}.{os.getpid()}.draft")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
                file.write(path, f"model/{path.relative_to(folder)}")
            for name, text in documents.items():
                file.writestr(name, text)
        draft.replace(archive)
    finally:
        draft.unlink(missing_ok=True)


def delete(
    store: Store, tracking: Tracking, stored: RegisteredVersion, *, why: str, deployments: int
) -> LedgerEntry:
    """Delete a version that nothing refers to. Raises `Conflict` naming what does.

    `deployments`: how many serve it now.
    """
    name, version = stored.name, stored.version
    reconcile(store, tracking, name)
    with intent(store, tracking, name) as change:
        entries = ledger.entries(store, name)
        aliases = sorted(alias for alias, number in tracking.aliases(name).items() if number == version)
        approvals = [e.id for e in entries if e.action == "approve" and e.new_version == version]
        in_the_way = (
            f"the alias '{aliases[0]}' is on it"
            if aliases
            else "a deployment serves it"
            if deployments
            else f"an approval (ledger entry {approvals[0]}) names it"
            if approvals
            else ""
        )
        if in_the_way:
            raise Conflict(
                f"Version {version} of '{name}' cannot be deleted: {in_the_way}.",
                "Retire it: that keeps the evidence.",
            )
        change.mean("delete", why=why, evidence={"sha256": stored.facts.digest}, new_version=version)
        tracking.delete_version(name, version)
        return change.settle()


def as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)
