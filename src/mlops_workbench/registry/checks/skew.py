"""Training/serving skew: what serves must answer as the notebook's model did on the same rows."""

from __future__ import annotations

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.registry.checks.check import Contestant, GateContext
from mlops_workbench.registry.checks.result import NOTHING, Check, unknown
from mlops_workbench.registry.proof import difference
from mlops_workbench.registry.versions import Predictor

RUNTIME = "training/serving skew"
IMAGE = "training/image skew"


def runtime(candidate: Contestant) -> Check:
    return _compared(RUNTIME, candidate, candidate.served, "the serving runtime")


def image(candidate: Contestant, context: GateContext) -> Check:
    """The image's own answers. Without an image there is nothing to ask; without an engine there is, but none can."""
    if not context.image:
        return Check(IMAGE, None, NOTHING, "none", "no image was built of this version", applies=False)
    if context.ask_image is None:
        return unknown(IMAGE, f"nothing was handed in that could start {context.image}", "none")
    return _compared(IMAGE, candidate, context.ask_image, f"a container of {context.image}")


def _compared(title: str, candidate: Contestant, served: Predictor, what: str) -> Check:
    manifest = candidate.manifest
    try:
        found = difference(manifest, served(manifest.sample))
    except MlopsError as problem:
        reason = problem.message.splitlines()[0].rstrip(".")
        return unknown(title, reason, "none", problem.next_step)
    return Check(
        title,
        not found,
        found or "no difference",
        "none",
        f"{len(manifest.sample)} recorded rows asked of {what}",
        evidence={"rows": list(manifest.sample), "recorded": list(manifest.expected)} if found else {},
        next_step="Register the model again: the sample rows are in the version's workbench.json.",
    )
