from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb
from mlops_workbench.interface.types import ModelVersion, ThisVersion, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example='delete flights/3 --why "fitted on the wrong month"')
def delete(session: Session, name: ModelVersion, *, version: ThisVersion = None, why: Why) -> LedgerEntry:
    """Delete a version that no alias, deployment or approval refers to.

    Raises `Conflict` naming what does.
    """
    from mlops_workbench.registry import ledger, retiring
    from mlops_workbench.rollout import following, records

    ledger.require_reason(why)
    stored = session.stated_version(name, version)
    following.sync_followers(session, stored.name)
    serving = [d for d in records.current(session.store, stored.name) if d.version == str(stored.version)]
    return retiring.delete(session.store, session.tracking, stored, why=why, deployments=len(serving))
