"""MLflow's scoring server and SageMaker: `POST /invocations`, `GET /ping`, `GET /version`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_workbench import __version__
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.intake import JSON, Answer, Body, RequestIntake, entry_response
from mlops_workbench.serving.protocols import rows as forms
from mlops_workbench.serving.schema import ParsedRequest
from mlops_workbench.serving.version import ServingVersion

CSV = "text/csv"
PARQUET = ("application/x-parquet", "application/vnd.apache.parquet")
_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass(frozen=True, slots=True)
class InvocationRequest(ParsedRequest):
    probabilities: bool = False
    """whether they are to be answered instead of labels"""


def routes(intake: RequestIntake, ready: Callable[[], Awaitable[Response]]) -> list[Route]:
    async def invocations(request: Request) -> Response:
        answer = await intake.answer(request, (JSON, CSV, *PARQUET), parse)
        return entry_response({"predictions": predictions(answer)}, answer.entry)

    def parse(body: Body, version: ServingVersion) -> InvocationRequest:
        return _parse(body, version, intake.limits)

    async def ping(_request: Request) -> Response:
        return await ready()

    async def version(_request: Request) -> Response:
        return Response(__version__, media_type="text/plain")

    return [
        Route("/invocations", invocations, methods=["POST"]),
        Route("/ping", ping, methods=["GET"]),
        Route("/version", version, methods=["GET"]),
    ]


def _parse(body: Body, version: ServingVersion, limits: Limits) -> InvocationRequest:
    manifest = version.dataplane.manifest
    params: Any = {}
    if body.kind == CSV:
        header = body.parameters.get("header") != "absent"
        rows = forms.from_csv(body.data, manifest.inputs, header=header)
    elif body.kind in PARQUET:
        most = max(limits.body_bytes, 1 << 20)
        rows = forms.from_parquet(body.data, manifest.inputs, most_rows=limits.request_rows, most_bytes=most)
    else:
        payload = forms.object_of(body.data)
        params = payload.pop("params", None) or {}
        rows = _from_json(payload, manifest.columns)
    valid = forms.fitting(rows, version.schema)
    return InvocationRequest(valid, probabilities=probabilities_wanted(params, version))


def _from_json(payload: dict[str, Any], columns: list[str]) -> forms.ParsedRows:
    if len(payload) != 1 or next(iter(payload)) not in _KEYS:
        got = ", ".join(f"'{key[:40]}'" for key in list(payload)[:5]) or "nothing"
        forms.refuse(f"The body must have exactly one of {', '.join(_KEYS)}, and may have params. Got {got}.")
    key, value = next(iter(payload.items()))
    if key == "dataframe_split":
        return forms.from_split(value, columns)
    if isinstance(value, dict) and key in ("inputs", "instances"):
        return forms.from_columns(value)
    return forms.from_items(value, columns, key)


def probabilities_wanted(params: Any, version: ServingVersion) -> bool:
    """`{"probabilities": true}` is the one parameter there is."""
    if not isinstance(params, dict) or not set(params) <= {"probabilities"}:
        forms.refuse("The only parameter known is 'probabilities', true or false.", "Leave the others out.")
    wanted = params.get("probabilities", False)
    if not isinstance(wanted, bool):
        forms.refuse("The parameter 'probabilities' must be true or false.", "Leave it out for labels.")
    if wanted and not version.dataplane.gives_probabilities:
        forms.refuse("This model has no probabilities.", "Leave the parameter out.")
    return wanted


def predictions(answer: Answer[InvocationRequest]) -> list[Any]:
    """Labels or numbers; the probabilities in the order of the classes if they were asked for."""
    given = answer.entry.prediction
    return list(given.probabilities or []) if answer.request.probabilities else given.values
