"""Aliases, approvals, retirement, deletion, and the questions that they are recorded for."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from projects import champion, fit

from mlops_workbench.alerts import records as alerts
from mlops_workbench.base.errors import Conflict, GateFailed, NotFound, UsageError
from mlops_workbench.config.names import Reference, reference
from mlops_workbench.registry import ledger, tables
from mlops_workbench.workbench import Workbench


def second(workbench: Workbench, *, judged: bool = True) -> int:
    version = workbench.register(fit(workbench, c=0.5, run="second"), name="trips").version
    if judged:
        first = workbench.tracking.alias("trips", "champion") is None
        workbench.gate("trips", version=version, first=first)
    return version


def policy(workbench: Workbench, text: str) -> None:
    path = workbench.project.root / "mlops.toml"
    path.write_text(re.sub(r"\[approval\]\nrequired = 0.*\n", "", path.read_text()) + text)


def states(workbench: Workbench) -> dict[int, str]:
    return {v.version: v.state for v in workbench.models().models}


# names


@pytest.mark.prepared(by=champion)
def test_a_version_is_named_by_number_alias_or_option(workbench: Workbench) -> None:
    second(workbench)
    workbench.alias("trips/2", "challenger", why="to compare")
    for name, number in (
        ("trips", 1),
        ("trips/2", 2),
        ("trips/v2", 2),
        ("trips@challenger", 2),
        ("trips@champion", 1),
    ):
        assert workbench.lineage(name).version == number
    with pytest.raises(UsageError, match="name two versions"):
        workbench.lineage("trips/2", version=1)
    with pytest.raises(NotFound, match=r"has no alias 'chalenger'.*Did you mean 'challenger'"):
        workbench.lineage("trips@chalenger")
    with pytest.raises(UsageError, match=r"Which version of 'trips'\?"):
        workbench.promote("trips", why="which")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True), st.integers(1, 10_000))
def test_a_reference_is_read_back(name: str, number: int) -> None:
    assert reference(name) == Reference(name)
    assert reference(f"{name}/{number}") == reference(f"{name}/v{number}", number) == Reference(name, number)
    assert reference(f"{name}@{name}") == Reference(name, None, name)
    for odd in (f"{name}/0", f"{name}/", f"{name}@", f"{name}/1/2", f"{name}@a@b", f"/{number}"):
        with pytest.raises(UsageError, match="A version is named"):
            reference(odd)


# aliases


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_any_alias_is_set_moved_and_taken_away_on_record(workbench: Workbench) -> None:
    second(workbench)
    assert workbench.alias("trips", "challenger", version=2, why="try").new_version == 2
    with pytest.raises(Conflict, match="is on version 2 already"):
        workbench.alias("trips", "challenger", version=2, why="again")
    assert workbench.alias("trips", "challenger", version=1, why="other").old_version == 2
    assert workbench.alias("trips/1", "challenger", remove=True, why="done").new_version is None
    with pytest.raises(Conflict, match="has no alias 'challenger'"):
        workbench.alias("trips", "challenger", remove=True, why="done")
    assert workbench.tracking.aliases("trips") == {"champion": 1}
    moves = [
        (e.old_version, e.new_version) for e in workbench.history("trips").entries if e.alias == "challenger"
    ]
    assert moves == [(1, None), (2, 1), (None, 2)]


@pytest.mark.parametrize("alias", ["champion", "latest", "v3", "a b", ""])
@pytest.mark.prepared(by=champion)
def test_an_alias_that_is_kept_is_refused(workbench: Workbench, alias: str) -> None:
    with pytest.raises(UsageError):
        workbench.alias("trips", alias, version=1, why="x")
    assert workbench.tracking.aliases("trips") == {"champion": 1}


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_an_alias_moved_behind_the_back_is_recorded(workbench: Workbench) -> None:
    workbench.tracking.set_alias("trips", "challenger", 1)
    found = workbench.history("trips").entries[0]
    assert (found.action, found.alias, found.new_version, found.who) == (
        "moved outside",
        "challenger",
        1,
        "unknown",
    )


# approvals


def test_a_second_person_must_approve_where_the_policy_says_so(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(workbench, "[approval]\nrequired = 1\n")
    monkeypatch.setenv("MLOPS_USER", "ada")
    version = second(workbench, judged=False)
    with pytest.raises(GateFailed, match="was not judged by the gate"):
        workbench.approve("trips", version=version, why="x")
    workbench.gate("trips", version=version, first=True)
    with pytest.raises(Conflict, match="has 0 of the 1 approvals"):
        workbench.promote("trips", version=version, why="x")
    with pytest.raises(Conflict, match="'ada' registered version 1 of 'trips'"):
        workbench.approve("trips", version=version, why="mine")
    monkeypatch.setenv("MLOPS_USER", "grace")
    given = workbench.approve("trips", version=version, why="looked at it")
    assert (given.who, given.valid, given.why) == ("grace", True, "looked at it")
    assert states(workbench) == {1: "approved"}
    entry = workbench.promote("trips", version=version, why="go")
    assert entry.evidence["approvals"] == [given.entry]
    assert states(workbench) == {1: "champion"}


@pytest.mark.both_stores
def test_an_approval_names_report_and_policy_and_ends_with_them(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(workbench, "[approval]\nrequired = 1\n")
    version = second(workbench)
    monkeypatch.setenv("MLOPS_USER", "grace")
    given = workbench.approve("trips", version=version, why="fine")
    seen = workbench.store.row(sa.select(tables.gates))
    assert seen is not None
    assert (given.gate, given.gate_digest) == (seen["id"], seen["digest"])
    assert given.policy_digest == workbench.project.policy.governance
    until = datetime.fromisoformat(given.expires) - datetime.now(UTC)
    assert timedelta(days=13) < until < timedelta(days=14, seconds=1)

    workbench.gate("trips", version=version, first=True)
    with pytest.raises(Conflict, match="grace: names gate report 1, not the newest"):
        workbench.promote("trips", version=version, why="x")
    workbench.approve("trips", version=version, why="again")
    policy(workbench, "expires_days = 3\n")
    with pytest.raises(Conflict, match="grace: the policy changed since"):
        workbench.promote("trips", version=version, why="x")
    assert states(workbench) == {1: "candidate"}


def test_an_expired_approval_counts_no_more(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_workbench.registry import approvals, gates

    policy(workbench, "[approval]\nrequired = 1\n")
    version = second(workbench)
    monkeypatch.setenv("MLOPS_USER", "grace")
    workbench.approve("trips", version=version, why="fine")
    entries = ledger.entries(workbench.store, "trips")
    stored = workbench.tracking.version("trips", version)
    seen = gates.latest(workbench.store, "trips", version)
    rules = workbench.project.policy
    for days, counts in ((13, True), (15, False)):
        found = approvals.standing(
            entries, stored, seen, rules.approval, rules.governance, datetime.now(UTC) + timedelta(days=days)
        )
        assert [a.valid for a in found] == [counts]
    assert found[0].lacks.startswith("expired ")


def test_forced_it_says_what_was_lacking(workbench: Workbench) -> None:
    policy(workbench, "[approval]\nrequired = 2\n")
    version = second(workbench, judged=False)
    entry = workbench.promote("trips", version=version, why="the old one is broken", force=True)
    assert entry.evidence["forced"] is True
    assert "was not judged" in entry.evidence["lacking"][0]
    assert "has 0 of the 2 approvals" in entry.evidence["lacking"][1]


def test_a_green_gate_counts_under_the_policy_that_it_judged_by(workbench: Workbench) -> None:
    version = second(workbench, judged=False)
    workbench.gate("trips", version=version, first=True)
    path = workbench.project.root / "mlops.toml"
    path.write_text(
        path.read_text().replace("[gate]\n", "[gate]\ntolerance = 0.5\n", 1).replace("\ntolerance = 0.02", "")
    )
    if "[gate]" not in path.read_text():
        path.write_text(path.read_text() + "[gate]\ntolerance = 0.5\n")
    with pytest.raises(GateFailed, match=r"by another policy than mlops\.toml has now"):
        workbench.promote("trips", version=version, why="x")
    workbench.gate("trips", version=version, first=True)
    assert workbench.promote("trips", version=version, why="x").new_version == version


# retire and delete


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_a_retired_version_is_out_of_use_and_its_evidence_is_kept(workbench: Workbench) -> None:
    second(workbench)
    workbench.promote("trips", version=2, why="better", force=True)
    workbench.alias("trips", "fallback", version=2, why="too")
    workbench.serve("trips")
    for subject in ("version 1", "version 2", "alias fallback"):
        alerts.raised(workbench, alerts.NewAlert("trips", "a test", subject, "look"))
    entry = workbench.retire("trips/2", why="it hurts")
    assert [a.subject for a in workbench.alerts().alerts] == ["version 1"]
    assert entry.evidence == {"archive": "trips-2.zip", "aliases": ["champion", "fallback"], "stopped": 1}
    assert workbench.deployments().deployments == ()
    assert workbench.tracking.aliases("trips") == {}
    assert states(workbench)[2] == "retired"
    with zipfile.ZipFile(workbench.project.state / "archive" / "trips-2.zip") as archive:
        names = archive.namelist()
        assert {"card.md", "card.html", "lineage.json", "model/workbench.json", "model/model.skops"} <= set(
            names
        )
        assert json.loads(archive.read("lineage.json"))["version"] == 2
    assert workbench.history("trips").champion is None
    with pytest.raises(Conflict, match="is retired"):
        workbench.promote("trips", version=2, why="x")
    with pytest.raises(Conflict, match="is retired already"):
        workbench.retire("trips/2", why="x")
    assert workbench.rollback("trips", why="back").new_version == 1
    assert (
        workbench.promote("trips", version=2, why="after all", force=True)
        .evidence["lacking"][0]
        .startswith("Version 2")
    )
    assert states(workbench)[2] == "champion"


@pytest.mark.prepared(by=champion)
def test_what_is_referred_to_cannot_be_deleted(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Conflict, match="cannot be deleted: the alias 'champion' is on it"):
        workbench.delete("trips/1", why="x")
    second(workbench)
    workbench.serve("trips", version=2)
    try:
        with pytest.raises(Conflict, match="a deployment serves it"):
            workbench.delete("trips/2", why="x")
    finally:
        workbench.stop("trips")
    entry = workbench.delete("trips/2", why="a mistake")
    assert (entry.action, entry.new_version, entry.why) == ("delete", 2, "a mistake")
    assert states(workbench) == {1: "champion"}
    workbench.register(fit(workbench, run="third"), name="trips")
    workbench.gate("trips", version=3)
    monkeypatch.setenv("MLOPS_USER", "grace")
    workbench.approve("trips/3", why="good")
    with pytest.raises(Conflict, match=r"an approval \(ledger entry \d+\) names it"):
        workbench.delete("trips/3", why="x")
    assert workbench.status().warnings == ()


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_a_version_deleted_behind_the_back_is_reported(workbench: Workbench) -> None:
    second(workbench)
    workbench.tracking.client.delete_model_version("trips", "2")
    assert any("version 2 of 'trips' was deleted behind" in w for w in workbench.status().warnings)
    assert workbench.history("trips").entries[0].action == "deleted outside"
    workbench.tracking.client.delete_model_version("trips", "1")
    warnings = workbench.status().warnings
    assert any("version 1 of 'trips' was deleted behind" in w for w in warnings)
    assert workbench.history("trips").champion is None


# questions


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_the_history_tells_who_was_champion_then(workbench: Workbench) -> None:
    second(workbench)
    before = datetime.now(UTC)
    workbench.promote("trips", version=2, why="better", force=True)
    entries = ledger.entries(workbench.store, "trips")
    first, moved = (e for e in entries if e.alias)
    then = workbench.history("trips", at=before.isoformat()).then
    assert then is not None
    assert (then.version, then.since, then.until, then.entry) == (1, first.at, moved.at, first)
    now = workbench.history("trips", at=datetime.now(UTC).isoformat())
    assert now.then is not None
    assert (now.then.version, now.then.until) == (2, None)
    assert "version 2 of 'trips' was champion" in now.text()
    assert workbench.history("trips", at="2001-01-01").then is None
    assert "had no champion yet" in workbench.history("trips", at="2001-01-01").text()
    with pytest.raises(UsageError, match="A time is written as"):
        workbench.history("trips", at="yesterday")


def test_lineage_is_a_tree_and_an_openlineage_event(workbench: Workbench, tmp_path: Path) -> None:
    workbench.validate("train", contract="trips")
    champion(workbench)
    out = tmp_path / "lineage.json"
    found = workbench.lineage("trips@champion", out=str(out))
    read = json.loads(out.read_text())
    assert read == json.loads(json.dumps(found.to_dict(), default=str))
    event = read["openlineage"]
    stored = workbench.tracking.version("trips", 1)
    assert event["run"]["runId"].replace("-", "") == stored.run_id
    assert [i["facets"]["version"]["datasetVersion"] for i in event["inputs"]] == [
        stored.tags["data.sha256"],
        stored.tags["evaluate.sha256"],
    ]
    assert event["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] == 800
    assert event["outputs"][0]["facets"]["version"]["datasetVersion"] == "1"
    assert event["outputs"][0]["facets"]["mlops_gate"]["passed"] is True
    facets = [
        f
        for part in (event["run"], event["job"], *event["inputs"], *event["outputs"])
        for f in part["facets"].values()
    ]
    assert all({"_producer", "_schemaURL"} <= set(f) for f in facets)
    assert "approvals" in found.text()
    assert read["run"]["contracts"]["trips"].startswith("inferred by 'train', digest ")
    assert event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"][0]["success"] is True


@pytest.mark.prepared(by=champion)
def test_the_card_is_made_from_the_records(workbench: Workbench, tmp_path: Path) -> None:
    bare = workbench.card("trips")
    assert "put it into `cards/trips.md`" in bare.markdown
    notes = workbench.project.root / "cards" / "trips.md"
    notes.parent.mkdir()
    notes.write_text("For dispatchers | not for <b>pay</b>.")
    for name in ("card.md", "card.html"):
        workbench.card("trips", out=str(tmp_path / name))
    card = (tmp_path / "card.md").read_text()
    assert "For dispatchers" in card
    assert "| no worse than the champion |" in card
    assert "a test needs a champion" in card
    page = (tmp_path / "card.html").read_text()
    assert "<table>" in page
    assert "<b>pay</b>" not in page
    with pytest.raises(UsageError, match=r"written as .md or .html. Got 'card.pdf'"):
        workbench.card("trips", out=str(tmp_path / "card.pdf"))


# the ledger


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_verify_walks_the_chain_and_its_end(workbench: Workbench) -> None:
    found: Any = workbench.ledger("verify")
    assert found.holds
    assert found.entries == found.noted == 2
    shown: Any = workbench.ledger()
    assert [e.id for e in shown.entries] == [2, 1]
    with workbench.store.write() as connection:
        connection.execute(sa.delete(tables.ledger).where(tables.ledger.c.id == 2))
    cut: Any = workbench.ledger("verify")
    assert cut.problems == ("Ledger entry 2 is missing: the ledger ends with entry 1.",)
    assert any("Ledger entry 2" in w for w in workbench.status().warnings)
    champion(workbench, "others")  # what is written later does not wipe the witness out
    again: Any = workbench.ledger("verify")
    assert "Ledger entry 2 is not the one that was written" in again.problems[0]


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_verify_names_every_place(workbench: Workbench) -> None:
    second(workbench)
    workbench.promote("trips", version=2, why="better", force=True)
    table = tables.ledger
    with workbench.store.write() as connection:
        connection.execute(sa.update(table).where(table.c.id == 1).values(who="mallory"))
        connection.execute(sa.delete(table).where(table.c.id == 3))
    found: Any = workbench.ledger("verify")
    assert [p.split(":")[0] for p in found.problems] == [
        "Ledger entry 1 was changed after it was written",
        "Ledger entry 3 is missing",
    ]


@pytest.mark.both_stores
@pytest.mark.prepared(by=champion)
def test_a_chain_written_anew_is_not_the_one_that_was_noted(workbench: Workbench) -> None:
    table, previous = tables.ledger, ledger.GENESIS
    for row in workbench.store.rows(sa.select(table).order_by(table.c.id)):
        forged = dict(row) | {"who": "mallory"}
        forged["hash"] = ledger.digest(forged, previous)
        with workbench.store.write() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.id == row["id"])
                .values(who="mallory", previous_hash=previous, hash=forged["hash"])
            )
        previous = forged["hash"]
    found: Any = workbench.ledger("verify")
    assert found.problems == (
        "Ledger entry 2 is not the one that was written: the tracking store noted another.",
    )
