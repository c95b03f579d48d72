"""Gate reports as they are stored: kept, found again, and asked for when something depends on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import GateFailed
from mlops_workbench.config.names import user
from mlops_workbench.registry.ledger import CHAMPION, LedgerEntry
from mlops_workbench.store.engine import Store, StoreRow, inserted_id

if TYPE_CHECKING:
    from mlops_workbench.registry.gate_report import GateReport


def keep(store: Store, report: GateReport) -> GateReport:
    """Store the report; returns it with its moment and its number."""
    from mlops_workbench.registry.tables import gates

    report = replace(report, at=store.now())
    with store.write() as connection:
        result = connection.execute(
            gates.insert().values(
                model=report.model,
                version=report.version,
                at=report.at,
                who=user(),
                passed=int(report.passed),
                champion=report.champion,
                report=report.to_dict(),
                digest=report.digest,
            )
        )
        return replace(report, id=inserted_id(result))


@dataclass(frozen=True)
class GateVerdict:
    """What a stored report decided. `digest`: SHA-256 of the report."""

    id: int
    passed: bool
    digest: str


@dataclass(frozen=True)
class KeptReport(GateVerdict):
    """A stored report. `champion`: who the version was compared with."""

    champion: int | None
    body: Mapping[str, Any]
    """as it is stored; `report` is the value"""

    @property
    def report(self) -> GateReport:
        from mlops_workbench.registry.gate_report import GateReport

        return GateReport.from_dict(self.body)

    @property
    def policy_digest(self) -> str | None:
        """Of the policy that it was judged by; None for an older report, which does not name it."""
        return self.body.get("policy_digest")


def latest(store: Store, model: str, version: int) -> KeptReport | None:
    """The newest stored report of a version."""
    sql = """
        SELECT * FROM workbench_gates WHERE model = :model AND version = :version ORDER BY id DESC LIMIT 1
    """
    row = store.read_one(sql, {"model": model, "version": version}, ["report"])
    return None if row is None else _kept(row)


def decided(store: Store, entries: Sequence[LedgerEntry], version: int) -> KeptReport | None:
    """The report that a version became champion by, the last time; None where no report decided it. `entries`: the
    ledger's of the model."""
    moves = [
        e for e in entries if e.alias == CHAMPION and e.new_version == version and e.evidence.get("gate")
    ]
    if not moves:
        return None
    row = store.read_one(
        "SELECT * FROM workbench_gates WHERE id = :id", {"id": moves[-1].evidence["gate"]}, ["report"]
    )
    return None if row is None else _kept(row)


def _kept(row: StoreRow) -> KeptReport:
    return KeptReport(row["id"], bool(row["passed"]), row["digest"], row["champion"], row["report"])


def newest(store: Store) -> dict[tuple[str, int], GateVerdict]:
    """Of every version that was judged, what the newest report decided."""
    sql = """
        SELECT model, version, id, passed, digest FROM workbench_gates
        WHERE id IN (SELECT max(id) FROM workbench_gates GROUP BY model, version)
    """
    return {
        (row["model"], row["version"]): GateVerdict(row["id"], bool(row["passed"]), row["digest"])
        for row in store.read(sql)
    }


def require_green(
    name: str, version: int, champion: int | None, seen: KeptReport | None, policy: str
) -> None:
    """Raises `GateFailed` unless this report (see `latest`) is a pass against the present champion, under this policy.

    `policy`: digest of `[gate]`.
    """
    if seen is None:
        raise GateFailed(
            f"Version {version} of '{name}' was not judged by the gate.",
            f"Run the gate first: `gate {name} --version {version}`.",
        )
    if not seen.passed:
        raise GateFailed(
            f"Version {version} of '{name}' did not pass the gate (report {seen.id}).",
            "Train a better version, or force it with a reason.",
        )
    if seen.champion != champion:
        was = f"version {seen.champion}" if seen.champion else "no champion"
        raise GateFailed(
            f"The gate compared version {version} of '{name}' with {was}, but the champion is "
            f"{f'version {champion}' if champion else 'none'} now.",
            f"Run the gate again: `gate {name} --version {version}`.",
        )
    if seen.policy_digest != policy:
        raise GateFailed(
            f"The gate judged version {version} of '{name}' by another policy than mlops.toml has now.",
            f"Run the gate again: `gate {name} --version {version}`.",
        )


def require_passed(report: GateReport) -> None:
    """Raises `GateFailed` naming the check, its figure and limit, and the data to look at."""
    if report.passed:
        return
    first = report.failures[0]
    found = f"{first.figure}, limit {first.limit}" if first.passed is False else first.detail or "no evidence"
    more = f" ({len(report.failures) - 1} more)" if len(report.failures) > 1 else ""
    raise GateFailed(
        f"Version {report.version} of '{report.model}' did not pass the gate: {first.name}: {found}{more}.",
        first.next_step or "Train a better version, or change [gate] in mlops.toml.",
        report,
    )
