"""What a stranger sends: the runtime goes on answering others, whatever it is, and however much or slowly it comes."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet
import pytest
from model_folders import classifier, flights, rows_of, save
from serving_kit import ask, free_port, process, wait_live, wait_ready

BODIES = Path(__file__).parent / "bodies"
PARQUET = {"Content-Type": "application/x-parquet"}
ROW = rows_of(flights(1))[0]


@dataclass(frozen=True)
class Runtime:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def healthy(self, seconds: float = 2) -> None:
        """Others are answered, and soon."""
        begun = time.monotonic()
        assert ask(f"{self.url}/health/live").status == 200
        assert ask(f"{self.url}/health/ready").status == 200
        assert ask(f"{self.url}/predict", {"rows": [ROW]}).status == 200
        assert time.monotonic() - begun < seconds

    def sent(self, *parts: bytes, wait: float = 5, pause: float = 0) -> bytes:
        """What comes back for raw bytes; empty when the connection is cut without an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            with suppress(OSError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            with suppress(OSError):
                return b"".join(iter(lambda: connection.recv(65536), b""))
            return b""

    @property
    def parsing(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save(folder, classifier())
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    port = free_port()
    with process(folder, PORT=str(port)) as running:
        wait_ready(f"http://127.0.0.1:{port}")
        yield Runtime(port, running.pid)
        assert running.poll() is None


def parquet(rows: int, **options: Any) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pandas(flights(rows)), sink, **options)
    return sink.getvalue()


@pytest.mark.parametrize("path", sorted(BODIES.iterdir()), ids=lambda path: path.stem)
def test_a_malformed_parquet_file_ends_nothing(runtime: Runtime, path: Path) -> None:
    for _ in range(2):
        answer = ask(f"{runtime.url}/invocations", path.read_bytes(), headers=PARQUET)
        assert (answer.status, answer.json["error"]) == (422, "InvalidData")
        runtime.healthy()


MUTATIONS = int(os.environ.get("MLOPS_TEST_MUTATIONS", "400"))


def test_mutated_parquet_files_end_nothing(runtime: Runtime) -> None:
    whole = [parquet(5), parquet(50, compression="gzip"), parquet(20, use_dictionary=False, version="2.6")]
    rng = random.Random(MUTATIONS)

    def mutated() -> bytes:
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 8)):
            at = (
                rng.randrange(len(data))
                if rng.random() < 0.4
                else rng.randrange(len(data) * 2 // 3, len(data))
            )
            data[at] = rng.randrange(256)
        return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)

    def one(body: bytes) -> int:
        status = ask(f"{runtime.url}/invocations", body, headers=PARQUET).status
        assert ask(f"{runtime.url}/health/live").status == 200
        return status

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        seen = set(pool.map(one, [mutated() for _ in range(MUTATIONS)]))
    assert seen <= {200, 413, 422, 503}
    assert 422 in seen
    runtime.healthy()


def test_a_parsing_process_that_was_ended_while_it_waited_is_replaced(runtime: Runtime) -> None:
    """As a machine does that is short of memory: the next body is not to blame."""
    for _ in range(2):
        answer = ask(f"{runtime.url}/invocations", parquet(5), headers=PARQUET)
        assert answer.status == 200, answer.json
        for child in runtime.parsing:
            child.kill()
        time.sleep(0.3)
    runtime.healthy()


def test_what_a_small_file_expands_to_is_bounded(runtime: Runtime) -> None:
    sink = io.BytesIO()
    bomb = pa.table({"distance": pa.array([1.0] * 40_000_000)})
    pyarrow.parquet.write_table(bomb, sink, compression="zstd", row_group_size=40_000_000)
    assert sink.tell() < 500_000
    answer = ask(f"{runtime.url}/invocations", sink.getvalue(), headers=PARQUET)
    assert (answer.status, answer.json["error"]) == (413, "TooLarge")
    runtime.healthy()


