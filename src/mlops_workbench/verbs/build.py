from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.interface import jobs, parsers
from mlops_workbench.interface.spec import Opt, spec, verb
from mlops_workbench.interface.types import Detach, ModelVersion, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.package.image import Image
    from mlops_workbench.session import Session


def _work(session: Session, _job: int, **options: Any) -> Image:
    from mlops_workbench.jobs import queue

    queue.end_orderly()
    return _built(session, **options)


@verb(stage="package", effect="writes", long=True, example="build flights", work=_work)
def build(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    base: Annotated[str | None, Opt("base image (default: [image] base)")] = None,
    fast_only: Annotated[
        bool,
        Opt(
            "only the fast path, without scikit-learn and pandas; refused where its proof does not cover all rows "
            "that the model answers"
        ),
    ] = False,
    platform: Annotated[
        str | None,
        Opt("such as linux/arm64 (default: what the engine runs on)", parse=parsers.platform),
    ] = None,
    detach: Detach = False,
) -> Image | Job:
    """Build the Docker image that serves a version, and prove it.

    Raises `EngineUnavailable`, `BuildFailed`.
    """
    options: dict[str, Any] = {
        "name": name,
        "version": version,
        "base": base,
        "fast_only": fast_only,
        "platform": platform,
    }
    if detach:
        return jobs.start(session, spec(build), session.version(name, version).name, options)
    return _built(session, **options)


def _built(
    session: Session,
    name: str,
    version: int | None,
    base: str | None,
    platform: str | None,
    *,
    fast_only: bool,
) -> Image:
    from mlops_workbench.rollout import building

    return building.build(
        session, session.version(name, version), base=base, platform=platform, fast_only=fast_only
    )
