"""The runtime that follows a pointer: swaps, refusals, holding, and what stays with its version."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from serving_kit import ask, free_port, process, served, wait_ready

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.rollout import followers
from mlops_workbench.serving import follower
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.pointer import Pointer, Target
from mlops_workbench.serving.schema import PredictSchema
from mlops_workbench.serving.settings import Settings, app_from

ROW = {"dep delay": 50.0, "größe": 2.0, "seats": 100, "carrier": "UA", "night": True}


class Place:
    """A folder with versions and a pointer, as the workbench makes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turn = 0

    def version(self, number: int, source: Path, **changes: Any) -> Target:
        there = self.folder / f"v{number}"
        shutil.copytree(source, there)
        manifest = Manifest.load(there)
        if changes:
            replace(manifest, **changes).dump(there)
        return Target(str(number), manifest.sha256, there.name)

    def point(self, current: Target, coming: Target | None = None, *, pause: bool = False) -> str:
        self.turn += 1
        pointer = Pointer("flights", "champion", current, coming, pause, str(self.turn))
        draft = self.folder / "draft"
        draft.write_text(pointer.dumps())
        draft.replace(self.folder / "current.json")
        return str(self.turn)

    def settings(self, **env: str) -> Settings:
        told = {
            "MLOPS_MODEL_DIR": str(self.folder / "v1"),
            "MLOPS_MODEL_NAME": "flights",
            "MLOPS_MODEL_VERSION": "1",
            "MLOPS_FOLLOW": str(self.folder / "current.json"),
            "MLOPS_LOG_URL": f"sqlite:///{self.folder}/i.db",
        }
        return Settings.from_env(told | env)

    @contextmanager
    def running(self, **env: str) -> Iterator[str]:
        with served(app_from(self.settings(**env))) as url:
            yield url


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def follow(url: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(f"{url}/").json["follow"]
    return found


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def obeyed(url: str, turn: str) -> dict[str, Any]:
    until(lambda: follow(url)["turn"] == turn)
    return follow(url)


def version(url: str) -> str:
    return str(ask(f"{url}/predict", {"rows": [ROW]}).json["version"])


def test_the_next_is_ready_before_it_takes_over(place: Place, classifier_folder: Path) -> None:
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    with place.running() as url:
        assert version(url) == "1"
        said = obeyed(url, place.point(one, two))
        assert (said["prepared"], said["holding"], said["failed"]) == (
            {"version": "2", "digest": two.digest},
            False,
            None,
        )
        assert version(url) == "1"  # same digest, another version
        said = obeyed(url, place.point(two))
        assert said["prepared"] is None
        assert (version(url), ask(f"{url}/health/ready").json["version"]) == ("2", "2")
        # one that was prepared and is not wanted any more leaves nothing
        three = place.version(3, classifier_folder)
        obeyed(url, place.point(two, three))
        assert obeyed(url, place.point(two))["prepared"] is None
        assert version(url) == "2"


def test_while_it_holds_nobody_is_answered_and_nobody_fails(place: Place, classifier_folder: Path) -> None:
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    with place.running() as url:
        assert obeyed(url, place.point(one, two, pause=True))["holding"]
        answers: list[str] = []
        callers = [threading.Thread(target=lambda: answers.append(version(url))) for _ in range(8)]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        assert answers == []
        assert ask(f"{url}/health/ready").status == 200
        place.point(two)
        for caller in callers:
            caller.join()
        assert answers == ["2"] * 8


def test_columns_of_the_version_that_takes_over(place: Place, classifier_folder: Path) -> None:
    """What was parsed for the old version is parsed again by a new one with other columns, and what the old one would
    refuse is not refused while the new one is about to take over."""
    one = place.version(1, classifier_folder)
    inputs = Manifest.load(classifier_folder).inputs
    two = place.version(2, classifier_folder, inputs=(*inputs, Field("gate", "string", nullable=False)))
    more = ROW | {"gate": "B7"}
    place.point(one)
    with place.running() as url:
        asked = {
            "old": (f"{url}/predict", {"rows": [ROW]}),
            "new": (f"{url}/predict", {"rows": [more]}),
            "instances": (f"{url}/invocations", {"instances": [more]}),
            "by number": (f"{url}/v2/models/flights/versions/1/infer", infer(ROW)),
            "by new number": (f"{url}/v2/models/flights/versions/2/infer", infer(more)),
        }
        before = {name: ask(*what) for name, what in asked.items()}
        assert {name: a.status for name, a in before.items()} == {
            "old": 200,
            "new": 422,
            "instances": 422,
            "by number": 200,
            "by new number": 404,
        }
        obeyed(url, place.point(one, two, pause=True))
        with ThreadPoolExecutor(len(asked)) as pool:
            waiting = {name: pool.submit(ask, *what) for name, what in asked.items()}
            time.sleep(0.3)
            assert not any(w.done() for w in waiting.values())
            place.point(two)
            after = {name: w.result() for name, w in waiting.items()}
    assert {name: a.status for name, a in after.items()} == {
        "old": 422,
        "new": 200,
        "instances": 200,
        "by number": 404,
        "by new number": 200,
    }
    assert "Row 0 has no 'gate'" in after["old"].json["message"]
    assert after["new"].json["version"] == after["by new number"].json["model_version"] == "2"
    with closing(sqlite3.connect(place.folder / "i.db")) as log:
        rows = log.execute("SELECT model_version, x_gate FROM predictions_flights ORDER BY 1").fetchall()
    assert rows == [("1", None)] * 2 + [("2", "B7")] * 3


def infer(row: dict[str, Any]) -> dict[str, Any]:
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    tensors = [
        {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for name, value in row.items()
    ]
    return {"inputs": tensors}


def test_same_columns_need_no_second_parsing(
    place: Place, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    parsed = []
    real = PredictSchema.parse
    monkeypatch.setattr(
        PredictSchema, "parse", lambda self, raw, *more: parsed.append(raw) or real(self, raw, *more)
    )
    with place.running() as url:
        obeyed(url, place.point(one, two, pause=True))
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(version, url)
            by_number = pool.submit(ask, f"{url}/v2/models/flights/versions/1/infer", infer(ROW))
            until(lambda: len(parsed) == 1)
            time.sleep(0.3)
            place.point(two)
            assert waiting.result() == "2"
            assert (by_number.result().status, by_number.result().json) == (
                404,
                {"error": "There is no model 'flights' version '1' here. This is 'flights' version '2'."},
            )
    assert len(parsed) == 1


def test_names_of_before_are_read_and_written(place: Place, classifier_folder: Path) -> None:
    """A runtime of an older image reads `hold` and `turn`; an older workbench asks for `turn`, and writes both."""
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    generation = place.point(one, two, pause=True)
    path = place.folder / "current.json"
    written = json.loads(path.read_text())
    assert (written["pause"], written["hold"]) == (True, True)
    assert written["generation"] == written["turn"] == generation
    of_before = {k: v for k, v in written.items() if k not in ("pause", "generation")}
    path.write_text(json.dumps(of_before))
    assert Pointer.read(path) == Pointer("flights", "champion", one, two, True, generation)
    place.point(one)
    with place.running() as url:
        path.write_text(json.dumps(of_before | {"turn": "by hand"}))
        said = obeyed(url, "by hand")
        assert said["generation"] == "by hand"
        assert (said["paused"], said["holding"]) == (True, True)
    for answer in ({"turn": "x"}, {"generation": "x", "turn": "y"}, {"generation": "x"}):
        assert followers.generation_of({"follow": answer}) == "x"


def test_who_holds_and_never_moves_is_not_waited_for(
    place: Place, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_PAUSE_SECONDS", 0.2)
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    with place.running() as url:
        obeyed(url, place.point(one, two, pause=True))
        assert version(url) == "1"
        assert not follow(url)["holding"]
        obeyed(url, place.point(two))
        assert version(url) == "2"


def test_what_cannot_be_served_leaves_the_old_one(
    place: Place, classifier_folder: Path, regressor_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = place.version(1, classifier_folder, requirements=("scikit-learn==1.0",))
    bad = {
        "not the model that was": place.version(2, classifier_folder),
        "needs xgboost==3.0, which is not": place.version(
            3, classifier_folder, requirements=("xgboost==3.0",)
        ),
        "fitted with Python 3.9": place.version(4, classifier_folder, python="3.9"),
        "no workbench.json": Target("5", "0" * 64, "nowhere"),
        "not the one that was registered": replace(place.version(8, classifier_folder), plan="0" * 64),
        "cannot be loaded: ": place.version(6, classifier_folder, trusted=()),
        "since an earlier version of": place.version(7, regressor_folder),
    }
    (place.folder / "v2" / "model.skops").write_bytes(b"damaged")
    place.point(one)
    with place.running() as url:
        for says, target in bad.items():
            for pointed in (lambda t=target: place.point(one, t), lambda t=target: place.point(t)):
                said = obeyed(url, pointed())
                assert says in said["failed"]["reason"], says
                assert (said["failed"]["version"], said["prepared"]) == (target.version, None)
                assert version(url) == "1"
            assert 'mlops_follow_failed{model="flights",version="1"} 1.0' in metrics(url)
            assert obeyed(url, place.point(one))["failed"] is None
            assert 'mlops_follow_failed{model="flights",version="1"} 0.0' in metrics(url)
        # mended, it is tried again by itself
        monkeypatch.setattr(follower, "_AGAIN_SECONDS", 0.1)
        obeyed(url, place.point(bad["not the model that was"]))
        shutil.copy(classifier_folder / "model.skops", place.folder / "v2" / "model.skops")
        until(lambda: version(url) == "2")
        assert follow(url)["failed"] is None


def metrics(url: str) -> str:
    return ask(f"{url}/metrics").body.decode()


class Ends:
    """Loading it ends the process, as a module may that is imported."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exit, (1,))


def test_whatever_loading_does_the_old_one_goes_on(
    place: Place, classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "only_in_the_notebook.py").write_text("class Own: pass\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(modules))
        own = importlib.import_module("only_in_the_notebook").Own()
        missing = cloudpickle.dumps(own)
        del sys.modules["only_in_the_notebook"]
    one = place.version(1, classifier_folder)
    place.point(one)
    with place.running() as url:
        for number, (says, data) in enumerate(
            (("No module named 'only_in_the_notebook'", missing), ("SystemExit", cloudpickle.dumps(Ends())))
        ):
            target = place.version(2 + number, classifier_folder)
            folder = place.folder / target.folder
            (folder / "model.pkl").write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            changes: dict[str, Any] = {"model_file": "model.pkl", "serialization": "cloudpickle"}
            replace(Manifest.load(folder), sha256=digest, trusted=(), **changes).dump(folder)
            said = obeyed(url, place.point(replace(target, digest=digest)))
            assert says in said["failed"]["reason"]
            assert version(url) == "1"


def test_a_slow_request_stays_with_its_version(place: Place, classifier_folder: Path) -> None:
    """What was given to the old version is answered by it, and it ends after that."""
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    app = app_from(place.settings())
    entered, go = threading.Event(), threading.Event()
    with served(app) as url:
        real = DataPlane.predict

        def slow(self: DataPlane, rows: Any, *, wait: bool = True) -> Any:
            if self.version == "1":
                entered.set()
                go.wait(30)
            return real(self, rows, wait=wait)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DataPlane, "predict", slow)
            answers: list[str] = []
            caller = threading.Thread(target=lambda: answers.append(version(url)))
            caller.start()
            assert entered.wait(30)
            obeyed(url, place.point(two))
            assert version(url) == "2"
            assert answers == []
            workers = [t for t in threading.enumerate() if t.name == "mlops-batcher"]
            assert len(workers) == 2
            go.set()
            caller.join()
            assert answers == ["1"]
            until(lambda: sum(t.name == "mlops-batcher" for t in threading.enumerate()) == 1)


def test_a_process_starts_with_what_the_pointer_says(place: Place, classifier_folder: Path) -> None:
    place.version(1, classifier_folder)
    two = place.version(2, classifier_folder)
    place.point(two)
    port = free_port()
    env = {"MLOPS_MODEL_VERSION": "1", "MLOPS_FOLLOW": str(place.folder / "current.json"), "PORT": str(port)}
    with process(place.folder / "v1", **env) as server:
        wait_ready(f"http://127.0.0.1:{port}")
        assert version(f"http://127.0.0.1:{port}") == "2"
        server.terminate()
        assert server.wait(30) == 0
        assert server.stderr is not None
        assert json.loads(server.stderr.readline())["version"] == "2"
    (place.folder / "v2" / "model.skops").write_bytes(b"damaged")
    with process(place.folder / "v1", **env) as server:  # no answer from a version that is not champion
        assert server.wait(60) == 1


def test_what_is_no_pointer_is_a_sentence(place: Place, classifier_folder: Path) -> None:
    one = place.version(1, classifier_folder)
    path = place.folder / "current.json"
    with place.running() as url:  # none is there yet
        assert version(url) == "1"
        obeyed(url, place.point(one))
        path.write_text("{")
        time.sleep(0.6)
        assert version(url) == "1"
        path.unlink()
        time.sleep(0.6)
        assert version(url) == "1"
    good = json.loads(Pointer("flights", "champion", one).dumps())
    for wrong in (
        "[]",
        json.dumps(good | {"format": 2}),
        json.dumps(good | {"current": None}),
        json.dumps(good | {"current": good["current"] | {"folder": "../v1"}}),
        json.dumps(good | {"current": good["current"] | {"version": 1}}),
    ):
        path.write_text(wrong)
        with pytest.raises(ModelRefused, match="does not say what to serve"):
            Pointer.read(path)
    path.write_text(json.dumps(good | {"model": "other"}))
    with pytest.raises(ModelRefused, match="of the model 'other'"):
        app_from(place.settings())


def test_an_answer_is_given_again_across_versions(place: Place, classifier_folder: Path) -> None:
    one, two = place.version(1, classifier_folder), place.version(2, classifier_folder)
    place.point(one)
    with place.running() as url:
        first = ask(f"{url}/predict", {"rows": [ROW], "request_id": "r"})
        obeyed(url, place.point(two))
        again = ask(f"{url}/predict", {"rows": [ROW], "request_id": "r"})
        assert again.json == first.json
        assert again.json["version"] == "1"
        other = ask(f"{url}/predict", {"rows": [ROW | {"seats": 1}], "request_id": "r"})
        assert other.status == 409
    with closing(sqlite3.connect(place.folder / "i.db")) as log:
        assert log.execute("SELECT count(*) FROM predictions_flights").fetchone() == (1,)
