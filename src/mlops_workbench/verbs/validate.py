from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import ContractViolation
from mlops_workbench.config.names import check_name
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ContractName, Data, OutputFile, RunName

if TYPE_CHECKING:
    from mlops_workbench.data.verdict import ContractReport
    from mlops_workbench.session import Session


@verb(stage="data", effect="kernel", example="validate january --contract flights")
def validate(
    session: Session,
    data: Annotated[Data, Opt("DataFrame variable, or a file (.parquet, .csv, .csv.gz, .tsv, .jsonl)")],
    *,
    contract: Annotated[ContractName, Opt(flags=("-c",))],
    infer: Annotated[bool, Opt("write the contract again, from this data")] = False,
    run: Annotated[
        RunName | None, Opt("run to keep the result with (default: the run whose cell or script this is)")
    ] = None,
    report: Annotated[OutputFile | None, Opt("also write the report to this HTML file")] = None,
    profile: Annotated[
        OutputFile | None,
        Opt("also write a whylogs profile of the data to this file, and check the constraints on it"),
    ] = None,
) -> ContractReport:
    """Check a DataFrame against its contract; the first time, infer the contract.

    Raises `ContractViolation` with the report when the data break it.
    """
    from mlops_workbench.data import contracts, validating, validations

    check_name(contract, "contract")
    page, profiled = (validating.writable(file) for file in (report, profile))
    of_run = session.tracking.run(run).id if run else session.tracking.active()
    kinds = {} if infer else validating.kinds_of(session.project, contract)
    frame, name = session.frame(data, kinds)
    found = validating.validate(session, frame, name, contract, infer=infer, run=of_run, profile=profiled)
    validations.keep(session.store, found)
    if page:
        validating.write_page(found, page)
    if of_run:
        tags = validations.tags(found.contract, found.data, found.verdict, found.digest)
        session.tracking.log(of_run, tags=tags, files=validating.artifacts(found))
    if not found.passed:
        place = contracts.path_of(session.project.root, contract).relative_to(session.project.root)
        raise ContractViolation(validating.sentence(found), f"Fix the data, or edit {place}.", found)
    return found
