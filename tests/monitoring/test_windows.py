"""Windows: they add up, hold what the log holds whatever happened to their writers, and any period is their sum."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from model_folders import INPUTS, flights, rows_of

from mlops_workbench.config.monitor import MonitorPolicy
from mlops_workbench.data import summarizing
from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.monitor import retention
from mlops_workbench.monitor.sealing import LATE_SECONDS, seal
from mlops_workbench.monitor.windowed import Asked, WindowLog, failures, series, total
from mlops_workbench.serving.answers import Prediction
from mlops_workbench.serving.predlog import LogEntry, PredictionLog
from mlops_workbench.serving.privacy import Privacy
from mlops_workbench.summary.parts import category
from mlops_workbench.summary.reference import DataReference
from mlops_workbench.summary.window import Window, counted

START = 1_767_225_600.0  # 2026-01-01 UTC
CLASSES = ("late", "on time")


def manifest() -> Manifest:
    return Manifest(
        name="flights",
        task="classification",
        inputs=INPUTS,
        model_file="f",
        serialization="skops",
        trusted=(),
        sha256="",
        python="3.11",
        requirements=(),
        classes=CLASSES,
    )


def made(frame: pd.DataFrame | None = None, inputs: tuple[Field, ...] = INPUTS) -> DataReference:
    frame = flights(600) if frame is None else frame
    rng = np.random.default_rng(0)
    return summarizing.reference(
        frame,
        inputs,
        predictions=rng.choice(CLASSES, len(frame)).tolist(),
        scores=rng.random(len(frame)),
        classes=CLASSES,
    )


def entries(
    frame: pd.DataFrame, *, seconds: float = 7.0, version: str = "1", first: int = 0
) -> list[LogEntry]:
    """Requests of one to three rows, one every `seconds`."""
    rows = [
        row | {"sched": pd.Timestamp(row["sched"]).to_pydatetime() if row["sched"] else None}
        for row in rows_of(frame)
    ]
    rng = np.random.default_rng(first)
    found, at = [], 0
    while at < len(rows):
        some = rows[at : at + int(rng.integers(1, 4))]
        share = rng.random(len(some))
        found.append(
            LogEntry(
                f"r{first}-{at}",
                some,
                Prediction([CLASSES[int(p > 0.5)] for p in share], [[float(1 - p), float(p)] for p in share]),
                version,
                "champion",
                START + seconds * len(found),
                latency_ms=float(rng.gamma(2, 5)),
            )
        )
        at += len(some)
    return found


@pytest.fixture
def url(stores: str | None, tmp_path: Path) -> str:
    return stores or f"sqlite:///{tmp_path / 'inference.db'}"


@pytest.fixture
def log(url: str) -> Iterator[PredictionLog]:
    opened = PredictionLog(url, manifest(), "flights")
    yield opened
    opened.close()


@pytest.fixture
def windows(url: str) -> WindowLog:
    known = made()
    return WindowLog(url, "flights", lambda _version: known)


def same(a: Window, b: Window) -> None:
    assert (a.rows, a.requests) == (b.rows, b.requests)
    assert a.counts.tolist() == b.counts.tolist()
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-9, atol=1e-6)


def whole(reference: DataReference, found: list[LogEntry]) -> Window:
    """Counted from what was sent, without log or windows."""
    rows = [row for entry in found for row in entry.rows]
    answers: dict[str, list[Any]] = {
        "prediction": [v for e in found for v in e.prediction.values],
        "score": [p[1] for e in found for p in e.prediction.probabilities or ()],
        "latency": [e.latency_ms for e in found for _ in e.rows],
    }
    columns = {f.name: [row[f.name] for row in rows] for f in INPUTS}
    return counted(reference, columns, answers, requests=len(found))


@given(
    values=st.lists(
        st.none() | st.floats(allow_nan=False, width=32) | st.just(float("nan")), min_size=1, max_size=60
    ),
    seen=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_parts_add_up_in_any_order(
    values: list[float | None], seen: list[float], cuts: list[int], order: Any
) -> None:
    reference = summarizing.reference(pd.DataFrame({"x": seen}), [Field("x", "double")])

    def window(some: list[float | None]) -> Window:
        return counted(reference, {"x": some}, {"latency": [1.0] * len(some)}, requests=len(some))

    places = sorted({0, *cuts, len(values)})
    parts = [window(values[a:b]) for a, b in itertools.pairwise(places) if values[a:b]]
    order.shuffle(parts)
    together = Window.empty(reference)
    for part in parts:
        together.add_dumped(reference, [(part.rows, part.requests, part.dumps())])
    expected = window(values)
    assert together.counts.tolist() == expected.counts.tolist()
    assert int(together.counts.sum()) == 2 * len(values)  # each value and each latency is somewhere
    np.testing.assert_allclose(together.sums, expected.sums, rtol=1e-6, atol=1e-3)


@given(st.lists(st.floats(), min_size=1, max_size=60), st.lists(st.floats(), max_size=20))
def test_any_numbers_make_a_reference_that_is_read_back(seen: list[float], asked: list[float]) -> None:
    """Also the largest that there are, infinities and none at all."""
    reference = summarizing.reference(pd.DataFrame({"x": seen}), [Field("x", "double")])
    again = DataReference.loads(reference.dumps())
    assert again.layout == reference.layout
    part = again.columns[0]
    assert sum(part.counts) == len(seen)
    assert list(part.edges) == sorted(set(part.edges))
    assert int(part.count(asked)[0].sum()) == len(asked)


@given(
    seen=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80),
    asked=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
)
def test_a_value_is_outside_when_the_reference_has_none_so_far_out(
    seen: list[float], asked: list[float]
) -> None:
    part = summarizing.reference(pd.DataFrame({"x": seen}), [Field("x", "double")]).columns[0]
    counts, _ = part.count(asked)
    slack = [1e-6 * max(abs(v), 1.0) for v in (min(seen), max(seen))]
    below, above = (int(counts[place]) for place in part.outside)
    assert below <= sum(v < min(seen) for v in asked)
    assert below >= sum(v < min(seen) - slack[0] for v in asked)
    assert above <= sum(v > max(seen) for v in asked)
    assert above >= sum(v > max(seen) + slack[1] for v in asked)
    assert sum(part.counts) == len(seen)
    assert list(part.coarse) == sorted(set(part.coarse))
    assert not len(part.edges) or max(part.coarse) < len(part.edges)


@given(
    st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=60),
    st.lists(st.text(max_size=4), max_size=40),
)
def test_categories_have_a_bin_each(seen: list[str | None], asked: list[str]) -> None:
    frame = pd.DataFrame({"c": pd.Series(seen, dtype=object)})
    part = summarizing.reference(frame, [Field("c", "string")]).columns[0]
    counts, _ = part.count(asked)
    assert part.unseen is not None
    assert int(counts[part.unseen]) == sum(value not in seen for value in asked)
    assert dict(zip(part.names, part.counts, strict=False)) == {
        name: seen.count(name) for name in set(seen) - {None} if name is not None
    }
    assert category(True) == "1" == category(1.0)


def test_a_reference_is_read_back_as_it_was_written() -> None:
    reference = made()
    again = DataReference.loads(reference.dumps())
    assert again == reference
    assert again.layout == reference.layout
    assert {p.form for p in reference.columns} == {"number", "category", "hour"}


@pytest.mark.both_stores
def test_the_windows_of_a_runtime_hold_what_the_log_holds(
    log: PredictionLog, windows: WindowLog, stores: str | None
) -> None:
    log.count_windows(made(), "1")
    found = entries(flights(500, seed=3))
    for start in range(0, len(found), 10):
        log.write(found[start : start + 10])
    log.close()
    now = START + 7 * len(found) + 10_000
    sealed = seal(windows, now)
    assert sealed.minutes > 20
    assert sealed.again == 0
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))
    assert seal(windows, now).minutes == 0


@pytest.mark.both_stores
def test_what_a_killed_runtime_did_not_write_is_counted_from_the_log(
    log: PredictionLog, windows: WindowLog, stores: str | None
) -> None:
    found = entries(flights(400, seed=4))
    log.count_windows(made(), "1")
    half = len(found) // 2
    log.write(found[:half])
    assert log.recorder is not None
    log.recorder.close()  # this far it came
    log.recorder = None
    log.write(found[half:])
    now = START + 7 * len(found) + 10_000
    sealed = seal(windows, now)
    assert 0 < sealed.again < sealed.minutes
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))


def test_without_a_writer_all_is_counted_from_the_log_and_the_last_minutes_are_not_waited_for(
    log: PredictionLog, windows: WindowLog, url: str
) -> None:
    found = entries(flights(400, seed=5))
    log.write(found)
    now = found[-1].at + 1
    sealed = seal(windows, now)
    assert sealed.until <= now - LATE_SECONDS
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))
    pieces = list(series(windows, Asked("1", START, now), 600.0))
    assert [p.window.rows for p in pieces] == [
        sum(len(e.rows) for e in found if p.start <= e.at < p.end) for p in pieces
    ]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT DISTINCT writer FROM windows_flights")).scalars().all() == [
            "log"
        ]
    engine.dispose()


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("merged", [False, True])
def test_a_period_holds_its_rows_and_no_others(
    log: PredictionLog, windows: WindowLog, sealed: bool, merged: bool
) -> None:
    """Whatever its ends are: before a window's minute is sealed, inside of a minute, inside of a merged hour."""
    found = entries(flights(700, seed=12))
    log.count_windows(made(), "1")
    log.write(found)
    log.close()  # its windows are written
    end = found[-1].at
    if sealed:
        seal(windows, end + 1_000)
    if merged:
        retention.prune(windows, MonitorPolicy(keep_minutes="5m"), end + 1_000)
    edges = [0.0, 30.0, 59.9, 60.0, 61.5, 1_799.0, 1_800.0, end - START - 45, end - START + 1]
    for first in edges:
        for last in (edge for edge in edges if edge > first):
            asked = Asked("1", START + first, START + last)
            held = [e for e in found if asked.start <= e.at < asked.end]
            summed = total(windows, asked)
            assert summed is not None
            assert summed.window.rows == sum(len(e.rows) for e in held), (first, last)
            if held:
                same(summed.window, whole(made(), held))


