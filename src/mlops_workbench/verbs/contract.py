from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import UsageError
from mlops_workbench.config.names import check_name
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ContractName, Data, File

if TYPE_CHECKING:
    from mlops_workbench.data.sheet import ContractSheet
    from mlops_workbench.session import Session


@verb(stage="data", effect="reads", example="contract flights --data january")
def contract(
    session: Session,
    name: ContractName,
    *,
    data: Annotated[
        Data, Opt("infer it from this DataFrame, with a whylogs profile", flags=("-d",), writes=True)
    ] = None,
    suite: Annotated[File | None, Opt("import this Great Expectations suite (JSON)", writes=True)] = None,
    replace: Annotated[bool, Opt("replace the contract that is there", writes=True)] = False,
) -> ContractSheet:
    """Show a contract and where it was checked; make one from data or from a Great Expectations suite.

    Raises `Conflict` when there is one and it is not to be replaced, `NotFound`.
    """
    from mlops_workbench.data import making

    check_name(name, "contract")
    if data is None and suite is None:
        if replace:
            raise UsageError("There is nothing to replace the contract with.", "Give data or a suite.")
        return making.show(session.project, session.store, name)
    if data is not None and suite is not None:
        raise UsageError("A contract is made from data or from a suite, not both.", "Give one of them.")
    making.require_free(session.project, name, replace)
    if suite is not None:
        return making.from_suite(session.project, name, Path(suite).expanduser(), replace=replace)
    frame, label = session.frame(data)
    return making.from_data(session, name, frame, label, replace=replace)
