from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Model

if TYPE_CHECKING:
    from mlops_workbench.registry.model_list import ModelList, Version
    from mlops_workbench.session import Session
    from mlops_workbench.track.records import RegisteredVersion


@verb(stage="registry", effect="reads")
def models(
    session: Session, *, name: Annotated[Model | None, Opt("only this model", flags=("-n",))] = None
) -> ModelList:
    """List registered models and versions, newest first."""
    from mlops_workbench.registry.model_list import ModelList

    return ModelList(tuple(described(session, session.tracking.versions(name))))


def described(session: Session, found: Sequence[RegisteredVersion]) -> list[Version]:
    """Versions with their state, last gate report and image."""
    from mlops_workbench.package import records as images
    from mlops_workbench.registry.model_list import describe

    return describe(session, found, images=images.tags(session.store))
