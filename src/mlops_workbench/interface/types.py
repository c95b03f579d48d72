"""Types that several verbs' parameters share: how a word is parsed, completed and explained."""

from __future__ import annotations

from typing import Annotated, Any

from mlops_workbench.interface import parsers
from mlops_workbench.interface.spec import Opt

Data = Annotated[Any, Opt(offer="variable")]
"""a DataFrame, the name of a variable that holds one, a file, or a snapshot's reference"""
File = Annotated[str, Opt(offer="file")]
OutputFile = Annotated[str, Opt(offer="file", output=True, writes=True)]
NewVariable = Annotated[str | None, Opt(flags=("--as",), metavar="NAME")]
"""what a verb makes becomes this variable of the notebook"""
Positive = Annotated[int, Opt(parse=parsers.positive)]

Model = Annotated[str, Opt("registered model", offer="model")]
ModelVersion = Annotated[str, Opt("registered model, also NAME/VERSION or NAME@alias", offer="model")]
VersionNumber = Annotated[
    int | None,
    Opt("version (default: the champion)", flags=("--version", "-v"), parse=parsers.version, offer="version"),
]
ThisVersion = Annotated[VersionNumber, Opt("version, if NAME does not say it")]
RunName = Annotated[str, Opt(offer="run")]
JobNumber = Annotated[int, Opt(parse=parsers.positive, offer="job")]
ContractName = Annotated[str, Opt("name of the contract (contracts/NAME.yaml)", offer="contract")]
Why = Annotated[str, Opt("reason, kept in the ledger", prose=True)]
Detach = Annotated[bool, Opt("return at once; follow with jobs")]
