"""The wiring: which part answers which address, and what the handlers are given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Callable, Int

from mlops_jupyter.beside import VerbProcess
from mlops_jupyter.handlers import ROUTES
from mlops_jupyter.performing import import_ahead, workbench
from mlops_workbench import __version__


class MlopsExtension(ExtensionApp):
    """`jupyter server extension enable mlops_jupyter`."""

    name = "mlops_jupyter"
    description = "The MLOps Workbench's verbs over HTTP, for the sidebar."
    app_version = __version__
    extension_url = "/lab"

    open_workbench = Callable(
        default_value=None,
        allow_none=True,
        help="Called with a folder (Path); returns what has the verbs as methods. Default: Workbench.",
    ).tag(config=True)
    threads = Int(8, help="How many verbs may run at the same time; more wait their turn.").tag(config=True)

    process = Bool(
        True,
        help="Verbs that write or compute are carried out in a process beside the server's, so that they never hold up "
        "kernels. Off: in its threads, as they are where open_workbench is set.",
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """A pool of our own, so that a verb that takes long never holds up Jupyter's own file work."""
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="mlops")
        self.pool.submit(import_ahead)
        self.beside = VerbProcess(self.threads) if self.process and self.open_workbench is None else None
        self.settings.update(
            mlops_open=self.open_workbench or workbench, mlops_pool=self.pool, mlops_beside=self.beside
        )

    def initialize_handlers(self) -> None:
        self.handlers.extend(ROUTES)

    async def stop_extension(self) -> None:
        # Verbs that run are not waited for: what must survive the server runs as a job in its own process.
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.beside is not None:
            self.beside.close()
