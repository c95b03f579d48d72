"""Were the judged rows held out? Compared by row with what the candidate, and the champion, were fitted on."""

from __future__ import annotations

from mlops_workbench.data.frames import fingerprint
from mlops_workbench.data.overlap import Overlap, overlap
from mlops_workbench.registry.checks.check import Case, Contestant
from mlops_workbench.registry.checks.result import Check, unknown

TITLE = "rows not trained on"


def unseen(case: Case) -> Check:
    """Above the policy's share nothing that the other checks found counts: memory is no merit."""
    limit = f"≤ {case.policy.trained_rows:.1%}"
    found = {who: _overlap(case, contestant) for who, contestant in _who(case).items()}
    known = {who: one for who, one in found.items() if one is not None}
    if gone := [who for who in found if who not in known]:
        reason = f"the rows that {gone[0]} was fitted on are not kept any more"
        return unknown(TITLE, reason, limit, "Register it again, with its data.")
    evidence = {
        who: f"{one.seen:,} of {one.rows:,} rows equal one it was fitted on; {one.repeated:.1%} would by chance"
        for who, one in known.items()
    }
    same = [who for who, contestant in _who(case).items() if _the_same(case, contestant)]
    if same and case.policy.trained_rows < 1:  # else a person has said that it may be so
        return Check(
            TITLE,
            None,
            "100.0%",
            limit,
            f"the {len(case.frame):,} judged rows are rows that {same[0]} was fitted on, the very ones",
            evidence=evidence,
            next_step="Judge on rows that neither has seen: gate NAME --data ROWS.",
        )
    worst, one = max(known.items(), key=lambda item: item[1].trained)
    figure = f"{one.trained:.1%}"
    if one.trained <= case.policy.trained_rows:
        return Check(TITLE, True, figure, limit, evidence=evidence)
    return Check(
        TITLE,
        None,
        figure,
        limit,
        f"{one.trained:.1%} of the {one.rows:,} judged rows are rows that {worst} was fitted on, beyond what would "
        "repeat by chance",
        evidence=evidence,
        next_step="Judge on rows that neither has seen: gate NAME --data ROWS.",
    )


def _who(case: Case) -> dict[str, Contestant]:
    found = {f"version {case.candidate.version}": case.candidate}
    if case.champion is not None:
        found[f"the champion (version {case.champion.version})"] = case.champion
    return found


def _the_same(case: Case, contestant: Contestant) -> bool:
    """Whether the rows are the very ones, however many of them would repeat by chance."""
    fitted_on = contestant.fitted_on()
    if fitted_on is None or len(fitted_on) != len(case.frame):
        return False
    return fingerprint(fitted_on, "").sha256 == fingerprint(case.frame, "").sha256


def _overlap(case: Case, contestant: Contestant) -> Overlap | None:
    fitted_on = contestant.fitted_on()
    if fitted_on is None:
        return None
    there = {*fitted_on.columns} & {*case.frame.columns}  # what the model does not read may be missing
    columns = {field.name: field.kind for field in contestant.manifest.inputs if field.name in there}
    target = str(case.manifest.target)
    if target in fitted_on.columns:
        columns[target] = "string" if case.manifest.classes else "double"
    return overlap(fitted_on, case.frame, columns)
