"""Were the judged rows held out? Compared by row with what the candidate, and the champion, were fitted on."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_workbench.data.frames import fingerprint
from mlops_workbench.data.overlap import Overlap, overlap
from mlops_workbench.registry.checks.check import Case, Contestant
from mlops_workbench.registry.checks.result import Check, unknown

TITLE = "rows not trained on"


def unseen(case: Case) -> Check:
    """Above the policy's share nothing that the other checks found counts: memory is no merit."""
    limit = f"≤ {case.policy.trained_rows:.1%}"
    who = {f"version {case.candidate.version}": case.candidate}
    if case.champion is not None:
        who[f"the champion (version {case.champion.version})"] = case.champion
    found = {name: _compared(case, contestant) for name, contestant in who.items()}
    known = {name: one for name, one in found.items() if one is not None}
    if gone := [name for name in found if name not in known]:
        reason = f"the rows that {gone[0]} was fitted on are not kept any more"
        return unknown(TITLE, reason, limit, "Register it again, with its data.")
    evidence = {
        name: f"{one.rows.seen:,} of {one.rows.rows:,} rows equal one it was fitted on; "
        f"{one.rows.repeated:.1%} would by chance"
        for name, one in known.items()
    }
    worst, one = max(known.items(), key=lambda item: item[1].share)
    if one.share <= case.policy.trained_rows:
        return Check(TITLE, True, f"{one.share:.1%}", limit, evidence=evidence)
    beyond = "the very ones" if one.same else "beyond what would repeat by chance"
    return Check(
        TITLE,
        None,
        f"{one.share:.1%}",
        limit,
        f"{one.share:.1%} of the {one.rows.rows:,} judged rows are rows that {worst} was fitted on, {beyond}",
        evidence=evidence,
        next_step="Judge on rows that neither has seen: gate NAME --data ROWS.",
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """The judged rows beside those that a contestant was fitted on. `same`: they are the very ones, however many of
    them would repeat by chance."""

    rows: Overlap
    same: bool

    @property
    def share(self) -> float:
        return 1.0 if self.same else self.rows.trained


def _compared(case: Case, contestant: Contestant) -> _Compared | None:
    fitted_on = contestant.fitted_on()
    if fitted_on is None:
        return None
    there = {*fitted_on.columns} & {*case.frame.columns}  # what the model does not read may be missing
    columns = {field.name: field.kind for field in contestant.manifest.inputs if field.name in there}
    target = str(case.manifest.target)
    if target in fitted_on.columns:
        columns[target] = "string" if case.manifest.classes else "double"
    found = overlap(fitted_on, case.frame, columns)
    all_seen = found.seen == found.rows == len(fitted_on)
    same = all_seen and fingerprint(fitted_on, "").sha256 == fingerprint(case.frame, "").sha256
    return _Compared(found, same)
