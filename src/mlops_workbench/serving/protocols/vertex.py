"""Vertex AI: the routes that its AIP_ variables name, `{"instances": …}` in, `{"predictions": …}` out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.intake import JSON, RequestIntake, entry_response
from mlops_workbench.serving.protocols.invocations import predictions


@dataclass(frozen=True, slots=True)
class VertexRoutes:
    """Paths; empty: not served."""

    predict: str = ""
    health: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> VertexRoutes:
        """Raises ModelRefused for what is no path."""
        for name in ("AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE"):
            value = env.get(name, "")
            if value and (not value.startswith("/") or set("{}?# ") & set(value)):
                raise ModelRefused(f"{name} must be a path such as /predict. Got '{value}' instead.")
        found = cls(env.get("AIP_PREDICT_ROUTE", ""), env.get("AIP_HEALTH_ROUTE", ""))
        if found.predict and found.predict == found.health:
            raise ModelRefused(f"AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE are both '{found.predict}'.")
        return found


def routes(
    intake: RequestIntake, ready: Callable[[], Awaitable[Response]], paths: VertexRoutes
) -> list[Route]:
    async def predict(request: Request) -> Response:
        answer = await intake.answer(request, (JSON,), "vertex")
        return entry_response({"predictions": predictions(answer)}, answer.entry)

    async def health(_request: Request) -> Response:
        return await ready()

    found = []
    if paths.predict:
        found.append(Route(paths.predict, predict, methods=["POST"]))
    if paths.health:
        found.append(Route(paths.health, health, methods=["GET"]))
    return found
