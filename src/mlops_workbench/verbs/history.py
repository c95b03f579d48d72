from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Model

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import History
    from mlops_workbench.session import Session


@verb(stage="registry", effect="reads", example="history flights --at 2026-11-01T12:00")
def history(
    session: Session,
    name: Model,
    *,
    at: Annotated[
        str | None,
        Opt(
            "who was champion then: a time such as 2026-11-01T12:00 (UTC), or with its zone, 2026-11-01T12:00+02:00"
        ),
    ] = None,
) -> History:
    """Every champion there was: who, when, why, on what evidence."""
    from mlops_workbench.registry import ledger, promotion
    from mlops_workbench.session import CHAMPION

    session.tracking.require_model(name)
    promotion.reconcile(session.store, session.tracking, name)
    entries = ledger.entries(session.store, name)
    moment = None if at is None else ledger.moment(at)
    return ledger.history(name, session.tracking.alias(name, CHAMPION), entries, moment)
