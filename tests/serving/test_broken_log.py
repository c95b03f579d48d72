"""Whatever breaks under a running runtime: what was answered is in the log, once; what was refused says so, and is
answered when it is sent again with its id, without a restart."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import breaking
import forks
import pytest
from serving_kit import Answer, ask, free_port, serve_here, wait_live, wait_ready
from sqlalchemy import MetaData, Table, make_url, select

from mlops_workbench.serving.tables import log_engine

pytestmark = pytest.mark.timeout(120)

TEXT = "Z" * 2000
"""makes a row long enough for a small disk to be full soon"""
SENTENCE = "The prediction was not given, because it could not be logged"
NEXT = "Send the request again with the same request id; if it persists, look at the log's database."


class Caller:
    """Asks, and remembers what it was told: each id has rows of its own."""

    def __init__(self, *urls: str) -> None:
        self.urls = urls
        self.answered: dict[str, list[Any]] = {}
        self.refused: dict[str, Answer] = {}

    def ask(self, name: str, url: str = "") -> Answer:
        rows = [{"dep delay": float(i), "seats": 50 + i, "night": bool(i), "carrier": TEXT} for i in range(2)]
        answer = ask(f"{url or self.urls[0]}/predict", {"rows": rows, "request_id": name})
        if answer.status == 200:
            before = self.answered.setdefault(name, answer.json["predictions"])
            assert answer.json["predictions"] == before
            self.refused.pop(name, None)
        else:
            self.refused[name] = answer
        return answer

    def ask_all(self, names: list[str]) -> None:
        for name in names:
            self.ask(name)

    def require_answered(self, names: list[str]) -> None:
        self.ask_all(names)
        assert {name: self.refused[name].body for name in names if name in self.refused} == {}


def runtime(folder: Path, output: Path, code: str, env: dict[str, str]) -> None:
    """In its process: `code` before the runtime begins."""
    exec(code)
    serve_here(folder, output, **env)


@contextlib.contextmanager
def serving(
    folder: Path,
    log_url: str,
    output: Path,
    *,
    code: str = "",
    wait: Callable[[str], None] = wait_ready,
    **env: str,
) -> Iterator[tuple[str, int]]:
    """URL and process id of a runtime that is ready (`wait`). What it says is in the file `output`."""
    port = free_port()
    env |= {"HOST": "127.0.0.1", "PORT": str(port), "MLOPS_LOG_URL": log_url}
    running = forks.context().Process(target=runtime, args=(folder, output, code, env))
    running.start()
    try:
        wait(url := f"http://127.0.0.1:{port}")
        assert running.pid is not None
        yield url, running.pid
    finally:
        running.kill()
        running.join()


def logged(log_url: str) -> dict[str, list[Any]]:
    """Predictions by request id, in the order of their rows; each row is there once."""
    engine = log_engine(log_url)
    with engine.begin() as connection:
        table = Table("predictions_flights", MetaData(), autoload_with=connection)
        query = select(table.c.request_id, table.c.row_index, table.c.prediction)
        rows = [tuple(row) for row in connection.execute(query)]
    engine.dispose()
    assert set(Counter(row[:2] for row in rows).values()) <= {1}
    found: dict[str, list[Any]] = {}
    for request_id, _, prediction in sorted(rows):
        found.setdefault(request_id, []).append(prediction)
    return found


def refused_as_documented(caller: Caller, *others: str) -> None:
    """`others`: sentences that are right here, too."""
    for answer in caller.refused.values():
        said = answer.json
        assert answer.status == 503
        assert {k.lower(): v for k, v in answer.headers.items()}["retry-after"] == "1"
        if not any(one in said["message"] for one in others):
            assert said["error"] == "LogUnavailable"
            assert said["message"].startswith(SENTENCE)
            assert said["next_step"] == NEXT


def survives(
    caller: Caller, broken: AbstractContextManager[None], log_url: str, *, others: tuple[str, ...] = ()
) -> None:
    """Asks before, while something is broken, and afterwards, and compares with the log."""
    url = caller.urls[0]
    caller.require_answered([f"before-{n}" for n in range(5)])
    with broken:
        meanwhile = [f"meanwhile-{n}" for n in range(60)]
        for name in meanwhile:
            caller.ask(name)
            if len(caller.refused) == 5:
                break
        assert len(caller.refused) > 0
        assert ask(f"{url}/health/ready").status == 503
        assert ask(f"{url}/health/live").status == 200
        refused_as_documented(caller, *others)
    caller.require_answered([*caller.refused])
    caller.require_answered([*caller.answered])
    caller.require_answered([f"after-{n}" for n in range(5)])
    assert ask(f"{url}/health/ready").status == 200
    assert logged(log_url) == caller.answered


def test_a_limit_on_files(classifier_folder: Path, tmp_path: Path) -> None:
    log_url = f"sqlite:///{tmp_path}/i.db"
    with serving(classifier_folder, log_url, tmp_path / "output") as (url, pid):
        survives(Caller(url), breaking.files_at_most(pid, 1 << 16), log_url)


@pytest.mark.skipif(not breaking.may_mount(), reason="only root may mount a small disk")
def test_a_full_disk(classifier_folder: Path, tmp_path: Path) -> None:
    """The runtime's own output is on the same disk."""
    with breaking.small_disk(tmp_path / "disk") as disk:
        log_url = f"sqlite:///{disk}/i.db"
        with serving(classifier_folder, log_url, disk / "output") as (url, _):
            survives(Caller(url), breaking.filled(disk), log_url)
        with closing(sqlite3.connect(disk / "i.db")) as log:
            assert log.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            log.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_lock_of_another_process(classifier_folder: Path, tmp_path: Path) -> None:
    """It is held for longer than SQLite waits."""
    log_url = f"sqlite:///{tmp_path}/i.db"

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with closing(sqlite3.connect(tmp_path / "i.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    with serving(classifier_folder, log_url, tmp_path / "output") as (url, _):
        caller = Caller(url)
        caller.require_answered(["before"])
        with locked(), ThreadPoolExecutor(40) as pool:
            asked = [pool.submit(caller.ask, f"meanwhile-{n}") for n in range(4)]
            assert asked[0].result().status == 503
            ready = [pool.submit(ask, f"{url}/health/ready") for _ in range(30)]
            assert ask(f"{url}/docs").status == 200  # while others wait for the lock
            assert {one.result().status for one in ready} == {503}
            refused_as_documented(caller)
        for one in asked:
            one.result()
        caller.require_answered([*caller.refused, "after"])
        assert logged(log_url) == caller.answered


UNPRIVILEGED = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
none = struct.pack("6I", 0, 0, 0, 0, 0, 0)  # a root without capabilities asks for permission like anybody
assert libc.capset(struct.pack("II", 0x20080522, 0), none) == 0
"""


def test_a_log_that_may_only_be_read(classifier_folder: Path, tmp_path: Path) -> None:
    """What has it open goes on or refuses; what is started meanwhile is not ready, and refuses until it may write."""
    folder = tmp_path / "inference"
    folder.mkdir()
    log_url = f"sqlite:///{folder}/i.db"
    with ExitStack() as running:
        start = partial(serving, classifier_folder, log_url, tmp_path / "output", code=UNPRIVILEGED)
        first, _ = running.enter_context(start())
        caller = Caller(first)
        caller.require_answered(["before"])
        with read_only(folder):
            caller.ask_all([f"meanwhile-{n}" for n in range(3)])
            second, _ = running.enter_context(start(wait=wait_live))
            assert ask(f"{second}/health/ready").status == 503
            for name in ("second-1", "second-2"):
                assert caller.ask(name, second).status == 503
            refused_as_documented(caller)
        for url in (first, second):
            for name in [*caller.refused, *caller.answered, f"after-{url}"]:
                assert caller.ask(name, url).status == 200
            assert ask(f"{url}/health/ready").status == 200
        assert logged(log_url) == caller.answered


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    there = [*folder.iterdir(), folder]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in there]
    for path in there:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in zip(there, modes, strict=True):
            path.chmod(mode)


@pytest.mark.parametrize("what", ["file", "folder", "table"])
def test_a_log_that_is_taken_away(classifier_folder: Path, tmp_path: Path, what: str) -> None:
    """SQLite goes on writing into a file that was moved or deleted: what is answered then is in a new one."""
    folder = tmp_path / "inference"
    folder.mkdir()
    log_url = f"sqlite:///{folder}/i.db"
    with serving(classifier_folder, log_url, tmp_path / "output") as (url, _):
        before, after = Caller(url), Caller(url)
        before.require_answered(["before-1", "before-2"])
        if what == "table":
            with closing(sqlite3.connect(folder / "i.db", isolation_level=None)) as log:
                log.execute("ALTER TABLE predictions_flights RENAME TO kept")
        elif what == "folder":
            folder.rename(tmp_path / "aside")
        else:
            for file in folder.iterdir():
                file.rename(tmp_path / file.name)
        after.ask_all([f"after-{n}" for n in range(5)])
        refused_as_documented(after)
        if what == "folder":
            assert len(after.refused) == 5
            folder.mkdir()
        after.require_answered([*after.refused, "later"])
        assert ask(f"{url}/health/ready").status == 200
        assert logged(log_url) == after.answered
        if what != "table":
            aside = tmp_path / ("aside/i.db" if what == "folder" else "i.db")
            assert logged(f"sqlite:///{aside}").items() >= before.answered.items()


@pytest.fixture
def proxy(log_url: str) -> Iterator[tuple[breaking.Proxy, str]]:
    """A proxy in front of the database, and the log's address through it."""
    real = make_url(log_url)
    made = breaking.Proxy(real.host or "127.0.0.1", real.port or 5432)
    yield made, real.set(host="127.0.0.1", port=made.port).render_as_string(hide_password=False)
    made.close()


only_postgresql = pytest.mark.parametrize(
    "log_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@only_postgresql
def test_a_server_that_goes_away(
    classifier_folder: Path, tmp_path: Path, log_url: str, proxy: tuple[breaking.Proxy, str]
) -> None:
    between, through = proxy
    with serving(classifier_folder, through, tmp_path / "output") as (url, _):
        survives(Caller(url), between.gone(), log_url)


@only_postgresql
def test_a_server_that_says_nothing_more(
    classifier_folder: Path, tmp_path: Path, log_url: str, proxy: tuple[breaking.Proxy, str]
) -> None:
    """Requests are refused when their time is over; the connection that hangs is given up."""
    between, through = proxy
    with serving(classifier_folder, through, tmp_path / "output", MLOPS_TIMEOUT_SECONDS="1") as (url, _):
        caller = Caller(url)
        caller.require_answered(["before"])
        with between.stalled():
            caller.ask_all(["meanwhile-1", "meanwhile-2"])
            assert len(caller.refused) == 2
            refused_as_documented(caller, "The request was not answered within 1 s.")
        caller.require_answered([*caller.refused, "after"])
        assert logged(log_url) == caller.answered


@only_postgresql
def test_a_connection_that_is_cut_at_the_commit(
    classifier_folder: Path, tmp_path: Path, log_url: str, proxy: tuple[breaking.Proxy, str]
) -> None:
    """The row is in the log, but nobody has its answer: sent again it gets that one."""
    between, through = proxy
    with serving(classifier_folder, through, tmp_path / "output") as (url, _):
        caller = Caller(url)
        caller.require_answered(["before"])
        cut: list[bytes] = []

        def at_commit(sent: bytes) -> bool:
            if b"COMMIT" in sent and not cut:
                cut.append(sent)
                return True
            return False

        between.before_reply = at_commit
        caller.ask("cut")
        assert len(cut) == 1
        refused_as_documented(caller)
        assert "cut" in caller.refused
        caller.require_answered(["cut", "after"])
        assert logged(log_url) == caller.answered


CLOCK = """
import os, time
time.time = lambda real=time.time, flag={flag!r}, there=os.path.exists: real() - (3600 if there(flag) else 0)
"""


def test_a_clock_that_is_set_back(classifier_folder: Path, tmp_path: Path) -> None:
    log_url, flag = f"sqlite:///{tmp_path}/i.db", tmp_path / "flag"
    with serving(classifier_folder, log_url, tmp_path / "output", code=CLOCK.format(flag=str(flag))) as (
        url,
        _,
    ):
        caller = Caller(url)
        caller.require_answered(["before-1", "before-2"])
        flag.touch()
        caller.require_answered(["back-1", "before-1", "back-2"])
        assert ask(f"{url}/health/ready").status == 200
        flag.unlink()
        caller.require_answered(["back-1", "after"])
        assert logged(log_url) == caller.answered
    with closing(sqlite3.connect(tmp_path / "i.db")) as log:
        rows = log.execute("SELECT request_id, at, latency_ms FROM predictions_flights").fetchall()
    at = {name: moment for name, moment, _ in rows}
    assert -3700 < at["back-1"] - at["before-1"] < -3500
    assert min(latency for *_, latency in rows) >= 0


def test_two_runtimes_on_one_log_asked_the_same(
    classifier_folder: Path, tmp_path: Path, log_url: str
) -> None:
    names = [f"same-{n}" for n in range(40)]
    with (
        serving(classifier_folder, log_url, tmp_path / "output") as (first, _),
        serving(classifier_folder, log_url, tmp_path / "output") as (second, _),
    ):
        caller = Caller(first, second)
        starting = threading.Barrier(8)

        def work(number: int) -> None:
            starting.wait()
            for name in names[number % 4 :] + names[: number % 4]:
                assert caller.ask(name, caller.urls[number % 2]).status == 200

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(work, number) for number in range(8)]:
                done.result()
        assert logged(log_url) == caller.answered
        assert [*sorted(caller.answered)] == sorted(names)
