"""What a caller may not do: ask without a key, ask too much or too long, or make the service lose or leak anything."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from serving_kit import ask, free_port, process, served, wait_ready
from sqlalchemy import event

from mlops_workbench.manifest import Field, Manifest, file_sha256
from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.keys import Keys
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.privacy import Privacy
from mlops_workbench.serving.settings import Settings

GOOD = {"dep delay": 50.0, "seats": 100, "carrier": "Sekret", "night": True, "sched": "2026-01-01"}
FIRST, SECOND, THIRD = "first-key-of-many", "second-key-of-many", "third-key-of-many"


def plane(folder: Path) -> DataPlane:
    return DataPlane.load(folder, name="flights", version="3")


def figure(url: str, name: str) -> float:
    for line in ask(f"{url}/metrics").body.decode().splitlines():
        if line.startswith(name + "{"):
            return float(line.rpartition(" ")[2])
    raise AssertionError(name)


# keys


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# of the team\n{SECOND}\n\n")
    return path


@pytest.fixture
def guarded(classifier_folder: Path, key_file: Path) -> Iterator[str]:
    with served(
        create_app(plane(classifier_folder), options=AppOptions(keys=Keys(frozenset({FIRST}), key_file)))
    ) as url:
        yield url


def asks(url: str, **headers: str) -> int:
    return ask(
        f"{url}/predict", {"rows": [GOOD]}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    ).status


def test_a_key_is_wanted_everywhere_but_for_health_and_metrics(guarded: str) -> None:
    for path in ("/", "/openapi.json", "/docs", "/version", "/v2", "/v2/models/flights", "/nothing"):
        answer = ask(f"{guarded}{path}")
        assert answer.status == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert set(ask(f"{guarded}/v2").json) == {"error"}
    for path in ("/predict", "/invocations", "/v2/models/flights/infer"):
        assert ask(f"{guarded}{path}", {}).status == 401
    for path in ("/health/live", "/health/ready", "/metrics", "/ping", "/v2/health/live", "/v2/health/ready"):
        assert ask(f"{guarded}{path}").status == 200
    assert asks(guarded, Authorization=f"Bearer {FIRST}") == 200
    assert asks(guarded, X_API_Key=SECOND) == 200
    for wrong in (FIRST[:-1], FIRST + "x", "", "\xe4"):
        assert asks(guarded, X_API_Key=wrong) == 401
    assert asks(guarded, Authorization=FIRST) == 401
    assert asks(guarded, Authorization=f"Basic {FIRST}") == 401


def test_keys_of_the_file_are_exchanged_while_it_serves(guarded: str, key_file: Path) -> None:
    def replaced(text: str) -> None:
        fresh = key_file.with_name("fresh")
        fresh.write_text(text)
        fresh.replace(key_file)

    replaced(f"{SECOND}\n{THIRD}\n")
    assert (asks(guarded, X_API_Key=SECOND), asks(guarded, X_API_Key=THIRD)) == (200, 200)
    replaced(f"{THIRD}\n")
    assert (asks(guarded, X_API_Key=SECOND), asks(guarded, X_API_Key=THIRD)) == (401, 200)
    replaced("short\n")  # refused as a whole: what was there before still counts
    assert (asks(guarded, X_API_Key="short"), asks(guarded, X_API_Key=THIRD)) == (401, 200)
    key_file.unlink()
    assert asks(guarded, X_API_Key=THIRD) == 200
    replaced("")
    assert (asks(guarded, X_API_Key=THIRD), asks(guarded, X_API_Key=FIRST)) == (401, 200)


def test_keys_that_protect_nothing_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# none\n")
    assert Keys.from_env({}) is None
    with pytest.raises(ModelRefused, match="there is none"):
        Keys.from_env({"MLOPS_API_KEYS_FILE": str(empty)})
    with pytest.raises(ModelRefused, match="No such file"):
        Keys.from_env({"MLOPS_API_KEYS_FILE": str(tmp_path / "none")})
    with pytest.raises(ModelRefused, match="fewer than 16") as error:
        Keys.from_env({"MLOPS_API_KEYS": f"{FIRST},sesame"})
    assert "sesame" not in str(error.value)
    both = Keys.from_env({"MLOPS_API_KEYS": f"{FIRST}, {SECOND}"})
    assert both is not None
    assert both.admit(FIRST)
    assert both.admit(SECOND)


# limits


class _Waits:
    """A model that answers when it is told to."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.asked, self.go = inner, threading.Event(), threading.Event()

    def predict(self, frame: Any) -> Any:
        self.asked.set()
        assert self.go.wait(30)
        return self.inner.predict(frame)

    def predict_proba(self, frame: Any) -> Any:
        return self.inner.predict_proba(frame)


