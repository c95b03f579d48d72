from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, ThisVersion, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example='promote flights --version 1 --why "first model"')
def promote(
    session: Session,
    name: ModelVersion,
    *,
    version: ThisVersion = None,
    why: Why,
    force: Annotated[bool, Opt("without a green gate or approvals; recorded as such")] = False,
) -> LedgerEntry:
    """Make a version the champion.

    Raises `GateFailed` without a green gate unless forced, `Conflict`.
    """
    from mlops_workbench.registry import ledger, promotion
    from mlops_workbench.rollout import launching
    from mlops_workbench.session import CHAMPION

    ledger.require_reason(why)
    stored = session.stated_version(name, version)
    return promotion.move(
        session,
        model=stored.name,
        action="promote",
        why=why,
        plan=lambda champion: promotion.to_champion(
            session.store, stored, champion, session.project.policy, force=force
        ),
        cut_over=launching.cut_over(session, stored.name, CHAMPION, force=force),
    )
