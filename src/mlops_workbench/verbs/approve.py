from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb
from mlops_workbench.interface.types import ModelVersion, ThisVersion, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.approvals import Approval
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example='approve flights/2 --why "looked at the slices"')
def approve(session: Session, name: ModelVersion, *, version: ThisVersion = None, why: Why) -> Approval:
    """Vouch for a version on its newest gate report; the policy sets how many must, and for how long it counts.

    Raises `GateFailed` without a green report, `Conflict`.
    """
    from mlops_workbench.registry import approvals, gates, ledger

    ledger.require_reason(why)
    stored = session.stated_version(name, version)
    seen = gates.latest(session.store, stored.name, stored.version)
    policy = session.project.policy
    return approvals.approve(
        session.store, session.tracking, stored, seen, policy.approval, policy.governance, why
    )
