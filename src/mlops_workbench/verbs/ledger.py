from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mlops_workbench.interface.spec import Opt, verb

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import Entries, Verification
    from mlops_workbench.session import Session


@verb(stage="registry", effect="reads", example="ledger verify")
def ledger(
    session: Session, action: Annotated[Literal["show", "verify"] | None, Opt("show or verify")] = None
) -> Verification | Entries:
    """Show the newest entries of all models, or verify the whole hash chain."""
    from mlops_workbench.registry import ledger as ledgers

    if action in (None, "show"):
        return ledgers.newest(session.store, 50)
    return ledgers.verify(session.store, session.tracking.noted_ledger())
