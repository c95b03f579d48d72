"""The ledger against somebody who writes both stores and computes the chain again: what an anchor outside shows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from projects import champion

from mlops_workbench.base.errors import Conflict, InvalidData, NotFound, UsageError
from mlops_workbench.registry import ledger as ledgers
from mlops_workbench.registry.tables import ledger as table
from mlops_workbench.workbench import Workbench


def forge(workbench: Workbench) -> None:
    """Another reason for the first entry, all hashes computed again, and noted in the tracking store as well."""
    rows = [dict(row) for row in ledgers.rows(workbench.store)]
    rows[0]["why"] = "nobody wrote this"
    previous = ledgers.GENESIS
    with workbench.store.write() as connection:
        connection.execute(sa.delete(table))
        for row in rows:
            row |= {"previous_hash": previous, "hash": ledgers.digest(row, previous)}
            connection.execute(table.insert().values(**row))
            previous = row["hash"]
    workbench.tracking.note_ledger(rows[-1]["id"], previous)
    workbench.close()


def cut(workbench: Workbench) -> None:
    """The newest entry taken away, and what was noted too."""
    rows = ledgers.rows(workbench.store)
    with workbench.store.write() as connection:
        connection.execute(sa.delete(table).where(table.c.id == rows[-1]["id"]))
    workbench.tracking.note_ledger(rows[-2]["id"], rows[-2]["hash"])
    workbench.close()


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.prepared(by=champion)
@pytest.mark.parametrize("attack", [forge, cut])
def test_what_was_computed_again_is_found_against_a_file_and_not_without(
    workbench: Workbench, tmp_path: Path, attack: object
) -> None:
    file = str(tmp_path / "anchors.jsonl")
    made = workbench.ledger("anchor", to=file)
    assert made.entry == len(ledgers.rows(workbench.store))
    assert workbench.ledger("verify", against=file).anchored == made.entry
    workbench.alias("trips", "staging", version=1, why="more entries change nothing")
    assert workbench.ledger("verify", against=file).holds
    workbench.ledger("anchor", to=file)
    attack(workbench)  # type: ignore[operator]
    assert workbench.ledger("verify").holds  # as the docs say
    found = workbench.ledger("verify", against=file)
    assert not found.holds
    assert ("not the one that was anchored" if attack is forge else "is not there") in found.problems[0]


@pytest.mark.prepared(by=champion)
def test_what_was_computed_again_is_found_against_tags_and_those_of_a_remote(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    root, remote = workbench.project.root, tmp_path / "remote.git"
    with pytest.raises(Conflict, match="not a git repository"):
        workbench.ledger("anchor", git=True)
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(root, "init", "--quiet")
    git(root, "remote", "add", "origin", str(remote))
    git(root, "add", "mlops.toml")
    git(root, "commit", "--quiet", "-m", "policy")
    with pytest.raises(NotFound, match="no anchor"):
        workbench.ledger("verify", git=True)
    assert "mlops-ledger/trips/" in workbench.ledger("anchor", git=True, remote="origin").where
    workbench.ledger("anchor", git=True)  # again is no error
    for address in ("--upload-pack=touch x", "ext::sh -c 'touch x'", str(remote)):
        with pytest.raises(UsageError, match="no remote"):
            workbench.ledger("verify", git=True, remote=address)
    assert workbench.ledger("verify", git=True).anchored == workbench.ledger("verify", git=True).entries
    forge(workbench)
    assert workbench.ledger("verify").holds
    assert not workbench.ledger("verify", git=True).holds
    git(root, "tag", "--delete", *git(root, "tag").split())
    found = workbench.ledger("verify", git=True, remote="origin")
    assert "not the one that was anchored" in found.problems[0]


@pytest.mark.prepared(by=champion)
def test_what_cannot_be_anchored_or_compared_is_said(workbench: Workbench, tmp_path: Path) -> None:
    for wrong in (
        {"action": "anchor"},
        {"action": "anchor", "to": "a", "git": True},
        {"action": "show", "git": True},
        {"against": "a"},
        {"action": "verify", "remote": "origin"},
    ):
        with pytest.raises(UsageError):
            workbench.ledger(**wrong)
    with pytest.raises(NotFound, match="no file"):
        workbench.ledger("verify", against=str(tmp_path / "none"))
    (tmp_path / "odd").write_text("{}\n")
    with pytest.raises(InvalidData, match="Line 1"):
        workbench.ledger("verify", against=str(tmp_path / "odd"))
    with workbench.store.write() as connection:
        connection.execute(sa.update(table).where(table.c.id == 1).values(why="changed"))
    with pytest.raises(Conflict, match="does not hold"):
        workbench.ledger("anchor", to=str(tmp_path / "a"))
