from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import File, OutputFile

if TYPE_CHECKING:
    from mlops_workbench.registry.anchors import Anchor
    from mlops_workbench.registry.ledger import Entries, Verification
    from mlops_workbench.session import Session


@verb(stage="registry", effect="reads", example="ledger verify")
def ledger(
    session: Session,
    action: Annotated[
        Literal["show", "verify", "anchor"] | None,
        Opt("show (the default), verify or anchor", writes=("anchor",)),
    ] = None,
    *,
    to: Annotated[
        OutputFile | None, Opt("anchor: add the newest hash to this file, which lies elsewhere")
    ] = None,
    against: Annotated[File | None, Opt("verify: also against the anchors in this file")] = None,
    git: Annotated[
        bool, Opt("anchor: as a tag of the project's repository; verify: also against its tags")
    ] = False,
    remote: Annotated[
        str | None, Opt("with git: push the tag to this remote, or read that remote's tags")
    ] = None,
) -> Verification | Entries | Anchor:
    """Show the newest entries of all models, verify the whole hash chain, or anchor its newest hash outside.

    Who can write both stores can compute the chain again: that is found against an anchor, and only by it.
    """
    from mlops_workbench.registry import anchors
    from mlops_workbench.registry import ledger as ledgers

    if remote is not None:
        if not git:
            raise UsageError(
                "A remote is the name of one of the repository's, with the option git.", "Say both."
            )
        anchors.require_remote(session.project.root, remote)
    if action == "anchor":
        if (to is None) == (not git) or against is not None:
            raise UsageError(
                "Where is the hash to be kept?", "Say one: the option to with a file, or the option git."
            )
        return _anchored(session, to, remote)
    if to is not None or (action != "verify" and (against is not None or git)):
        raise UsageError("Those options go with the actions verify or anchor.", "Say the action first.")
    if action is None or action == "show":
        return ledgers.newest(session.store, 50)
    outside = anchors.in_file(session.path(against), session.project.name) if against else []
    outside += anchors.in_tags(session.project.root, session.project.name, remote) if git else []
    found = ledgers.verify(session.store, session.tracking.noted_ledger())
    return found.with_anchors([a.entry for a in outside], anchors.problems(session.store, outside))


def _anchored(session: Session, to: str | None, remote: str | None) -> Anchor:
    from dataclasses import replace

    from mlops_workbench.registry import anchors

    project = session.project
    made = anchors.newest(session.store, project.name, "")
    if to is None:
        return replace(made, where=anchors.tag(made, project.root, remote))
    file = session.path(to).absolute()
    anchors.append(made, file)
    return replace(made, where=str(file))