@pytest.fixture
def waiting(classifier_folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, _Waits]]:
    there = plane(classifier_folder)
    there.warm()
    model = _Waits(there.model)
    there.original._head, there.original._last = [], model
    limits = Limits(**getattr(request, "param", {"request_seconds": 1}))
    with served(create_app(there, options=AppOptions(limits=limits))) as url:
        yield url, model
        model.go.set()


def test_a_request_that_takes_too_long_is_told_so(waiting: tuple[str, _Waits]) -> None:
    url, model = waiting
    answer = ask(f"{url}/predict", {"rows": [GOOD]})
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (503, "TimedOut", "1")
    model.go.set()
    assert ask(f"{url}/predict", {"rows": [GOOD]}).status == 200


def test_a_body_that_drips_is_cut_off(waiting: tuple[str, _Waits]) -> None:
    url, _ = waiting
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as caller:
        caller.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        said = b""
        while part := caller.recv(4096):  # until the service closes the connection
            said += part
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"RequestTimeout"' in said


@pytest.mark.parametrize("waiting", [{"waiting_rows": 3, "held_bytes": 1000}], indirect=True)
def test_what_waits_is_bounded_in_rows_and_bytes(waiting: tuple[str, _Waits]) -> None:
    url, model = waiting
    answers: list[int] = []

    def call(rows: int) -> None:
        answers.append(ask(f"{url}/predict", {"rows": [GOOD] * rows}).status)

    callers = [threading.Thread(target=call, args=(1,))]
    callers[0].start()
    assert model.asked.wait(30)  # it is with the model; what comes now waits
    callers.append(threading.Thread(target=call, args=(3,)))
    callers[1].start()
    while figure(url, "mlops_queue_rows") < 3:
        pass
    assert figure(url, "mlops_log_lag_seconds") > 0
    full = ask(
        f"{url}/v2/models/flights/infer",
        {
            "inputs": [
                {"name": "seats", "shape": [1], "datatype": "INT64", "data": [1]},
                {"name": "night", "shape": [1], "datatype": "BOOL", "data": [True]},
            ]
        },
    )
    assert (full.status, full.headers["retry-after"]) == (503, "1")
    heavy = ask(f"{url}/predict", b'{"rows": []' + b" " * 800 + b"}")
    assert (heavy.status, heavy.json["error"], heavy.headers["retry-after"]) == (503, "Overloaded", "1")
    model.go.set()
    for caller in callers:
        caller.join()
    assert figure(url, "mlops_log_lag_seconds") == 0


def test_limits_come_from_the_environment() -> None:
    env = {"MLOPS_MODEL_DIR": "m", "MLOPS_MODEL_NAME": "n", "MLOPS_MODEL_VERSION": "1"}
    said = env | {"MLOPS_MAX_BODY_MB": "0.5", "MLOPS_MAX_ROWS": "7", "MLOPS_TIMEOUT_SECONDS": "2.5"}
    limits = Settings.from_env(said).limits
    assert (limits.body_bytes, limits.request_rows, limits.request_seconds) == (1 << 19, 7, 2.5)
    assert Settings.from_env(env).limits == Limits()
    for name, value in (
        ("MLOPS_MAX_ROWS", "0"),
        ("MLOPS_TIMEOUT_SECONDS", "nan"),
        ("MLOPS_LOG_FAILURE", "x"),
    ):
        with pytest.raises(ModelRefused, match=f"{name} must be .* Got '{value}' instead"):
            Settings.from_env(env | {name: value})


