"""The web face over a real socket."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import model_folders
import pytest
from serving_kit import ask, served

from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import STATUS
from mlops_workbench.serving.original import Original
from mlops_workbench.serving.predlog import PredictionLog

GOOD = {"dep delay": 50.0, "größe": 2.0, "seats": 100, "carrier": "ZÜ", "night": True, "sched": "2026-01-01"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "inference.db"


@pytest.fixture(scope="module")
def url(classifier_folder: Path, database: Path) -> Iterator[str]:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    log = PredictionLog(f"sqlite:///{database}", plane.manifest, "flights")
    with served(
        create_app(plane, log, AppOptions(limits=Limits(request_rows=100, body_bytes=1 << 20)))
    ) as url:
        yield url


def _logged(database: Path, request_id: str) -> list[tuple[Any, ...]]:
    query = 'SELECT row_index, prediction, "x_dep delay", role FROM predictions_flights WHERE request_id = ?'
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, (request_id,)).fetchall()


def test_predict(url: str, database: Path) -> None:
    frame = model_folders.flights(50, seed=7)
    answer = ask(f"{url}/predict", {"rows": model_folders.rows_of(frame), "request_id": "fifty"})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "fifty"
    body = answer.json
    assert (body["model"], body["version"], body["request_id"]) == ("flights", "3", "fifty")
    assert body["classes"] == ["late", "on time"]
    assert body["predictions"] == model_folders.classifier().predict(frame).tolist()
    assert [sum(p) for p in body["probabilities"]] == pytest.approx([1.0] * 50)
    logged = _logged(database, "fifty")
    assert [r[1] for r in logged] == body["predictions"]
    assert {r[3] for r in logged} == {"champion"}


def test_request_ids(url: str, database: Path) -> None:
    made = ask(f"{url}/predict", {"rows": [GOOD]}).json["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert len(_logged(database, made)) == 1
    header = ask(f"{url}/predict", {"rows": [GOOD]}, headers={"X-Request-ID": "of-the-header"})
    assert header.json["request_id"] == "of-the-header"
    both = ask(f"{url}/predict", {"rows": [GOOD], "request_id": "body"}, headers={"X-Request-ID": "proxy"})
    assert both.json["request_id"] == "body"


def test_sent_again_is_answered_again_and_logged_once(url: str, database: Path) -> None:
    first = ask(f"{url}/predict", {"rows": [GOOD], "request_id": "twice"})
    assert ask(f"{url}/predict", {"rows": [GOOD], "request_id": "twice"}).json == first.json
    assert len(_logged(database, "twice")) == 1
    other = ask(f"{url}/predict", {"rows": [GOOD | {"seats": 1}], "request_id": "twice"})
    assert other.status == 409
    assert "'twice' was used before for other rows" in other.json["message"]


BAD = [
    ("/predict", b"{", {}, None, 400, "InvalidJson"),
    ("/predict", b'{"rows": [{"seats": 1, "night": true, "dep delay": NaN}]}', {}, None, 422, "InvalidData"),
    (
        "/predict",
        b'{"rows": [{"seats": 1, "night": true, "dep delay": Infinity}]}',
        {},
        None,
        422,
        "InvalidData",
    ),
    ("/predict", {"rows": [GOOD | {"extra": 1}]}, {}, None, 422, "InvalidData"),
    ("/predict", {"rows": [{}]}, {}, None, 422, "InvalidData"),
    ("/predict", {"rows": [GOOD] * 101}, {}, None, 422, "InvalidData"),
    ("/predict", {"rows": [GOOD]}, {"Content-Type": "text/plain"}, None, 415, "UnsupportedMediaType"),
    ("/predict", {"rows": [GOOD]}, {"X-Request-ID": "x" * 300}, None, 422, "InvalidData"),
    ("/predict", b" " * (2 << 20), {}, None, 413, "TooLarge"),
    ("/predict", None, {}, "GET", 405, "MethodNotAllowed"),
    ("/", {}, {}, "DELETE", 405, "MethodNotAllowed"),
    ("/nothing", None, {}, None, 404, "NotFound"),
    ("/predict/", {"rows": [GOOD]}, {}, None, 404, "NotFound"),
]


@pytest.mark.parametrize(("path", "body", "headers", "method", "status", "kind"), BAD)
def test_bad_requests_get_a_sentence(
    url: str, path: str, body: Any, headers: dict[str, str], method: str | None, status: int, kind: str
) -> None:
    answer = ask(f"{url}{path}", body, headers=headers, method=method)
    assert (answer.status, answer.json["error"]) == (status, kind)
    assert set(answer.json) == {"error", "message", "next_step"}
    assert answer.json["message"].endswith((".", "?"))
    assert "Traceback" not in answer.body.decode()
    assert ask(f"{url}/health/ready").status == 200


def test_metadata(url: str, classifier_folder: Path) -> None:
    body = ask(url).json
    assert (body["name"], body["version"], body["task"], body["role"]) == (
        "flights",
        "3",
        "classification",
        "champion",
    )
    assert [i["name"] for i in body["inputs"]] == [f.name for f in model_folders.INPUTS]
    assert body["classes"] == ["late", "on time"]
    assert body["digest"] == json.loads((classifier_folder / "workbench.json").read_text())["sha256"]
    assert (body["sample_rows_that_differ"], body["logged"]) == (0, True)


def test_health(url: str) -> None:
    assert ask(f"{url}/health/live").json == {"status": "live"}
    assert ask(f"{url}/health/ready").json["status"] == "ready"


def test_metrics(url: str) -> None:
    def figure(name: str, **labels: str) -> float:
        text = ask(f"{url}/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rpartition(" ")[2])
        return 0.0

    before = figure("mlops_requests_total", path="/predict", code="200", version="3")
    rows = figure("mlops_predictions_total")
    ask(f"{url}/predict", {"rows": [GOOD] * 7})
    ask(f"{url}/predict", {"rows": []})
    ask(f"{url}/wp-login.php")
    assert figure("mlops_requests_total", path="/predict", code="200", version="3") == before + 1
    assert figure("mlops_requests_total", path="/predict", code="422") >= 1
    assert figure("mlops_requests_total", path="other", code="404") >= 1
    assert figure("mlops_predictions_total") == rows + 7
    assert figure("mlops_request_seconds_count", path="/predict", model="flights") >= 2
    assert figure("mlops_batch_rows_count") >= 1
    text = ask(f"{url}/metrics").body.decode()
    assert 'mlops_queue_rows{model="flights",version="3"} 0.0' in text
    assert "process_resident_memory_bytes" in text
    assert "wp-login" not in text


def test_openapi_describes_rows_and_answers(url: str) -> None:
    described = ask(f"{url}/openapi.json").json
    assert set(described["paths"]) == {"/", "/predict", "/health/live", "/health/ready", "/metrics"}
    parts = described["components"]["schemas"]
    assert set(parts["Row"]["properties"]) == set(GOOD)
    example = parts["PredictRequest"]["examples"][0]
    assert ask(f"{url}/predict", example).status == 200
    answers = described["paths"]["/predict"]["post"]["responses"]
    assert {int(code) for code in answers} - {200} <= set(STATUS.values())
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert references <= set(parts)


def test_docs_load_nothing_from_elsewhere(url: str) -> None:
    page = ask(f"{url}/docs")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    assert len(page.body) < 10_000
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_many_callers_at_once(url: str) -> None:
    rows = model_folders.rows_of(model_folders.flights(64, seed=11))
    alone = ask(f"{url}/predict", {"rows": rows}).json["predictions"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: ask(f"{url}/predict", {"rows": [row]}).json, rows))
    assert [a["predictions"][0] for a in answers] == alone
    assert len({a["request_id"] for a in answers}) == 64


def test_not_ready_when_the_log_cannot_be_written(classifier_folder: Path, tmp_path: Path) -> None:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    log = PredictionLog(f"sqlite:///{tmp_path}/i.db", plane.manifest, "flights")
    with served(create_app(plane, log)) as url, closing(sqlite3.connect(tmp_path / "i.db")) as other:
        other.execute("ALTER TABLE predictions_flights RENAME COLUMN role TO part")
        other.commit()
        refused = ask(f"{url}/health/ready")
        assert (refused.status, refused.json["error"]) == (503, "NotReady")
        assert ask(f"{url}/health/live").status == 200
        answer = ask(f"{url}/predict", {"rows": [GOOD]})
        assert (answer.status, answer.json["error"]) == (503, "LogUnavailable")
        assert answer.headers["retry-after"] == "1"


class _NanModel:
    n_features_in_ = 1

    def predict(self, rows: Any) -> Any:
        if rows[0][0] == 13:
            raise RuntimeError("secret of a row")
        return rows[:, 0] * float("nan")


def test_nan_answers_are_null_and_failures_tell_nothing(regressor_folder: Path, caplog: Any) -> None:
    manifest = DataPlane.load(regressor_folder, name="n", version="1").manifest
    values = manifest.to_dict() | {"inputs": (model_folders.INPUTS[0],), "sample": (), "expected": ()}
    fake = type(manifest)(**values)
    plane = DataPlane(fake, name="n", version="1", original=Original(_NanModel(), fake))
    with served(create_app(plane)) as url:
        assert ask(f"{url}/predict", {"rows": [{"dep delay": 1}]}).json["predictions"] == [None]
        failed = ask(f"{url}/predict", {"rows": [{"dep delay": 13}]})
    assert (failed.status, failed.json["error"]) == (500, "ServingFailed")
    assert "secret" not in failed.body.decode()
    assert "secret" not in caplog.text
