"""Approvals: a person vouches for a version, on a certain gate report, under a certain policy, for a while.

They are entries of the ledger and nowhere else: who approved what cannot be changed afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_workbench.base.errors import Conflict, GateFailed
from mlops_workbench.base.values import Value
from mlops_workbench.config.approval import ApprovalPolicy
from mlops_workbench.config.names import user
from mlops_workbench.registry.gates import GateVerdict
from mlops_workbench.registry.intents import record
from mlops_workbench.registry.ledger import LedgerEntry, NewEntry
from mlops_workbench.store.engine import Store
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking


@dataclass(frozen=True)
class Approval(Value):
    """One person's word on a version. `lacks`: why it does not count (any more); empty when it does."""

    model: str
    version: int
    who: str
    at: str
    why: str
    gate: int
    gate_digest: str
    policy_digest: str
    expires: str
    entry: int
    lacks: str = ""

    @property
    def valid(self) -> bool:
        return not self.lacks

    @property
    def title(self) -> str:
        return f"{self.who} approved version {self.version} of '{self.model}'."

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"valid": self.valid}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["", ""], [
            ["why", self.why],
            ["on gate report", f"{self.gate}, {self.gate_digest[:12]}"],
            ["under policy", self.policy_digest[:12]],
            ["until", self.expires[:16].replace("T", " ")],
            ["counts", self.lacks or "yes"],
            ["ledger", f"entry {self.entry}"],
        ]


def approve(
    store: Store,
    tracking: Tracking,
    stored: RegisteredVersion,
    seen: GateVerdict | None,
    policy: ApprovalPolicy,
    digest: str,
    why: str,
) -> Approval:
    """Record one's word. `seen`: the newest gate report. Raises `GateFailed` without a green one, `Conflict`."""
    name, version = stored.name, stored.version
    if seen is None:
        raise GateFailed(f"Version {version} of '{name}' was not judged by the gate.", "Run the gate first.")
    if not seen.passed:
        raise GateFailed(
            f"Version {version} of '{name}' did not pass the gate (report {seen.id}).",
            "Approve a version that did.",
        )
    me = user()
    if _by_another(policy) and me == stored.facts.registered_by:
        raise Conflict(
            f"'{me}' registered version {version} of '{name}', so that the policy asks for another's approval.",
            "Let a second person approve it.",
        )
    until = store.clock.now() + timedelta(days=policy.expires_days)
    entry = record(
        store,
        tracking,
        NewEntry(
            "approve",
            name,
            version,
            why,
            evidence={
                "gate": seen.id,
                "digest": seen.digest,
                "policy": digest,
                "expires": until.isoformat(timespec="seconds"),
            },
        ),
    )
    return _approval(entry, "")


def _by_another(policy: ApprovalPolicy) -> bool:
    return policy.second_person and policy.required > 0


def _approval(entry: LedgerEntry, lacks: str) -> Approval:
    found = entry.evidence
    return Approval(
        entry.model,
        int(entry.new_version or 0),
        entry.who,
        entry.at,
        entry.why,
        found["gate"],
        found["digest"],
        found["policy"],
        found["expires"],
        entry.id,
        lacks,
    )


def standing(
    entries: Sequence[LedgerEntry],
    stored: RegisteredVersion,
    seen: GateVerdict | None,
    policy: ApprovalPolicy,
    digest: str,
    when: datetime,
) -> tuple[Approval, ...]:
    """Each person's newest approval of a version, with why it does not count if it does not."""
    newest: dict[str, LedgerEntry] = {}
    for entry in entries:
        if entry.action == "approve" and entry.new_version == stored.version:
            newest[entry.who] = entry
    return tuple(_approval(e, _lacks(e, stored, seen, policy, digest, when)) for e in newest.values())


def _lacks(
    entry: LedgerEntry,
    stored: RegisteredVersion,
    seen: GateVerdict | None,
    policy: ApprovalPolicy,
    digest: str,
    when: datetime,
) -> str:
    named = entry.evidence
    if datetime.fromisoformat(named["expires"]) <= when:
        return f"expired {named['expires'][:10]}"
    if seen is None or (seen.id, seen.digest) != (named["gate"], named["digest"]):
        return f"names gate report {named['gate']}, not the newest"
    if named["policy"] != digest:
        return "the policy changed since"
    if _by_another(policy) and entry.who == stored.facts.registered_by:
        return f"{entry.who} registered the version"
    return ""


def require(given: Sequence[Approval], stored: RegisteredVersion, policy: ApprovalPolicy) -> None:
    """Raises `Conflict` unless as many people approved as the policy asks for."""
    counting = [a for a in given if a.valid]
    if len(counting) >= policy.required:
        return
    lacking = "; ".join(f"{a.who}: {a.lacks}" for a in given if not a.valid)
    raise Conflict(
        f"Version {stored.version} of '{stored.name}' has {len(counting)} of the {policy.required} approvals "
        f"that the policy asks for{f' ({lacking})' if lacking else ''}.",
        "Let " + ("a second person" if policy.second_person else "someone") + " approve it.",
    )