@pytest.mark.both_stores
def test_a_writer_that_comes_after_the_seal_is_not_counted_twice(
    log: PredictionLog, windows: WindowLog, stores: str | None
) -> None:
    found = entries(flights(300, seed=6))
    log.count_windows(made(), "1")
    log.write(found[:50])
    now = START + 7 * len(found) + 10_000
    assert seal(windows, now).again > 0  # its minutes were not written yet
    log.write(found[50:])  # a clock that went backwards: rows of minutes that are sealed
    log.close()
    assert seal(windows, now).again > 0
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))


@pytest.mark.both_stores
def test_several_that_seal_while_rows_come_count_each_once(
    log: PredictionLog, windows: WindowLog, stores: str | None
) -> None:
    found = entries(flights(400, seed=13))
    log.count_windows(made(), "1")
    now = START + 7 * len(found) + 10_000
    with ThreadPoolExecutor(3) as pool:
        sealing = []
        for start in range(0, len(found), 20):
            log.write(found[start : start + 20])
            assert log.recorder is not None
            log.recorder._flush(math.inf)
            until = START + 7 * (start + 20) + LATE_SECONDS
            sealing += [pool.submit(seal, windows, until) for _ in range(2)]
        for one in sealing:
            one.result(60)
    log.close()
    seal(windows, now)
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))


