"""The Open Inference Protocol v2 (REST), as tritonclient and KServe's client speak it: `/v2/…`.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with Triton's extension for
binary tensors. An error is `{"error": sentence}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_workbench import __version__
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import shown
from mlops_workbench.serving.intake import JSON, REQUEST_ID, Answer, Body, RequestIntake, json_response
from mlops_workbench.serving.protocols import tensors
from mlops_workbench.serving.protocols.rows import fitting, object_of, refuse
from mlops_workbench.serving.schema import ParsedRequest
from mlops_workbench.serving.version import ServingVersion

HEADER_LENGTH = "Inference-Header-Content-Length"
OCTETS = "application/octet-stream"
_VERSION = "/v2/models/{name}/versions/{version}"
_LABEL, _PROBABILITIES = "predict", "predict_proba"


@dataclass(frozen=True, slots=True)
class InferRequest(ParsedRequest):
    outputs: dict[str, bool] = field(default_factory=dict)
    """name → whether its data is to come as binary"""


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
        def parse(body: Body, version: ServingVersion) -> InferRequest:
            _require(request, version)
            return _parse(body.data, request, version, intake.limits)

        return _response(await intake.answer(request, (JSON, OCTETS, ""), parse))

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
    outputs = [{"name": _LABEL, "datatype": tensors.label_type(labels), "shape": [-1]}]
    if plane.gives_probabilities:
        outputs.append(
            {"name": _PROBABILITIES, "datatype": "FP64", "shape": [-1, len(plane.manifest.classes)]}
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


def _parse(raw: bytes, request: Request, version: ServingVersion, limits: Limits) -> InferRequest:
    payload, binary = _parts(raw, request.headers.get(HEADER_LENGTH))
    inputs = payload.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        refuse(f"The request must have 'inputs', a list of tensors. Got {shown(inputs)} instead.")
    request_id = payload.get("id")
    if request_id is not None and not isinstance(request_id, str):
        refuse(f"'id' must be a text. Got {shown(request_id)} instead.", "Leave it out to have one made.")
    columns = version.dataplane.manifest.inputs
    if len(inputs) > len(columns):
        refuse(f"The request has {len(inputs)} inputs; the model takes {len(columns)}.")
    found, at = [], 0
    for described in inputs:
        tensor, at = tensors.read(described, binary, at, max(limits.request_rows, len(columns)))
        found.append(tensor)
    if at != len(binary):
        refuse(f"{len(binary) - at} bytes after the inputs' binary data belong to no input.")
    rows = fitting(tensors.columns(found, columns), version.schema)
    return InferRequest(
        rows,
        request_id or None,
        version=request.path_params.get("version"),
        outputs=_outputs(payload, version.dataplane),
    )


def _parts(raw: bytes, header: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON, and the binary data after it."""
    if header is None:
        return object_of(raw), memoryview(b"")
    if not header.isascii() or not header.isdigit() or len(header) > 12 or int(header) > len(raw):
        refuse(f"{HEADER_LENGTH} must be the length of the JSON in bytes. Got {shown(header)} instead.")
    return object_of(raw[: int(header)]), memoryview(raw)[int(header) :]


def _outputs(payload: dict[str, Any], plane: DataPlane) -> dict[str, bool]:
    offered = [_LABEL, _PROBABILITIES] if plane.gives_probabilities else [_LABEL]
    binary = _parameters(payload).get("binary_data_output") is True
    wanted = payload.get("outputs")
    if not wanted:
        return dict.fromkeys(offered, binary)
    found = {}
    for output in wanted if isinstance(wanted, list) else [wanted]:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in offered:
            refuse(f"An output is one of {', '.join(offered)}. Got {shown(name)} instead.")
        parameters = _parameters(output)
        if refused := {"classification", "shared_memory_region"} & set(parameters):
            refuse(f"The output parameter '{refused.pop()}' is not offered.", "Leave it out.")
        found[name] = parameters.get("binary_data", binary) is True
    return found


def _parameters(payload: dict[str, Any]) -> dict[str, Any]:
    """Others than those that are asked for, such as `content_type`, say nothing here."""
    given = payload.get("parameters")
    return given if isinstance(given, dict) else {}


def _response(answer: Answer[InferRequest]) -> Response:
    entry, plane = answer.entry, answer.version.dataplane
    outputs, blobs = [], []
    for name, as_binary in answer.request.outputs.items():
        if name == _LABEL:
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
