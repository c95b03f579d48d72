from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb
from mlops_workbench.interface.types import Model, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example='rollback flights --why "drill"')
def rollback(session: Session, name: Model, *, why: Why) -> LedgerEntry:
    """Make the previous champion the champion again.

    Raises `Conflict` when there was none before.
    """
    from mlops_workbench.registry import ledger, promotion
    from mlops_workbench.rollout import launching
    from mlops_workbench.session import CHAMPION

    ledger.require_reason(why)
    session.tracking.require_model(name)
    return promotion.move(
        session,
        model=name,
        action="rollback",
        why=why,
        plan=lambda _: promotion.back(session.store, session.tracking, name),
        cut_over=launching.cut_over(session, name, CHAMPION),
    )