@pytest.mark.slow
def test_a_hundred_megabytes_get_an_answer(classifier_folder: Path) -> None:
    port = free_port()
    with process(classifier_folder, PORT=str(port)) as server:
        wait_ready(f"http://127.0.0.1:{port}")
        for headers in ({"Content-Length": str(100 << 20)}, {"Transfer-Encoding": "chunked"}):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as caller:
                chunks = (b" " * (1 << 20) for _ in range(100))
                encode = "Transfer-Encoding" in headers
                kind = {"Content-Type": "application/json"}
                caller.request("POST", "/predict", chunks, headers | kind, encode_chunked=encode)
                answer = caller.getresponse()
                assert (answer.status, json.loads(answer.read())["error"]) == (413, "TooLarge")
        memory = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", memory)[1])  # type: ignore[index]
        assert peak < 600_000


# the log


@pytest.mark.parametrize("policy", ["refuse", "answer"])
def test_a_full_disk(classifier_folder: Path, tmp_path: Path, policy: str) -> None:
    there = plane(classifier_folder)
    log = PredictionLog(f"sqlite:///{tmp_path}/i.db", there.manifest, "flights")
    pages, seen = [1 << 30], []

    @event.listens_for(log.engine, "checkout")
    def _limited(connection: Any, *_: Any) -> None:
        seen.append(connection)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    def leave(count: int) -> None:
        pages[0] = count
        for connection in seen:
            with suppress(sqlite3.ProgrammingError):  # one that was given up after it failed
                connection.execute(f"PRAGMA max_page_count = {count}")

    with served(create_app(there, log, AppOptions(answer_unlogged=policy == "answer"))) as url:
        assert ask(f"{url}/predict", {"rows": [GOOD]}).status == 200
        leave(1)  # SQLite never goes below what it has, and then it is full
        rows = [GOOD | {"carrier": "x" * 1000}] * 100
        answer = ask(f"{url}/predict", {"rows": rows, "request_id": "lost"})
        if policy == "refuse":
            assert (answer.status, answer.json["error"]) == (503, "LogUnavailable")
            assert answer.headers["retry-after"] == "1"
            assert figure(url, "mlops_unlogged_predictions_total") == 0
        else:
            assert answer.status == 200
            assert figure(url, "mlops_unlogged_predictions_total") == 100
            assert ask(f"{url}/health/ready").status == 200
        leave(1 << 30)
        assert ask(f"{url}/predict", {"rows": [GOOD], "request_id": "after"}).status == 200
        assert figure(url, "mlops_log_commit_seconds_count") == 3
    with closing(sqlite3.connect(tmp_path / "i.db")) as reader:
        logged = [
            r[0] for r in reader.execute("SELECT request_id FROM predictions_flights WHERE row_index = 0")
        ]
    assert "lost" not in logged
    assert "after" in logged


def test_columns_left_out_or_hashed(classifier_folder: Path, tmp_path: Path) -> None:
    there = plane(classifier_folder)
    privacy = Privacy(frozenset({"dep delay", "of another model"}), frozenset({"carrier"}), b"secret")
    log = PredictionLog(f"sqlite:///{tmp_path}/i.db", there.manifest, "flights", privacy)
    with served(create_app(there, log)) as url:
        body = {"rows": [GOOD, GOOD | {"carrier": None}, GOOD], "request_id": "a"}
        first = ask(f"{url}/predict", body)
        assert ask(f"{url}/predict", body).json == first.json  # sent again: recognised by what is kept
        other = ask(f"{url}/predict", {"rows": [GOOD | {"carrier": "AA"}] * 3, "request_id": "a"})
        assert other.status == 409
    with closing(sqlite3.connect(tmp_path / "i.db")) as reader:
        rows = reader.execute('SELECT "x_dep delay", x_carrier, x_seats FROM predictions_flights').fetchall()
    assert [r[0] for r in rows] == [None] * 3
    assert rows[0][1] == rows[2][1]
    assert re.fullmatch("[0-9a-f]{32}", rows[0][1])
    assert rows[1][1] is None
    assert rows[0][2] == 100
    assert b"Sekret" not in (tmp_path / "i.db").read_bytes()
    with pytest.raises(ModelRefused, match="'seats' is long and cannot be logged as a hash"):
        Privacy(hashed=frozenset({"seats"})).fits(there.manifest)


