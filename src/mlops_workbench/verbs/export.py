from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import OutputFile

if TYPE_CHECKING:
    from mlops_workbench.plugins import Exported
    from mlops_workbench.session import Session


@verb(stage="package", effect="writes", example="export grafana")
def export(
    session: Session,
    what: Annotated[str, Opt("what for: grafana, or the name of an installed plugin", offer="export")],
    *,
    out: Annotated[
        OutputFile | None, Opt("folder (default: one of that name in the project)", flags=("-o",))
    ] = None,
) -> Exported:
    """Write files for another tool: a Grafana dashboard and Prometheus alert rules, or what a plugin knows."""
    from mlops_workbench import plugins

    known = plugins.found("exports")
    if what not in known:
        raise UsageError(f"There is no export '{what}'.", closest(what, known))
    exporter: plugins.Exporter = plugins.load("exports", what)
    return exporter.export(session, Path(out) if out else session.project.root / what)
