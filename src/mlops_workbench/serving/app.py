"""The web face of a DataPlane: routes of a few lines, and one place where errors become answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.routing import Route

from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.direct import Direct
from mlops_workbench.serving.envelope import Envelope, error_response
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.follower import Follow, Follower
from mlops_workbench.serving.intake import JSON, Answer, RequestIntake, entry_response, json_response
from mlops_workbench.serving.keys import Guard, Keys
from mlops_workbench.serving.metrics import CONTENT_TYPE, Metrics
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.protocols import invocations, oip, vertex
from mlops_workbench.serving.protocols.vertex import VertexRoutes
from mlops_workbench.serving.schema import ERROR_SCHEMA
from mlops_workbench.serving.version import ServingVersion

_DOCS = Path(__file__).with_name("docs.html")
_PROBE_SECONDS = 1.0
_CLOSING_SECONDS = 2.0
"""for a model call that hangs when all else has ended"""
_OPEN = frozenset(
    {"/health/live", "/health/ready", "/metrics", "/ping", "/v2/health/live", "/v2/health/ready"}
)
"""asked by orchestrators and Prometheus, without a key"""


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How requests are taken and answered."""

    role: str = "champion"
    limits: Limits = field(default_factory=Limits)
    keys: Keys | None = None
    """None: everybody may ask"""
    vertex_routes: VertexRoutes = field(default_factory=VertexRoutes)
    answer_unlogged: bool = False
    """an answer leaves even when the log does not take it, and is counted"""


def create_app(
    dataplane: DataPlane,
    log: PredictionLog | None = None,
    options: AppOptions | None = None,
    *,
    follow: Follow | None = None,
) -> FastAPI:
    """An application that serves one model. It owns `log` from here on, and closes it when it ends.

    The model is warmed when the application starts, unless it is warm already. With `follow` other versions take the
    model's place while it runs.
    """
    return _Service(dataplane, log, options or AppOptions(), follow).app