def test_what_cannot_be_counted_costs_no_answer(
    log: PredictionLog, windows: WindowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.count_windows(made(), "1")
    found = entries(flights(1_200, seed=14))

    def broken(*_: object) -> None:
        raise OverflowError("too large")

    assert log.recorder is not None
    with monkeypatch.context() as patch:
        patch.setattr(log.recorder._columns, "windows", broken)
        log.write(found)
    log.close()
    now = START + 7 * len(found) + 10_000
    assert seal(windows, now).again > 0
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))


def test_errors_are_kept_with_the_minute_and_merged(
    log: PredictionLog, windows: WindowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.count_windows(made(), "1")
    log.write(entries(flights(30, seed=15)))
    assert log.recorder is not None
    monkeypatch.setattr(time, "time", lambda: START + 30)
    for code in (503, 503, 500):
        log.recorder.failed("champion", code)
    log.close()
    monkeypatch.undo()
    assert failures(windows, START, START + 60) == 3
    seal(windows, START + 10_000)
    retention.prune(windows, MonitorPolicy(keep_minutes="1m"), START + 10_000)
    assert failures(windows, START, START + 3_600) == 3
    assert failures(windows, START + 3_600, START + 7_200) == 0


def test_two_versions_and_writers_at_once(url: str, windows: WindowLog) -> None:
    logs = [PredictionLog(url, manifest(), "flights") for _ in range(2)]
    found = [entries(flights(200, seed=7 + i), version=str(i + 1), first=i) for i in range(2)]
    for one, some in zip(logs, found, strict=True):
        one.count_windows(made(), some[0].version)
        one.write(some[::2])
    for one, some in zip(logs, reversed(found), strict=True):
        one.write(some[1::2])
        one.close()
    now = START + 7 * 200 + 10_000
    assert seal(windows, now).again == 0
    for version, some in zip(("1", "2"), found, strict=True):
        summed = total(windows, Asked(version, START, now))
        assert summed is not None
        same(summed.window, whole(made(), some))


def test_what_the_log_must_not_hold_is_in_no_window(url: str) -> None:
    private = Privacy(excluded=frozenset({"dep delay"}), hashed=frozenset({"carrier"}), key=b"k")
    log = PredictionLog(url, manifest(), "flights", private)
    log.count_windows(made(), "1")
    found = entries(flights(200, seed=8))
    log.write(found)
    log.close()
    known = made()
    hidden = WindowLog(url, "flights", lambda _v: known, hidden=("dep delay", "carrier"))
    now = START + 7 * 200 + 10_000
    assert seal(hidden, now).again == 0
    summed = total(hidden, Asked("1", START, now))
    assert summed is not None
    rows = summed.window.rows
    for part, counts, sums in known.split(summed.window.counts, summed.window.sums):
        if part.name in ("dep delay", "carrier"):
            assert int(counts[-1]) == rows
            assert sums[0] == 0


def test_a_database_that_does_not_answer_costs_no_answer_and_no_window(
    log: PredictionLog, windows: WindowLog, url: str
) -> None:
    log.count_windows(made(), "1")
    found = entries(flights(100, seed=9))
    log.write(found)
    assert log.recorder is not None
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE windows_flights (x INTEGER)")  # not ours: each write fails
    log.recorder._flush(time.time())
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE windows_flights")
    engine.dispose()
    log.close()
    now = START + 7 * 200 + 10_000
    seal(windows, now)
    summed = total(windows, Asked("1", START, now))
    assert summed is not None
    same(summed.window, whole(made(), found))
