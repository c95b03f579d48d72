"""Anchors: the ledger's newest hash, kept where who can write the stores cannot write.

The chain shows that a row was changed by hand, and the hash that the tracking store notes that the end was cut off.
Somebody who writes both stores can compute all of it again: only a hash that is kept outside shows that.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import Conflict, InvalidData, NotFound, UsageError, closest
from mlops_workbench.base.values import Value
from mlops_workbench.registry import ledger
from mlops_workbench.store.engine import Store

_TAG = "mlops-ledger"
_TAGGED = re.compile(rf"refs/tags/{_TAG}/([^/]+)/(\d+)-([0-9a-f]{{64}})$", re.MULTILINE)


@dataclass(frozen=True)
class Anchor(Value):
    """The hash that the ledger of a project had at an entry. `where`: the file, or the tag, that says so."""

    project: str
    entry: int
    hash: str
    at: str
    where: str

    @property
    def title(self) -> str:
        return f"The ledger of '{self.project}' is anchored up to entry {self.entry} in {self.where}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [["hash", self.hash], ["when", self.at[:19].replace("T", " ")]]


def newest(store: Store, project: str, where: str) -> Anchor:
    """What is to be anchored. Raises `Conflict` when the chain does not hold: that must not be made official."""
    found = ledger.rows(store)
    if not found:
        raise Conflict("The ledger has no entry yet.", "Anchor it after the first version was registered.")
    if wrong := ledger.problems(found):
        raise Conflict(f"The ledger does not hold: {wrong[0]}", "Look at it: `ledger verify`.")
    return Anchor(project, found[-1]["id"], found[-1]["hash"], store.now(), where)


def append(anchor: Anchor, file: Path) -> None:
    """Add a line to a file that lies elsewhere. Raises `UsageError`."""
    values = anchor.to_dict()
    del values["where"]
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(values) + "\n")
    except OSError as problem:
        raise UsageError(
            f"'{file}' cannot be written: {problem.strerror}.", "Name a file in a folder that can be written."
        ) from None


def tag(anchor: Anchor, root: Path, remote: str | None) -> str:
    """Tag the commit that is checked out; the tag's name holds all that counts. With `remote`, push it there."""
    name = f"{_TAG}/{anchor.project}/{anchor.entry}-{anchor.hash}"
    if not _git(root, "tag", "--list", name).strip():
        _git(root, "tag", "--annotate", "--message", f"Ledger of {anchor.project} at {anchor.at}", name)
    if remote is not None:
        _git(root, "push", "--quiet", "--", remote, f"refs/tags/{name}")
    return f"the tag {name}" + (f" of {remote}" if remote else "")


def require_remote(root: Path, remote: str) -> None:
    """Only one that the repository knows: git takes any address, and runs commands for some. Raises `UsageError`."""
    known = _git(root, "remote").split()
    if remote not in known:
        raise UsageError(f"The repository has no remote '{remote}'.", closest(remote, known))


def in_file(file: Path, project: str) -> list[Anchor]:
    """Raises `NotFound`, `InvalidData`."""
    if not file.is_file():
        raise NotFound(f"There is no file '{file}'.", "Name a file that `ledger anchor --to FILE` wrote.")
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
            one = Anchor(
                values["project"], int(values["entry"]), str(values["hash"]), str(values["at"]), str(file)
            )
        except (ValueError, KeyError, TypeError):
            raise InvalidData(f"Line {number} of '{file}' is no anchor.", "Name another file.") from None
        found += [one] if one.project == project else []
    return _some(found, project, str(file))


def in_tags(root: Path, project: str, remote: str | None) -> list[Anchor]:
    """Of the repository that the project is in, or of its remote, which is asked now. Raises `NotFound`."""
    pattern = f"refs/tags/{_TAG}/{project}/*"
    words = (
        ("ls-remote", "--refs", "--", remote, pattern)
        if remote
        else ("for-each-ref", "--format=%(refname)", pattern)
    )
    found = [
        Anchor(of, int(entry), digest, "", f"a tag of {remote or 'the repository'}")
        for of, entry, digest in _TAGGED.findall(_git(root, *words))
        if of == project
    ]
    return _some(found, project, f"the tags of {remote or root}")


def problems(store: Store, anchors: Sequence[Anchor]) -> list[str]:
    """Where the ledger is not the one that was anchored."""
    hashes = {row["id"]: row["hash"] for row in ledger.rows(store)}
    return [
        f"Ledger entry {one.entry} is {'not there' if one.entry not in hashes else 'not the one that was anchored'}: "
        f"{one.where} has the hash {one.hash[:16]}…."
        for one in sorted(anchors, key=lambda one: one.entry)
        if hashes.get(one.entry) != one.hash
    ]


def _some(found: list[Anchor], project: str, where: str) -> list[Anchor]:
    if not found:
        raise NotFound(
            f"There is no anchor of the ledger of '{project}' in {where}.", "Make one: `ledger anchor`."
        )
    return found


def _git(root: Path, *words: str) -> str:
    """What git says. Raises `Conflict` with its last line."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Conflict(
            f"git cannot be run: {problem}.", "Anchor the ledger in a file: `ledger anchor --to FILE`."
        ) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise Conflict(
            f"git {words[0]}: {said}", "Look at the repository, or use a file: `ledger anchor --to FILE`."
        )
    return done.stdout
