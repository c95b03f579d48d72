"""Whoever can write a version's folder cannot change what is answered: every verb refuses what was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from projects import champion, fit, trips

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.manifest import FILE_NAME, Manifest
from mlops_workbench.registry import ledger
from mlops_workbench.registry.versions import recorded
from mlops_workbench.rollout import pointers
from mlops_workbench.rollout.pointers import Alias
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.workbench import Workbench

CHANGES: dict[str, Callable[[Manifest], dict[str, Any]]] = {
    "classes": lambda m: {"classes": tuple(reversed(m.classes))},
    "positive": lambda m: {"positive": m.classes[0]},
    "inputs": lambda m: {"inputs": tuple(replace(f, nullable=not f.nullable) for f in m.inputs)},
    "columns": lambda m: {"inputs": (*m.inputs[1:], m.inputs[0])},
    "task": lambda m: {"task": "other"},
    "trusted": lambda m: {"trusted": (*m.trusted, "builtins.eval")},
    "serialization": lambda m: {"serialization": "cloudpickle"},
    "sample": lambda m: {"sample": m.sample[:1], "expected": m.expected[:1]},
    "expected": lambda m: {"expected": (*m.expected[1:], "other")},
    "requirements": lambda m: {"requirements": ()},
    "python": lambda m: {"python": "2.7"},
    "unread": lambda m: {"extra": {**m.extra, "unread": [m.inputs[0].name]}},
    "zones": lambda m: {"extra": {**m.extra, "zones": {m.inputs[0].name: "Asia/Tokyo"}}},
    "categories": lambda m: {"extra": {**m.extra, "categories": {m.inputs[0].name: [1, 2]}}},
    "missing texts": lambda m: {"extra": {**m.extra, "null_is_none": [f.name for f in m.inputs]}},
    "fast path": lambda m: {"extra": {**m.extra, "fast": {"proven": False, "sha256": ""}}},
    "model": lambda m: {"sha256": "0" * 64},
}


VERBS: dict[str, Callable[[Workbench], Any]] = {
    "gate": lambda w: w.gate("trips", version=1),
    "serve": lambda w: w.serve("trips", version=1),
    "load": lambda w: w.load("trips", version=1),
    "reproduce": lambda w: w.reproduce("trips", version=1),
    "drift": lambda w: w.drift("trips", version=1, data=trips(50)),
    "card": lambda w: w.card("trips", version=1),
    "lineage": lambda w: w.lineage("trips", version=1),
    "build": lambda w: w.build("trips", version=1),
    "log": lambda w: w.log("trips", version=1),
}


@pytest.fixture
def version(workbench: Workbench) -> RegisteredVersion:
    fit(workbench)
    number = champion(workbench)
    return workbench.tracking.version("trips", number)


def load(version: RegisteredVersion, folder: Path, *, fast: bool = True) -> DataPlane:
    return DataPlane.load(folder, name="trips", version="1", digests=version.servable.digests, fast=fast)


def test_the_registry_vouches_for_all_that_the_manifest_says(
    version: RegisteredVersion, workbench: Workbench
) -> None:
    folder = workbench.tracking.folder(version)
    assert load(version, folder).warm().differing == 0
    manifest = Manifest.load(folder)
    for what, change in CHANGES.items():
        changed = replace(manifest, **change(manifest))
        assert changed != manifest, what
        changed.dump(folder)
        with pytest.raises(ModelRefused, match="it was changed"):
            load(version, folder)
        with pytest.raises(MlopsError, match="it was changed"):
            recorded(workbench.tracking, version)
    for call in VERBS.values():
        with pytest.raises(MlopsError, match="changed"):
            call(workbench)


def test_a_link_or_another_file_in_place_of_one_is_refused(
    version: RegisteredVersion, workbench: Workbench, tmp_path: Path
) -> None:
    """A link to the very same bytes, too: they can be other ones a moment later."""
    folder = workbench.tracking.folder(version)
    for name in (FILE_NAME, "model.skops", "fast.json", "fast.npz"):
        kept = (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(kept)
        with pytest.raises(ModelRefused):
            load(version, folder)
        (folder / name).unlink()
        (folder / name).write_bytes(kept.read_bytes() + b" ")
        with pytest.raises(ModelRefused):
            load(version, folder)
        (folder / name).unlink()
        kept.rename(folder / name)
    assert load(version, folder).warm().differing == 0


def test_a_version_of_before_is_loaded_by_the_digests_of_then(
    version: RegisteredVersion, workbench: Workbench
) -> None:
    tags = {key: value for key, value in version.tags.items() if key != "manifest.sha256"}
    old = replace(version, tags=tags)
    folder = workbench.tracking.folder(old)
    assert old.servable.manifest is None
    assert load(old, folder).warm().differing == 0
    assert recorded(workbench.tracking, old)[1] == Manifest.load(folder)


def test_the_ledger_names_the_manifest_and_so_does_what_is_followed(
    version: RegisteredVersion, workbench: Workbench
) -> None:
    entry = next(e for e in ledger.entries(workbench.store, "trips") if e.action == "register")
    assert entry.evidence["manifest"] == version.facts.manifest != ""
    target = pointers.published(Alias(workbench, "trips", "champion"), version)
    assert target.manifest == version.facts.manifest
    assert target.to_dict()["manifest"] == version.facts.manifest


def test_nothing_that_a_link_names_is_copied_for_followers(
    version: RegisteredVersion, workbench: Workbench, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    folder = workbench.tracking.folder(version)
    (folder / "notes").symlink_to(secret)
    alias = Alias(workbench, "trips", "champion")
    target = pointers.published(alias, version)
    copied = alias.folder / target.folder
    assert (copied / "notes").is_symlink()
    assert load(version, copied).warm().differing == 0
