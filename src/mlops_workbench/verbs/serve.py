from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mlops_workbench.base.errors import UsageError
from mlops_workbench.config.names import reference
from mlops_workbench.interface import parsers
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.rollout.records import Live
    from mlops_workbench.session import Session


@verb(stage="serve", effect="writes", example="serve flights")
def serve(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    port: Annotated[int | None, Opt("port on 127.0.0.1 (default: a free one)", parse=parsers.port)] = None,
    kind: Annotated[Literal["container", "process"] | None, Opt("container or process")] = None,
    follow: Annotated[
        bool, Opt("serve later champions (of NAME@alias: its versions) in its place, without a pause")
    ] = False,
    docker: Annotated[bool, Opt("in its container: as --kind container")] = False,
    memory: Annotated[
        str | None,
        Opt(
            "memory that the container may use, such as 512m (default: [serving] memory)",
            parse=parsers.memory,
        ),
    ] = None,
    cpus: Annotated[
        float | None,
        Opt("cores that the container may use, such as 0.5 (default: [serving] cpus)", parse=parsers.cpus),
    ] = None,
) -> Live:
    """Put a version behind HTTP: in its container if it has an image, else in a local process.

    What served the model before is stopped once this one is ready. A process that replaces one keeps its address, and
    what followed an alias goes on following it unless a version is named.
    """
    from mlops_workbench.package import records as images
    from mlops_workbench.registry import versions
    from mlops_workbench.rollout import following, launching, records
    from mlops_workbench.session import CHAMPION

    asked = reference(name, version)
    if follow and asked.version is not None:
        raise UsageError(
            f"What follows serves the version of an alias, not version {asked.version}.",
            "Say NAME, or NAME@alias.",
        )
    if docker and kind == "process":
        raise UsageError("A version is served by a container or by a process.", "Say one of them.")
    stored = session.version(name, version)
    alias = asked.alias or CHAMPION
    if not follow and asked.version is None:
        follow = any(live.deployment.follows == alias for live in records.current(session.store, stored.name))
    return launching.serve(
        session,
        stored,
        versions.recorded(session.tracking, stored)[0],
        images.get(session.store, stored.name, stored.version),
        launching.ServeRequest(port=port, kind="container" if docker else kind, memory=memory, cpus=cpus),
        follow=following.followed(session, stored.name, alias) if follow else None,
    )
