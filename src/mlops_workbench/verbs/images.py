from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Model

if TYPE_CHECKING:
    from mlops_workbench.package.image import ImageList
    from mlops_workbench.session import Session


@verb(stage="package", effect="reads", example="images")
def images(session: Session, *, name: Annotated[Model | None, Opt("only of this model")] = None) -> ImageList:
    """Images that were built, whether the engine still has them, and what serves from them."""
    from mlops_workbench.rollout import building

    if name is not None:
        session.tracking.require_model(name)
    return building.images(session.store, name)
