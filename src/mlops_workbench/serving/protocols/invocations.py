"""MLflow's scoring server and SageMaker: `POST /invocations`, `GET /ping`, `GET /version`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_workbench import __version__
from mlops_workbench.serving.intake import JSON, Answer, RequestIntake, entry_response
from mlops_workbench.serving.protocols.requests import CSV, PARQUET, InvocationRequest


def routes(intake: RequestIntake, ready: Callable[[], Awaitable[Response]]) -> list[Route]:
    async def invocations(request: Request) -> Response:
        answer = await intake.answer(request, (JSON, CSV, *PARQUET), "invocations")
        return entry_response({"predictions": predictions(answer)}, answer.entry)

    async def ping(_request: Request) -> Response:
        return await ready()

    async def version(_request: Request) -> Response:
        return Response(__version__, media_type="text/plain")

    return [
        Route("/invocations", invocations, methods=["POST"]),
        Route("/ping", ping, methods=["GET"]),
        Route("/version", version, methods=["GET"]),
    ]


def predictions(answer: Answer) -> list[Any]:
    """Labels or numbers; the probabilities in the order of the classes if they were asked for."""
    given, request = answer.entry.prediction, answer.request
    wanted = isinstance(request, InvocationRequest) and request.probabilities
    return list(given.probabilities or []) if wanted else given.values