# ending


class _Hangs:
    def predict(self, frame: Any) -> Any:
        import time

        if frame["x"].iloc[0] == 13:
            time.sleep(600)
        return frame["x"].to_numpy()


@pytest.mark.slow
def test_a_model_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(_Hangs()))
    Manifest(
        name="hangs",
        task="regression",
        inputs=(Field("x", "double"),),
        model_file="model.pkl",
        serialization="cloudpickle",
        trusted=(),
        sha256=file_sha256(tmp_path / "model.pkl"),
        python="3.11",
        requirements=(),
    ).dump(tmp_path)
    port = free_port()
    with process(tmp_path, PORT=str(port), MLOPS_GRACE_SECONDS="4") as server:
        wait_ready(f"http://127.0.0.1:{port}")
        caller = threading.Thread(target=_ignored, args=(f"http://127.0.0.1:{port}/predict", 13))
        caller.start()
        while figure(f"http://127.0.0.1:{port}", "mlops_log_lag_seconds") == 0:
            pass
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        caller.join()


def _ignored(url: str, value: float) -> None:
    try:
        ask(url, {"rows": [{"x": value}]})
    except (OSError, http.client.HTTPException):
        return


# hostile


HOSTILE: list[tuple[str, bytes]] = [
    ("nesting", b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("objects", b'{"rows":' * 50_000),
    ("nan", b'{"rows": [{"seats": NaN, "night": true}]}'),
    ("infinity", b'{"rows": [{"seats": -Infinity, "night": true}]}'),
    ("digits", b'{"rows": [{"seats": ' + b"9" * 100_000 + b', "night": true}]}'),
    ("exponent", b'{"rows": [{"seats": 1e999999, "night": true}]}'),
    ("long", b'{"rows": [{"seats": 9223372036854775808, "night": true}]}'),
    ("utf-8", b'{"rows": [{"seats": 1, "night": true, "carrier": "\xff"}]}'),
    ("surrogate", b'{"rows": [{"seats": 1, "night": true, "carrier": "\\ud800"}]}'),
    ("nul", b'{"rows": [{"seats": 1, "night": true, "carrier": "\\u0000"}]}'),
    ("twice", b'{"rows": [{"seats": 1, "night": true}], "rows": 3}'),
    ("nothing", b""),
    ("binary", os.urandom(1000)),
]


@pytest.fixture(scope="module")
def open_url(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    there = plane(classifier_folder)
    log = PredictionLog(f"sqlite:///{tmp_path_factory.mktemp('log')}/i.db", there.manifest, "flights")
    with served(create_app(there, log)) as url:
        yield url


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/flights/infer"])
@pytest.mark.parametrize(("name", "body"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_hostile_bodies(open_url: str, path: str, name: str, body: bytes) -> None:
    forms = {"/invocations": b'"instances":', "/v2/models/flights/infer": b'"inputs":'}
    answer = ask(f"{open_url}{path}", body.replace(b'"rows":', forms.get(path, b'"rows":')))
    assert 400 <= answer.status < 500, (name, answer.body)
    said = answer.json
    assert "Traceback" not in answer.body.decode()
    assert len(said.get("message", said["error"])) < 2000
    assert ask(f"{open_url}/health/ready").status == 200


RAW: list[bytes] = [
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: x\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{}"
    % 10**20,
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: " + b"a" * 50_000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GARBAGE\r\n\r\n",
    b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset="\r\nContent-Length: 2\r\n\r\n{}',
    b"POST /predict HTTP/1.1\r\nContent-Encoding: br\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_hostile_bytes_on_the_socket(open_url: str, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(open_url.rpartition(":")[2])), timeout=30) as caller:
        try:
            caller.sendall(raw)
            caller.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: caller.recv(65536), b""))
        except ConnectionError:
            said = b""
    assert said == b"" or re.match(rb"HTTP/1\.1 4\d\d ", said), said[:200]
    assert b"Traceback" not in said
    assert ask(f"{open_url}/health/ready").status == 200
