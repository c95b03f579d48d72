"""The proof of an image: started once, asked the recorded sample rows through every contract, and compared."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.manifest import Kind, Manifest, Servable
from mlops_workbench.package.image import ContractProof, ImageProof
from mlops_workbench.rollout.runtime import containers
from mlops_workbench.rollout.runtime.client import call
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch

ROLE = "proof"
TOLERANCE = 1e-6
"""of numbers and probabilities, absolute below one and relative above: another CPU sums in another order"""
_LOG = "sqlite:////tmp/proof.db"
"""in the container's own /tmp: what is asked here is no traffic"""
_VERTEX = "/vertex-proof"
_SECONDS = 60
_DATATYPES: dict[Kind, str] = {
    "double": "FP64",
    "long": "INT64",
    "string": "BYTES",
    "boolean": "BOOL",
    "datetime": "BYTES",
}

SampleRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """Probabilities are None where there are none."""

    values: Sequence[Any]
    probabilities: Sequence[Sequence[float]] | None


AskContract = Callable[[str, Manifest, SampleRows, str], _Answer]
"""(URL, manifest, rows, name of the model) → answer. Raises ServingFailed."""


def prove(tag: str, manifest: Manifest, servable: Servable) -> ImageProof:
    """Ask a container of the image for the manifest's sample, then remove it.

    Raises ServingFailed that says which row of which contract differs, with the end of the container's log.
    """
    started = time.monotonic()
    if not manifest.sample:
        raise ServingFailed("The version has no sample rows to prove its image with.", "Register it again.")
    deployment = containers.start_container(
        tag,
        servable,
        # no keys: nobody else asks; what a platform would set for its routes
        Launch(
            role=ROLE,
            log_url=_LOG,
            environment={"AIP_PREDICT_ROUTE": _VERTEX, "AIP_HEALTH_ROUTE": f"{_VERTEX}-health"},
        ),
        cpus=float(os.cpu_count() or 1),
    )
    try:
        found = tuple(_asked(contract, deployment, manifest, servable.name) for contract in CONTRACTS)
    except ServingFailed as error:
        log = containers.tail(deployment, 20).strip()
        raise ServingFailed(f"{error.message} Its log ends:\n{log}\n", error.next_step) from None
    finally:
        containers.remove(deployment)
    return ImageProof(found, round(time.monotonic() - started, 2))


def _asked(contract: str, deployment: Deployment, manifest: Manifest, name: str) -> ContractProof:
    path, ask = CONTRACTS[contract]
    try:
        answer = ask(deployment.url, manifest, manifest.sample, name)
    except (KeyError, TypeError, IndexError) as problem:
        raise ServingFailed(f"{contract} answered in another form: {problem!r}.") from None
    places = len(manifest.sample)
    if len(answer.values) != places:
        raise ServingFailed(f"{contract} answered {len(answer.values)} values for {places} rows.")
    worst = 0.0
    for row, (got, wanted) in enumerate(zip(answer.values, manifest.expected, strict=True)):
        worst = max(worst, _gap(contract, row, "prediction", got, wanted))
    recorded, probabilities = manifest.expected_probabilities, answer.probabilities or ()
    if recorded and len(probabilities) != len(recorded):
        raise ServingFailed(
            f"{contract} answered the probabilities of {len(probabilities)} rows, those of {len(recorded)} were "
            "recorded.",
            "Register the version again.",
        )
    for row, pair in enumerate(zip(probabilities, recorded, strict=False)):
        for got, wanted in zip(*pair, strict=True):
            worst = max(worst, _gap(contract, row, "probability", got, wanted))
    return ContractProof(contract, path.format(name=name), places, places, worst)


def _gap(contract: str, row: int, what: str, got: Any, wanted: Any) -> float:
    """The difference of two numbers; 0 for labels that are equal. Raises ServingFailed."""
    if isinstance(wanted, float) and isinstance(got, int | float) and not isinstance(got, bool):
        if got == wanted:
            return 0.0
        gap = abs(got - wanted) / max(1.0, abs(wanted))
        if gap <= TOLERANCE and math.isfinite(gap):
            return gap
    elif type(got) is type(wanted) and got == wanted:
        return 0.0
    raise ServingFailed(
        f"{contract} answers the {what} of sample row {row} otherwise than the notebook: {got!r}, recorded {wanted!r}.",
        "Compare the versions of the libraries here with the requirements that were locked.",
    )


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = call(url, body, seconds=_SECONDS)
    if status != 200:
        message = answer.get("message") or answer.get("error") or "nothing"
        raise ServingFailed(f"It answered its own sample rows with HTTP {status}: {message}")
    return answer


def _predict(url: str, _manifest: Manifest, rows: SampleRows, _name: str) -> _Answer:
    answer = _post(f"{url}/predict", {"rows": [dict(row) for row in rows]})
    return _Answer(answer["predictions"], answer.get("probabilities"))


def _infer(url: str, manifest: Manifest, rows: SampleRows, name: str) -> _Answer:
    """A tensor a column; columns that are missing in every row are left out, as the protocol has it."""
    inputs = [
        {
            "name": field.name,
            "shape": [len(rows)],
            "datatype": _DATATYPES[field.kind],
            "data": [row.get(field.name) for row in rows],
        }
        for field in manifest.inputs
        if any(row.get(field.name) is not None for row in rows)
    ]
    answer = _post(f"{url}/v2/models/{name}/infer", {"inputs": inputs})
    outputs = {output["name"]: output for output in answer["outputs"]}
    probabilities = outputs.get("predict_proba")
    if probabilities is None:
        return _Answer(outputs["predict"]["data"], None)
    width, flat = probabilities["shape"][1], probabilities["data"]
    return _Answer(
        outputs["predict"]["data"],
        [flat[i : i + width] for i in range(0, len(flat), width)] if width else None,
    )


def _invocations(url: str, manifest: Manifest, rows: SampleRows, _name: str) -> _Answer:
    split = {"columns": manifest.columns, "data": [[row.get(c) for c in manifest.columns] for row in rows]}
    return _twice(f"{url}/invocations", manifest, {"dataframe_split": split}, "params")


def _vertex(url: str, manifest: Manifest, rows: SampleRows, _name: str) -> _Answer:
    return _twice(f"{url}{_VERTEX}", manifest, {"instances": [dict(row) for row in rows]}, "parameters")


def _twice(url: str, manifest: Manifest, body: dict[str, Any], parameters: str) -> _Answer:
    """For labels, then for probabilities if the model has them."""
    values = _post(url, body)["predictions"]
    if not manifest.expected_probabilities:
        return _Answer(values, None)
    return _Answer(values, _post(url, body | {parameters: {"probabilities": True}})["predictions"])


CONTRACTS: dict[str, tuple[str, AskContract]] = {
    "POST /predict": ("/predict", _predict),
    "Open Inference Protocol v2": ("/v2/models/{name}/infer", _infer),
    "MLflow's /invocations": ("/invocations", _invocations),
    "Vertex AI": ("AIP_PREDICT_ROUTE", _vertex),
}