class _Service:
    def __init__(
        self,
        dataplane: DataPlane,
        log: PredictionLog | None,
        options: AppOptions,
        follow: Follow | None,
    ) -> None:
        self.options = options
        self._classes: dict[str, tuple[Any, ...]] = {}
        self.metrics = Metrics(model=dataplane.name, version=dataplane.version)
        self.intake = RequestIntake(self._made(dataplane, log), options.limits, role=options.role)
        self.follower: Follower | None = None
        if follow is not None:
            self.follower = Follower(
                follow,
                made=self._made,
                swap=self._swap,
                pause=self.intake.pause,
                drained=lambda: self.intake.current.drained(),
                failing=lambda failing: self.intake.current.metrics.failing(failing),
            )
        self._leaving: set[asyncio.Task[None]] = set()
        self._paths: set[str] = set()
        self._probed = (0.0, False)
        self._probing: asyncio.Task[bool] | None = None
        self.app = self._application()

    def _made(self, dataplane: DataPlane, log: PredictionLog | None) -> ServingVersion:
        """A version that is ready to be started."""
        self._classes[dataplane.version] = dataplane.manifest.classes
        metrics = self.metrics.successor(dataplane.version)
        if log is not None and log.recorder is not None:
            metrics.failed = partial(log.recorder.failed, self.options.role)
        return ServingVersion(
            dataplane,
            log,
            limits=self.options.limits,
            metrics=metrics,
            answer_unlogged=self.options.answer_unlogged,
        )

    def _swap(self, version: ServingVersion) -> None:
        """What comes from now on is given to `version`; what was given to the version before is answered by that."""
        before = self.intake.current
        before.metrics.leave()
        version.start()
        self.intake.switch(version)
        self._paths |= oip.paths_of(version.dataplane)
        self._probed = (0.0, False)
        self.app.openapi_schema = None
        leaving = asyncio.create_task(_left(before))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _application(self) -> FastAPI:
        app = FastAPI(
            title=self.intake.current.title,
            version=self.intake.current.version,
            docs_url=None,  # FastAPI's own page loads its scripts from elsewhere
            redoc_url=None,
            redirect_slashes=False,  # a redirected POST arrives as a GET; a 404 is plainer
            lifespan=self._lifespan,
        )
        # First: Vertex may be configured with a path that another contract has, too.
        app.router.routes.extend(vertex.routes(self.intake, self.ready, self.options.vertex_routes))
        app.post("/predict", summary="Predict rows", openapi_extra=_operation())(self.predict)
        app.get("/", summary="The model: name, version, columns, classes")(self.metadata)
        app.get("/health/live", summary="Is the process alive?")(self.live)
        app.get("/health/ready", summary="Can it answer and log?")(self.ready)
        app.get("/metrics", summary="Metrics for Prometheus", response_class=Response)(self.exposition)
        app.get("/docs", include_in_schema=False)(self.docs)
        app.router.routes.extend(oip.routes(self.intake, self.ready))
        app.router.routes.extend(invocations.routes(self.intake, self.ready))
        app.add_exception_handler(ServingError, _on_serving_error)
        app.add_exception_handler(HTTPException, _on_http_error)
        if self.options.vertex_routes.predict != "/predict":
            app.add_middleware(Direct, path="/predict", answer=self.predict)
        if self.options.keys is not None:
            health = frozenset({self.options.vertex_routes.health} - {""})
            app.add_middleware(Guard, keys=self.options.keys, open_paths=_OPEN | health)
        self._paths |= {route.path for route in app.routes if isinstance(route, Route)}
        self._paths |= oip.paths_of(self.intake.current.dataplane)
        app.add_middleware(Envelope, metrics=lambda: self.intake.current.metrics, paths=self._paths)
        app.openapi = self._openapi(app)  # type: ignore[method-assign]
        return app

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        if self.intake.current.dataplane.warmup is None:
            await asyncio.to_thread(self.intake.current.dataplane.warm)
        self.intake.current.start()
        following = asyncio.create_task(self.follower.run()) if self.follower else None
        try:
            yield
        finally:
            if following is not None and self.follower is not None:
                following.cancel()
                await asyncio.wait([following])
                self.follower.close()
            for leaving in [*self._leaving]:
                await asyncio.wait([leaving], timeout=_CLOSING_SECONDS)
            self.intake.close()
            await asyncio.to_thread(self.intake.current.close, _CLOSING_SECONDS)

    async def predict(self, request: Request) -> Response:
        answer = await self.intake.answer(request, (JSON,), "predict")
        return entry_response(self._answer(answer), answer.entry)

    async def metadata(self) -> Response:
        plane = self.intake.current.dataplane
        manifest, warmup = plane.manifest, plane.warmup
        return json_response(
            {
                "name": plane.name,
                "version": plane.version,
                "role": self.options.role,
                "task": manifest.task,
                "target": manifest.target,
                "inputs": manifest.to_dict()["inputs"],
                "classes": manifest.classes or None,
                "digest": plane.digest,
                "python": manifest.python,
                "sample": manifest.sample,
                "sample_rows_that_differ": None if warmup is None else warmup.differing,
                "path": plane.path,
                "fast_only": plane.fast_only,
                "logged": self.intake.current.log is not None,
                "follow": self.follower.to_dict() if self.follower else None,
            }
        )

    async def live(self) -> Response:
        return json_response({"status": "live"})

    async def ready(self) -> Response:
        model = self.intake.current
        if not model.batcher.running:
            raise ServingError("NotReady", "The service is starting or shutting down.", "Ask again soon.")
        if not self.options.answer_unlogged and not await self._log_writable(model.log):
            raise ServingError("NotReady", "The prediction log cannot be written.", "Look at its database.")
        plane = model.dataplane
        return json_response({"status": "ready", "version": plane.version, "digest": plane.digest})

    async def exposition(self) -> Response:
        return Response(self.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def docs(self) -> Response:
        policy = (
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
        )
        page = await asyncio.to_thread(_DOCS.read_bytes)
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    def _answer(self, answer: Answer) -> dict[str, Any]:
        """The entry may be of a version before: its request was sent again."""
        entry = answer.entry
        prediction = entry.prediction
        probabilities = prediction.probabilities
        return {
            "model": answer.version.dataplane.name,
            "version": entry.version,
            "request_id": entry.request_id,
            "predictions": prediction.values,
            "probabilities": probabilities,
            "classes": None if probabilities is None else self._classes.get(entry.version),
        }

    async def _log_writable(self, log: PredictionLog | None) -> bool:
        """Asked at most once a second, and once for all who ask meanwhile: the probe takes the database's write lock,
        and a thread while it waits for that."""
        if log is None:
            return True
        at, writable = self._probed
        if time.monotonic() - at <= _PROBE_SECONDS and writable and not log.failing:
            return True
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(log))
        return await asyncio.shield(self._probing)

    async def _probe(self, log: PredictionLog) -> bool:
        writable = await asyncio.to_thread(log.writable)
        self._probed = (time.monotonic(), writable)
        return writable

    def _openapi(self, app: FastAPI) -> Any:
        def made() -> dict[str, Any]:
            if app.openapi_schema is None:
                model = self.intake.current
                schema = get_openapi(title=model.title, version=model.version, routes=app.routes)
                request = model.form.schema.request_schema(model.dataplane.manifest.sample)
                parts = schema.setdefault("components", {}).setdefault("schemas", {})
                parts |= request.pop("$defs", {})
                parts["PredictRequest"] = request
                parts["PredictResponse"] = model.form.schema.response_schema(model.dataplane.manifest)
                parts["Error"] = ERROR_SCHEMA
                app.openapi_schema = schema
            return app.openapi_schema

        return made


async def _left(version: ServingVersion) -> None:
    """The end of a version that another one has taken the place of."""
    await version.drained()
    await asyncio.to_thread(version.close)


def _operation() -> dict[str, Any]:
    """OpenAPI of POST /predict: the body is parsed by `PredictSchema`, not by FastAPI."""

    def content(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    refusals = {
        "400": "not JSON",
        "401": "no valid API key",
        "408": "the body did not arrive in time",
        "409": "the request id was used before for other rows",
        "413": "too large",
        "415": "not JSON by its header",
        "422": "rows that the model does not take",
        "500": "the model failed",
        "503": "overloaded, too late, or not loggable: send it again",
    }
    return {
        "requestBody": {"required": True, "content": content("PredictRequest")},
        "responses": {"200": {"description": "the answers", "content": content("PredictResponse")}}
        | {code: {"description": why, "content": content("Error")} for code, why in refusals.items()},
    }


async def _on_serving_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return error_response(error, request.url.path)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        return error_response(
            ServingError(
                "MethodNotAllowed",
                f"{request.method} {path} does not exist; the path takes another method.",
                "The operations are listed at /docs.",
                headers=error.headers,
            ),
            path,
        )
    return error_response(
        ServingError("NotFound", f"There is no '{path}'.", "The operations are listed at /docs."), path
    )
