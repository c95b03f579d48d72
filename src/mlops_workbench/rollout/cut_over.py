"""Moving an alias together with what follows it: prepare the new version, pause requests, swap.

Who is killed in between leaves a pointer that the next look makes right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.alerts import records as alerts
from mlops_workbench.alerts.records import NewAlert
from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.base.progress import Progress
from mlops_workbench.rollout import records
from mlops_workbench.rollout.followers import ask, failure, generation_of, has_decided, serves
from mlops_workbench.rollout.following import NOT_FOLLOWED, alert
from mlops_workbench.rollout.pointers import Alias, announce, announce_pause, forget, point, published
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.rollout.runtime.liveness import alive
from mlops_workbench.serving.pointer import Target

PREPARE_SECONDS = 120.0
PAUSE_SECONDS = 1.0
FOLLOW_SECONDS = 15.0
_ASK_SECONDS = 0.02


@dataclass(frozen=True)
class PreparedFollowers:
    """The deployments that are taken along while the alias moves."""

    evidence: Mapping[str, Any] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None


@contextmanager
def prepare_followers(
    alias: Alias, new: int | None, *, force: bool, stop: Callable[[], int], progress: Progress
) -> Iterator[PreparedFollowers]:
    """What follows the alias loads `new` before the block, and swaps to what the alias is on after it.

    Raises `ServingFailed` when one of them cannot, unless forced; an alert is recorded. `stop` ends them, when
    the alias is taken away.
    """
    if not alias.deployments:
        yield PreparedFollowers()
        return
    if new is None:
        yield PreparedFollowers()
        progress(f"stopping what follows {alias.name}")
        stop()
        forget(alias)
        return
    stored = alias.tracking.version(alias.model, new)
    moved = False
    point(alias, mine=True)
    target = published(alias, stored)
    try:
        lacking = _all_have(alias, target, progress)
        if lacking and not force:
            raise ServingFailed(
                f"Version {new} of '{alias.model}' was not made {alias.name}: {lacking[0]}",
                "Nothing was changed. Fix it, or stop what serves.",
            )
        yield PreparedFollowers({"not followed": lacking} if lacking else {}, lambda: _all_pause(alias))
        moved = True
    finally:
        # Once it has moved, the next one may be preparing another version already.
        point(alias, mine=not moved, known=target)
    if not lacking:
        _all_serve(alias, target, progress)


def _all_have(alias: Alias, target: Target, progress: Progress) -> list[str]:
    """Wait until all have the version loaded; a sentence for each that will not."""
    generation = announce(alias, target).generation
    waiting, lacking, ready = list(alias.deployments), [], 0
    what = f"version {target.version}"
    for deployment in waiting:
        progress(f"{ready} of {len(waiting)} deployments have {what} ready", ready / len(waiting))
        about = _wait(
            alias, deployment, lambda about: has_decided(about, target, generation), PREPARE_SECONDS
        )
        if about is None:
            if alive(deployment, alias.store.clock.now()) in ("stopped", "failed"):
                continue  # nobody is answered by it
            lacking.append(f"{deployment.url} did not have it ready within {PREPARE_SECONDS:.0f} s.")
        elif failed := failure(about, target):
            alert(alias, deployment, failed)
            lacking.append(f"{deployment.url} cannot load it: {failed['reason']}")
        else:
            ready += 1
    return lacking


def _all_pause(alias: Alias) -> None:
    generation = announce_pause(alias).generation
    for deployment in alias.deployments:
        _wait(alias, deployment, lambda about: generation_of(about) == generation, PAUSE_SECONDS)


def _all_serve(alias: Alias, target: Target, progress: Progress) -> None:
    """Wait until all serve it, and record that they do."""
    progress(f"version {target.version} takes over")
    for deployment in alias.deployments:
        about = _wait(alias, deployment, lambda about: serves(about, target), FOLLOW_SECONDS)
        if about is not None:
            records.moved(alias.store, deployment, target.version, target.digest)
        elif alive(deployment, alias.store.clock.now()) not in ("stopped", "failed"):
            alerts.raised(
                alias.context,
                NewAlert(
                    alias.model,
                    NOT_FOLLOWED,
                    subject=f"version {target.version}",
                    message=f"{deployment.url} does not serve version {target.version} of '{alias.model}' after "
                    f"{FOLLOW_SECONDS:.0f} s.",
                ),
            )


def _wait(
    alias: Alias, deployment: Deployment, enough: Callable[[Mapping[str, Any]], bool], seconds: float
) -> Mapping[str, Any] | None:
    """What it reports of itself, when that is enough; None when it is gone, or the time is over."""
    end = time.monotonic() + seconds
    silent = 0
    while time.monotonic() < end:
        about = ask(alias, deployment)
        if about is not None and enough(about):
            return about
        silent = silent + 1 if about is None else 0
        if silent > 3 and alive(deployment, alias.store.clock.now()) in ("stopped", "failed"):
            return None
        time.sleep(_ASK_SECONDS)
    return None