def test_a_name_repeated_among_many_costs_what_its_bytes_cost(runtime: Runtime) -> None:
    names = [f"c{i}" for i in range(300_000)]
    body = json.dumps({"dataframe_split": {"columns": [*names, "c0"], "data": []}}).encode()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        large = [pool.submit(ask, f"{runtime.url}/invocations", body) for _ in range(6)]
        runtime.healthy()
        answers = [one.result() for one in large]
    assert {(a.status, a.json["message"]) for a in answers} == {(422, "The column 'c0' is there twice.")}
    runtime.healthy()


def test_what_is_too_late_is_ended(folder: Path) -> None:
    port = free_port()
    with process(folder, PORT=str(port), MLOPS_TIMEOUT_SECONDS="0.4") as running:
        runtime = Runtime(port, running.pid)
        wait_ready(runtime.url)
        rows = [ROW] * 9_999
        body = json.dumps({"rows": rows} | {"more": ["x"] * 4_000_000}).encode()
        answer = ask(f"{runtime.url}/predict", body)
        assert answer.status in (408, 503)
        for child in runtime.parsing:  # none goes on with it
            child.wait(5)
        runtime.healthy()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0


def test_the_end_comes_within_the_grace_whatever_hangs(folder: Path) -> None:
    """A thread that waits for a disk that does not answer cannot be ended, and would be waited for for minutes."""
    code = (
        "import threading; from mlops_workbench.serving.predlog import PredictionLog; "
        "PredictionLog.writable = lambda self: threading.Event().wait(600); "
        "from mlops_workbench.serving.__main__ import main; raise SystemExit(main())"
    )
    port = free_port()
    log = f"sqlite:///{folder}/hanging.db"
    with process(folder, code=code, PORT=str(port), MLOPS_LOG_URL=log, MLOPS_GRACE_SECONDS="4") as running:
        url = f"http://127.0.0.1:{port}"
        wait_live(url)
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as hanging:
            hanging.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) is not None  # without the watchdog it is 300 s


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ENDLESS = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 6400) for i in range(100))
CUT = {
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", *[b"X-%d: y\r\n" % i for i in range(3000)]),
    "large headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", *[ENDLESS] * 20),
    "one header without an end": (b"GET / HTTP/1.1\r\nX: ", *[b"a" * 65536] * 64),
    "a path without an end": (b"GET /", *[b"a" * 65536] * 64),
    "many headers that are whole": (
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + b"\r\n",
    ),
    "chunk extensions": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1;" + b"a" * 65536] * 64),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", *[ENDLESS] * 20),
}


@pytest.mark.parametrize("parts", CUT.values(), ids=CUT)
def test_a_connection_that_sends_no_request_is_cut(runtime: Runtime, parts: tuple[bytes, ...]) -> None:
    before = psutil.Process(runtime.pid).memory_info().rss
    for _ in range(5):
        answer = runtime.sent(*parts)
        assert answer == b"" or answer.split()[1] in (b"400", b"431")
    assert psutil.Process(runtime.pid).memory_info().rss - before < 30 << 20
    runtime.healthy()


def test_pipelined_requests_and_upgrades_are_answered_or_cut(runtime: Runtime) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert runtime.sent(one * 50 + last).count(b'"live"') == 51
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert b"101" not in runtime.sent(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + upgrade, wait=1)[:20]
    runtime.healthy()


def test_a_slow_sender_and_an_idle_one_are_cut(folder: Path) -> None:
    code = (
        "from mlops_workbench.serving import connections as c; c.HEAD_SECONDS = 0.3; c.IDLE_SECONDS = 0.5; "
        "c.MESSAGE_SECONDS = 0.3; c.CONNECTIONS = 20; "
        "from mlops_workbench.serving.__main__ import main; raise SystemExit(main())"
    )
    port = free_port()
    with process(folder, code=code, PORT=str(port)) as running:
        runtime = Runtime(port, running.pid)
        wait_ready(runtime.url)
        assert b" 408 " in runtime.sent(b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20, pause=0.1)
        assert runtime.sent(wait=3) == b""  # nothing at all
        late = runtime.sent(HEAD + b"Content-Length: 90\r\n\r\n", *[b" "] * 30, pause=0.1)
        assert late == b"" or b" 408 " in late
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert b" 503 " in runtime.sent(wait=3)
        for connection in held:
            connection.close()
        time.sleep(0.2)
        runtime.healthy()
