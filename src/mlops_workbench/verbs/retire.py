from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.interface.spec import verb
from mlops_workbench.interface.types import ModelVersion, ThisVersion, Why

if TYPE_CHECKING:
    from mlops_workbench.registry.ledger import LedgerEntry
    from mlops_workbench.session import Session


@verb(stage="registry", effect="writes", example='retire flights/1 --why "replaced"')
def retire(session: Session, name: ModelVersion, *, version: ThisVersion = None, why: Why) -> LedgerEntry:
    """Put a version out of use: stopped, without aliases and alerts, archived with its evidence.

    Raises `Conflict`.
    """
    from mlops_workbench.alerts import records as alerts
    from mlops_workbench.registry import ledger, lineage, retiring
    from mlops_workbench.rollout import following, launching
    from mlops_workbench.verbs.card import made
    from mlops_workbench.verbs.lineage import origin

    ledger.require_reason(why)
    stored = session.stated_version(name, version)
    following.sync_followers(session, stored.name)
    held = [a for a, n in session.tracking.aliases(stored.name).items() if n == stored.version]

    def stop() -> int:
        stopped = launching.stop_version(session.store, stored.name, stored.version)
        about = (f"version {stored.version}", *(f"alias {alias}" for alias in held))
        alerts.over(session.store, stored.name, about)
        return stopped

    known = origin(session, stored)
    card = made(session, known)
    return retiring.retire(
        session.store,
        session.tracking,
        stored,
        why=why,
        archive=session.project.folder("archive") / f"{stored.name}-{stored.version}.zip",
        documents={
            "lineage.json": retiring.as_json(lineage.trace(known).to_dict()),
            "card.md": card.markdown,
            "card.html": card.page(),
        },
        stop=stop,
    )
