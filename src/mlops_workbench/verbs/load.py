from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, NewVariable, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.rollout.loading import LoadedModel
    from mlops_workbench.session import Session


@verb(stage="registry", effect="kernel", example="load flights --as champion")
def load(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    variable: Annotated[NewVariable, Opt("variable of the notebook that the model becomes")] = None,
) -> LoadedModel:
    """Give a registered model back as an object, verified and loaded as the serving runtime loads it.

    In Python it is the result's `model`. Raises `InvalidModel` when its files are not those that were registered.
    """
    from mlops_workbench.registry import versions
    from mlops_workbench.rollout import loading

    session.check_variable(variable)
    stored = session.version(name, version)
    found = loading.loaded(versions.recorded(session.tracking, stored)[0], stored, variable)
    session.bind(variable, found.model)
    return found
