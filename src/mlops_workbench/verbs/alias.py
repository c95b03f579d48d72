from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.config.names import reference
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, ThisVersion, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.session import Session


@verb(
    stage="registry",
    effect="writes",
    example='alias flights/2 challenger --why "shadow it for a week"',
)
def alias(
    session: Session,
    name: ModelVersion,
    alias: Annotated[str, Opt("name of the alias")],
    *,
    version: ThisVersion = None,
    remove: Annotated[bool, Opt("take the alias away")] = False,
    why: Why,
) -> LedgerEntry:
    """Put an alias such as challenger on a version, or take it away.

    Raises `UsageError`, `Conflict`.
    """
    from mlops_workbench.registry import ledger, promotion
    from mlops_workbench.rollout import launching

    ledger.require_reason(why)
    promotion.check_alias(alias)
    model = reference(name, version).model
    if remove:
        session.tracking.require_model(model)
    target = None if remove else session.stated_version(name, version)
    return promotion.move(
        session,
        model=model,
        action="alias",
        why=why,
        alias=alias,
        plan=lambda old: promotion.to_alias(model, alias, old, target),
        cut_over=launching.cut_over(session, model, alias),
    )
