"""A process that takes long or dangerous bodies apart: one that may be ended at any moment, whatever it does.

It gets a body on its standard input and gives back rows on its standard output, in parts. Frames are a length of four
bytes (big-endian) and JSON; a body is raw bytes of the length that its frame names. It holds no key, no address of a
database and no model; its memory and files are limited, and it ends with the process that started it.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from typing import Any, BinaryIO

PART_BYTES = 1 << 17
"""about so much JSON of rows at a time, so that whoever reads it is never busy for long"""
MEMORY_BYTES = 3 << 30
"""of address space"""


def limited() -> None:
    """From here on this process is expendable."""
    import resource

    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):  # a lower one is set already
            resource.setrlimit(limit, (value, value))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # the first to be ended when memory is short
    with suppress(Exception):  # Linux alone has it; elsewhere the closed input ends the process
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        if os.getppid() == 1 and os.environ.get("MLOPS_PARENT", "1") != "1":
            os._exit(0)  # it ended before this was asked for


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer bodies until the input ends."""
    import orjson

    from mlops_workbench.serving.errors import ServingError
    from mlops_workbench.serving.form import Body, RequestForm
    from mlops_workbench.serving.protocols.requests import PARSERS

    forms: dict[str, RequestForm] = {}
    while head := _read(source, 4):
        asked = orjson.loads(_read(source, struct.unpack(">I", head)[0]))
        body = Body(_read(source, asked["bytes"]), asked["kind"], asked["parameters"], asked["context"])
        key = orjson.dumps(asked["form"]).decode()
        if key not in forms:
            forms.clear()
            forms[key] = RequestForm.from_dict(asked["form"])
        form = forms[key]
        try:
            request = PARSERS[asked["way"]](body, form)
            rest = {f.name: getattr(request, f.name) for f in fields(request) if f.name != "rows"}
        except ServingError as error:
            _write(sink, {"error": [error.kind, error.message, error.next_step]})
        except MemoryError:
            sentence = ["TooLarge", "The body takes too much memory.", "Send the rows in several requests."]
            _write(sink, {"error": sentence})
        else:
            rows = request.rows
            del request, body
            _write(sink, {"request": rest, "rows": len(rows)})
            _write_rows(sink, rows, form.columns)
        sink.flush()


def _write_rows(sink: BinaryIO, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Values in the columns' order; a column that a row lacks is missing, as null is."""
    each = max(1, PART_BYTES // (16 * max(1, len(columns))))
    for start in range(0, len(rows), each):
        _write(sink, [[row.get(name) for name in columns] for row in rows[start : start + each]])


def _write(sink: BinaryIO, value: Any) -> None:
    import orjson

    data = orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    sink.write(struct.pack(">I", len(data)) + data)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _read(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise SystemExit(0)  # the other side is gone
    return data


if __name__ == "__main__":
    limited()
    serve(sys.stdin.buffer, sys.stdout.buffer)
