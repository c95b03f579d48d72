"""Long and dangerous bodies are taken apart in processes of their own: what does not end in time is ended, what crashes
is started again, and the server, its health and its small requests never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.form import Body, RequestForm
from mlops_workbench.serving.protocols.requests import REQUESTS
from mlops_workbench.serving.schema import ParsedRequest

logger = logging.getLogger("mlops_workbench.serving")

PROCESSES = 2
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
"""of the environment: no key and no address goes along"""
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ParserProcesses:
    """At most `PROCESSES` of them, started when they are first needed."""

    def __init__(self) -> None:
        self._free: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._turn = asyncio.Semaphore(PROCESSES)

    async def parse(self, way: str, body: Body, form: RequestForm) -> ParsedRequest:
        """Raises ServingError as the parser itself does. When the caller is cancelled, the work is ended."""
        async with self._turn:
            process = self._waiting() or await self._started()
            try:
                answer = await _asked(process, way, body, form)
            except (OSError, EOFError):  # also asyncio.IncompleteReadError
                self._end(process)
                logger.warning("parsing process ended", extra={"facts": {"kind": body.kind}})
                raise ServingError(
                    "InvalidData", "The body cannot be read.", "Look whether it is complete, or send JSON."
                ) from None
            except ServingError:
                self._free.append(process)
                raise
            except BaseException:  # cancelled: its time is over, or the caller went away
                self._end(process)
                raise
            self._free.append(process)
            return answer

    def _waiting(self) -> asyncio.subprocess.Process | None:
        """One that has nothing to do; not one that was ended meanwhile, as a machine short of memory does."""
        while self._free:
            process = self._free.pop()
            if process.returncode is None:
                return process
            self._all.discard(process)
        return None

    async def _started(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "mlops_workbench.serving.parser_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment | dict.fromkeys(_THREADS, "1") | {"MLOPS_PARENT": str(os.getpid())},
            cwd="/",
            limit=1 << 20,
            start_new_session=True,
        )
        self._all.add(process)
        return process

    def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        with suppress(ProcessLookupError):
            process.kill()

    def close(self) -> None:
        """End them all, whatever they do."""
        for process in [*self._all]:
            self._end(process)
        self._free.clear()


async def _asked(
    process: asyncio.subprocess.Process, way: str, body: Body, form: RequestForm
) -> ParsedRequest:
    assert process.stdin is not None
    assert process.stdout is not None
    head = orjson.dumps(
        {
            "way": way,
            "bytes": len(body.data),
            "kind": body.kind,
            "parameters": dict(body.parameters),
            "context": dict(body.context),
            "form": form.to_dict(),
        }
    )
    process.stdin.write(struct.pack(">I", len(head)) + head)
    process.stdin.write(body.data)
    await process.stdin.drain()
    answer = await _frame(process.stdout)
    if "error" in answer:
        raise ServingError(*answer["error"])
    rows: list[dict[str, Any]] = []
    times = [i for i, field in enumerate(form.inputs) if field.kind == "datetime"]
    while len(rows) < answer["rows"]:
        for values in await _frame(process.stdout):
            for i in times:
                values[i] = None if values[i] is None else datetime.fromisoformat(values[i])
            rows.append(dict(zip(form.columns, values, strict=True)))
    return REQUESTS[way](rows, **answer["request"])


async def _frame(stream: asyncio.StreamReader) -> Any:
    size = struct.unpack(">I", await stream.readexactly(4))[0]
    return orjson.loads(await stream.readexactly(size))
