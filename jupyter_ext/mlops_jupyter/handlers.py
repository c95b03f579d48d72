"""Handlers under `/mlops/api/`: each parses, calls the core in a thread, and answers JSON. No logic here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor
from http.client import responses
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from mlops_jupyter.pages import notebook_page
from mlops_jupyter.performing import is_light, opened, perform
from mlops_jupyter.request import from_query, project_folder
from mlops_workbench import __version__
from mlops_workbench.base.errors import MlopsError, UsageError
from mlops_workbench.interface.checking import checked
from mlops_workbench.interface.payloads import changes, describe
from mlops_workbench.interface.words import line
from mlops_workbench.workbench import verbs

NO_OPTIONS = {"project", "html", "token", "no_track_activity"}
LARGEST_BODY = 4_000_000
OVERVIEW = ("status", "models", "runs", "deployments", "jobs")


class MlopsHandler(APIHandler):
    """What all handlers share: the root folder, the threads, and one mapping from errors to answers."""

    auth_resource = "mlops"

    async def prepare(self) -> None:
        # The sidebar's polling must not keep an idle server alive that a hub would like to stop.
        self._track_activity = self.request.method != "GET"
        await super().prepare()

    @property
    def root(self) -> Path:
        return Path(self.settings["server_root_dir"]).expanduser()

    async def answer_with(self, work: Callable[[], Any]) -> None:
        """Runs `work` off the event loop, so that kernels and other requests go on meanwhile, and answers its JSON.

        What a request asks for is read there, too, and JSON is written there: either may be megabytes."""
        pool: Executor = self.settings["mlops_pool"]
        self.finish(await asyncio.get_running_loop().run_in_executor(pool, lambda: json.dumps(work())))

    def opened(self, folder: Path) -> Any:
        return opened(self.settings["mlops_open"], self.root, folder)

    @property
    def project(self) -> str:
        """The folder that the query names, below the root."""
        return str(self.get_query_argument("project", ""))

    def query(self) -> dict[str, list[str]]:
        """The verb's options in the query: what is neither ours, nor Jupyter's, nor against caches."""
        names = [key for key in self.request.query_arguments if key not in NO_OPTIONS and not key.isdigit()]
        return {name: self.get_query_arguments(name) for name in names}

    def body(self) -> dict[str, Any]:
        """The request's JSON object. Raises `UsageError` for anything else."""
        if len(self.request.body) > LARGEST_BODY:
            raise UsageError(f"The request's body has more than {LARGEST_BODY:,} bytes.")
        try:
            raw = json.loads(self.request.body or b"{}")
        except ValueError as problem:
            raise UsageError(f"The request's body is not JSON: {problem}.") from None
        if not isinstance(raw, dict):
            raise UsageError(f"The request's body must be a JSON object. Got {type(raw).__name__} instead.")
        return raw

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The one place where errors become answers. Tornado has logged the traceback of what is not ours."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, MlopsError):
            self.set_status(error.status)
            answer = error.to_dict()
        elif isinstance(error, HTTPError):
            answer = {
                "error": responses.get(status_code, "HTTPError"),
                "message": error.log_message or error.reason,
            }
        else:
            answer = {
                "error": "InternalError",
                "message": f"{type(error).__name__}: {error}",
                "next_step": "The server's log has the details.",
            }
        self.finish(json.dumps(answer))

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """A traceback for what nobody expected; one line for what is meant for a person."""
        if isinstance(error, MlopsError):
            self.log.info("%s %s: %s: %s", self.request.method, self.request.path, error.kind, error)
        else:
            super().log_exception(kind, error, trace)


class VersionHandler(MlopsHandler):
    """The handshake: the sidebar compares this with the version it was built with."""

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps({"version": __version__}))


class VerbsHandler(MlopsHandler):
    """The table of verbs."""

    @authenticated
    @authorized
    async def get(self) -> None:
        await self.answer_with(lambda: {"verbs": [describe(verb) for verb in verbs().values()]})


class OverviewHandler(MlopsHandler):
    """What the sidebar shows, in one answer: those of a few verbs, by name. One project is opened, and once."""

    @authenticated
    @authorized
    async def get(self) -> None:
        project = self.project
        await self.answer_with(lambda: self.read(project))

    def read(self, project: str) -> dict[str, Any]:
        with self.opened(project_folder(self.root, project)) as workbench:
            return {name: getattr(workbench, name)().to_dict() for name in OVERVIEW}


class VerbHandler(MlopsHandler):
    """One verb on one project: GET reads, POST does; `project` in the query names the folder, `html=1` adds what a
    notebook would show."""

    @authenticated
    @authorized
    async def get(self, name: str) -> None:
        await self.answer(name, lambda: from_query(name, self.query()), reading=True)

    @authenticated
    @authorized
    async def post(self, name: str) -> None:
        await self.answer(name, self.body, reading=False)

    async def answer(self, name: str, options: Callable[[], dict[str, Any]], *, reading: bool) -> None:
        project, html = self.project, self.get_query_argument("html", "") == "1"
        await self.answer_with(lambda: self.perform(name, options(), project, reading, html))

    def perform(self, name: str, raw: dict[str, Any], project: str, reading: bool, html: bool) -> Any:
        """In a thread: here what only looks at records, in the process beside the server what imports or computes."""
        if not reading and name in verbs() and verbs()[name].work is not None:
            self.set_status(202)  # accepted: a job of its own does it, and `jobs` tells how far it is
        folder, beside = project_folder(self.root, project), self.settings["mlops_beside"]
        if beside is None or is_light(name, raw) or (reading and changes(verbs()[name], raw)):
            return perform(
                self.settings["mlops_open"], name, raw, folder, self.root, reading=reading, html=html
            )
        request = {"name": name, "raw": raw, "folder": str(folder), "root": str(self.root)}
        return beside.run(request | {"reading": reading, "html": html})


class JobNotebookHandler(MlopsHandler):
    """The notebook that a job has run, as a page: it lies in a hidden folder, which Jupyter does not open."""

    @authenticated
    @authorized
    async def get(self, number: str) -> None:
        project = self.project
        await self.answer_with(lambda: {"html": self.page(int(number), project)})

    def page(self, number: int, project: str) -> str:
        with self.opened(project_folder(self.root, project)) as workbench:
            (job,) = workbench.jobs(id=number).jobs
        return notebook_page(job.notebook, f"Job {number}")


class LineHandler(MlopsHandler):
    """The line a person would type for a verb and options: what the sidebar offers to copy."""

    @authenticated
    @authorized
    async def post(self) -> None:
        await self.answer_with(self.typed)

    def typed(self) -> dict[str, str]:
        raw = self.body()
        verb = verbs().get(str(raw.get("verb")))
        if verb is None:
            raise UsageError(f"There is no verb '{raw.get('verb')}'.")
        return {"line": "%mlops " + line(verb, checked(verb, raw.get("options") or {}))}


ROUTES = [
    (r"/mlops/api/version", VersionHandler),
    (r"/mlops/api/verbs", VerbsHandler),
    (r"/mlops/api/overview", OverviewHandler),
    (r"/mlops/api/verbs/([a-z_]+)", VerbHandler),
    (r"/mlops/api/jobs/([0-9]{1,9})/notebook", JobNotebookHandler),
    (r"/mlops/api/line", LineHandler),
]
