"""The Open Inference Protocol v2 (REST), as tritonclient and KServe's client speak it: `/v2/…`.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with Triton's extension for
binary tensors. An error is `{"error": sentence}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_workbench import __version__
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.intake import JSON, REQUEST_ID, Answer, RequestIntake, json_response
from mlops_workbench.serving.protocols import tensors
from mlops_workbench.serving.protocols.requests import HEADER_LENGTH, LABEL, PROBABILITIES, InferRequest
from mlops_workbench.serving.version import ServingVersion

OCTETS = "application/octet-stream"
_VERSION = "/v2/models/{name}/versions/{version}"


def routes(intake: RequestIntake, ready: Callable[[], Awaitable[Response]]) -> list[Route]:
    async def server(_request: Request) -> Response:
        extensions = ["binary_tensor_data"]
        return json_response({"name": "mlops-workbench", "version": __version__, "extensions": extensions})

    async def live(_request: Request) -> Response:
        return json_response({"live": True})

    async def server_ready(_request: Request) -> Response:
        await ready()
        return json_response({"ready": True})

    async def model_ready(request: Request) -> Response:
        _require(request, intake.current)
        await ready()
        return json_response({"name": intake.current.dataplane.name, "ready": True})

    async def model(request: Request) -> Response:
        _require(request, intake.current)
        return json_response(_metadata(intake.current.dataplane))

    async def infer(request: Request) -> Response:
        context = {
            "length": request.headers.get(HEADER_LENGTH),
            "version": request.path_params.get("version"),
        }
        return _response(
            await intake.answer(
                request,
                (JSON, OCTETS, ""),
                "infer",
                context={k: v for k, v in context.items() if v is not None},
                require=lambda version: _require(request, version),
            )
        )

    found = [
        Route("/v2", server, methods=["GET"]),
        Route("/v2/health/live", live, methods=["GET"]),
        Route("/v2/health/ready", server_ready, methods=["GET"]),
    ]
    for base in (f"/v2/models/{intake.current.dataplane.name}", "/v2/models/{name}", _VERSION):
        found += [
            Route(base, model, methods=["GET"]),
            Route(f"{base}/ready", model_ready, methods=["GET"]),
            Route(f"{base}/infer", infer, methods=["POST"]),
        ]
    return found


def paths_of(plane: DataPlane) -> set[str]:
    """Where this version is asked by its number."""
    base = f"/v2/models/{plane.name}/versions/{plane.version}"
    return {base, f"{base}/ready", f"{base}/infer"}


def _require(request: Request, version: ServingVersion) -> None:
    """Raises ServingError NotFound for other models and versions."""
    here = {"name": version.dataplane.name, "version": version.version}
    if here | request.path_params != here:
        raise version.not_here(*request.path_params.values())


def _metadata(plane: DataPlane) -> dict[str, Any]:
    labels = plane.manifest.classes or plane.manifest.expected
    outputs = [{"name": LABEL, "datatype": tensors.label_type(labels), "shape": [-1]}]
    if plane.gives_probabilities:
        outputs.append(
            {"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(plane.manifest.classes)]}
        )
    inputs = [
        {"name": f.name, "datatype": tensors.DATATYPE[f.kind], "shape": [-1]} for f in plane.manifest.inputs
    ]
    return {
        "name": plane.name,
        "versions": [plane.version],
        "platform": f"mlops-workbench_{plane.manifest.serialization}",
        "inputs": inputs,
        "outputs": outputs,
    }


def _response(answer: Answer) -> Response:
    assert isinstance(answer.request, InferRequest)
    entry, plane = answer.entry, answer.version.dataplane
    outputs, blobs = [], []
    for name, as_binary in answer.request.outputs.items():
        if name == LABEL:
            values, shape = _flattened(entry.prediction.values)
            datatype = tensors.label_type(plane.manifest.classes or values)
        else:
            values, shape = _flattened(entry.prediction.probabilities or [])
            datatype = "FP64"
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if as_binary:
            blobs.append(tensors.encoded(values, datatype))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    payload = {
        "model_name": plane.name,
        "model_version": entry.version,
        "id": entry.request_id,
        "outputs": outputs,
    }
    head = orjson.dumps(payload, default=str)
    headers = {REQUEST_ID: entry.request_id}
    if not blobs:
        return Response(head, media_type=JSON, headers=headers)
    headers[HEADER_LENGTH] = str(len(head))
    return Response(head + b"".join(blobs), media_type=OCTETS, headers=headers)


def _flattened(values: list[Any]) -> tuple[list[Any], list[int]]:
    """Flat values and their shape: [n], or [n, k] where each answer is a list. Objects go out as JSON text."""
    if any(isinstance(v, dict) for v in values):
        return [orjson.dumps(v, default=str).decode() for v in values], [len(values)]
    if values and all(isinstance(v, list) and len(v) == len(values[0]) for v in values):
        return [inner for v in values for inner in v], [len(values), len(values[0])]
    return values, [len(values)]
