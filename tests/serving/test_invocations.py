"""MLflow's scoring client, SageMaker's and Vertex AI's requests, against one served application."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import model_folders
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from serving_kit import ask, free_port, process, served, wait_ready

from mlops_workbench import __version__
from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.protocols.vertex import VertexRoutes

VERTEX = VertexRoutes("/v1/endpoints/7/deployedModels/9:predict", "/v1/endpoints/7/deployedModels/9")
MODEL = model_folders.classifier()
FRAME = model_folders.flights(20, seed=5)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "inference.db"


@pytest.fixture(scope="module")
def url(classifier_folder: Path, database: Path) -> Iterator[str]:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    log = PredictionLog(f"sqlite:///{database}", plane.manifest, "flights")
    limits = Limits(request_rows=100, body_bytes=1 << 20)
    with served(create_app(plane, log, AppOptions(limits=limits, vertex_routes=VERTEX))) as url:
        yield url


def test_mlflows_own_client(url: str, database: Path) -> None:
    host, port = url.removeprefix("http://").split(":")
    client = ScoringServerClient(host, port)
    client.wait_server_ready()
    assert client.get_version() == __version__
    # gaps among them: this client writes them as NaN
    assert FRAME["dep delay"].isna().any()
    answer = client.invoke(FRAME)
    assert answer.get_predictions()[0].tolist() == MODEL.predict(FRAME).tolist()
    chances = client.invoke(FRAME.dropna(), params={"probabilities": True})
    assert chances.get_predictions().to_numpy() == pytest.approx(MODEL.predict_proba(FRAME.dropna()))
    with closing(sqlite3.connect(database)) as log:
        assert log.execute("SELECT count(*) FROM predictions_flights").fetchone()[0] == 20 + len(
            FRAME.dropna()
        )
    with pytest.raises(Exception, match="the column 'delay', which this model does not take"):
        client.invoke(FRAME.rename(columns={"dep delay": "delay"}))


ROWS = model_folders.rows_of(FRAME)
SPLIT = {"columns": [*FRAME.columns], "data": [[*row.values()] for row in ROWS]}
FORMS: list[dict[str, Any]] = [
    {"dataframe_split": SPLIT},
    {"dataframe_split": SPLIT | {"index": list(range(20))}},
    {"dataframe_records": ROWS},
    {"instances": ROWS},
    {"instances": SPLIT["data"]},
    {"inputs": {name: [row[name] for row in ROWS] for name in FRAME.columns}},
    {"inputs": {name: [[row[name]] for row in ROWS] for name in FRAME.columns}},
    {"inputs": SPLIT["data"]},
    {"inputs": ROWS, "params": {}},
]


@pytest.mark.parametrize("body", FORMS)
def test_every_json_form(url: str, body: dict[str, Any]) -> None:
    answer = ask(f"{url}/invocations", body, headers={"X-Request-ID": "one-id"})
    assert answer.status == 200
    assert answer.json == {"predictions": MODEL.predict(FRAME).tolist()}
    assert answer.headers["x-request-id"] == "one-id"  # the same rows each time: the same answer


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", "text/csv; header=absent"])
def test_csv(url: str, kind: str) -> None:
    text = FRAME.to_csv(index=False, header="absent" not in kind).encode()
    answer = ask(f"{url}/invocations", text, headers={"Content-Type": kind})
    assert answer.json == {"predictions": MODEL.predict(FRAME).tolist()}


@pytest.mark.parametrize("kind", ["application/x-parquet", "application/vnd.apache.parquet"])
@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", None])
def test_parquet(url: str, kind: str, compression: str | None) -> None:
    file = io.BytesIO()
    FRAME.astype({"carrier": "category"}).to_parquet(file, compression=compression, index=False)
    answer = ask(f"{url}/invocations", file.getvalue(), headers={"Content-Type": kind})
    assert answer.json == {"predictions": MODEL.predict(FRAME).tolist()}


def test_ping_is_readiness(url: str) -> None:
    assert ask(f"{url}/ping").status == 200
    assert ask(f"{url}{VERTEX.health}").status == 200


def test_vertex(url: str) -> None:
    predict = f"{url}{VERTEX.predict}"
    # https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
    assert ask(predict, {"instances": ROWS}).json == {"predictions": MODEL.predict(FRAME).tolist()}
    assert (
        ask(predict, {"instances": SPLIT["data"][:2]}).json["predictions"]
        == MODEL.predict(FRAME)[:2].tolist()
    )
    chances = ask(predict, {"instances": ROWS, "parameters": {"probabilities": True}}).json["predictions"]
    assert chances == [pytest.approx(row) for row in MODEL.predict_proba(FRAME).tolist()]
    assert "must have 'instances'" in ask(predict, {"rows": ROWS}).json["message"]
    assert "only parameter known" in ask(predict, {"instances": ROWS, "parameters": {"x": 1}}).json["message"]


def test_the_route_that_vertex_asks_for_counts_first(classifier_folder: Path) -> None:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    with served(
        create_app(plane, options=AppOptions(vertex_routes=VertexRoutes("/predict", "/health")))
    ) as url:
        assert ask(f"{url}/health").status == 200
        assert len(ask(f"{url}/predict", {"instances": ROWS}).json["predictions"]) == 20


@pytest.mark.parametrize(
    "env",
    [
        {"AIP_PREDICT_ROUTE": "predict"},
        {"AIP_PREDICT_ROUTE": "/{x}"},
        {"AIP_PREDICT_ROUTE": "/a", "AIP_HEALTH_ROUTE": "/a"},
    ],
)
def test_routes_that_are_no_paths_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(ModelRefused, match="AIP_PREDICT_ROUTE"):
        VertexRoutes.from_env(env)


CSV, PARQUET = "text/csv", "application/x-parquet"
BAD: list[tuple[Any, str, int, str]] = [
    ({}, "application/json", 422, "exactly one of dataframe_split"),
    ({"instances": [], "inputs": []}, "application/json", 422, "exactly one of"),
    ({"dataframe_split": 3}, "application/json", 422, "'dataframe_split' must be"),
    ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "application/json", 422, "there twice"),
    (
        {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
        "application/json",
        422,
        "2 values for 1 col",
    ),
    ({"dataframe_records": {}}, "application/json", 422, "must be a list of rows"),
    ({"instances": [1]}, "application/json", 422, "Row 0 has 1 values for 6 columns"),
    ({"instances": []}, "application/json", 422, "at least one row"),
    ({"inputs": {"seats": [1], "night": [True, True]}}, "application/json", 422, "must have one length"),
    ({"instances": ROWS, "params": {"probabilities": 1}}, "application/json", 422, "true or false"),
    ({"instances": ROWS * 6}, "application/json", 422, "more than 100 rows"),
    (b'{"instances": [{"seats": Infinity, "night": true}]}', "application/json", 422, "a whole number"),
    (b'{"instances": ', "application/json", 400, "not JSON"),
    (b"[" * 100_000, "application/json", 400, "not JSON"),
    (b'{"instances": ' + b"[" * 150 + b"]" * 150 + b"}", "application/json", 422, "Row 0 has 1 values"),
    (b"seats,seats\n1,2\n", CSV, 422, "there twice"),
    (b"seats,night\n1\n", CSV, 422, "Line 2 has 1 cells for 2 columns"),
    (b"seats,night\nfour,true\n", CSV, 422, "'seats' must be a whole number"),
    (b"seats,night\n" + b"9" * 5000 + b",true\n", CSV, 422, "'seats' must be a whole number"),
    (b"seats,night\n\xff,true\n", CSV, 422, "not UTF-8"),
    (b'seats,night\n"1,true\n', CSV, 422, "cannot be read"),
    (b"seats,night\n" + b"x" * 200_000 + b",true\n", CSV, 422, "cannot be read"),
    (b"", CSV, 422, "at least one row"),
    (b"", PARQUET, 422, "not Parquet"),
    (b"PAR1" + b"\xff" * 100 + b"PAR1", PARQUET, 422, "cannot be read"),
    (b"", "application/jsonlines", 415, "must be application/json, text/csv"),
    (b"x" * (2 << 20), CSV, 413, "larger than 1 MB"),
]


@pytest.mark.parametrize(("body", "kind", "status", "says"), BAD)
def test_bad_invocations_get_a_sentence(url: str, body: Any, kind: str, status: int, says: str) -> None:
    answer = ask(f"{url}/invocations", body, headers={"Content-Type": kind})
    assert (answer.status, set(answer.json)) == (status, {"error", "message", "next_step"})
    assert says in answer.json["message"]
    assert ask(f"{url}/ping").status == 200


def test_parquet_that_unpacks_to_much_is_refused(url: str) -> None:
    file = io.BytesIO()
    row = {"carrier": "x" * 3_000_000, "seats": 100, "night": True}
    pd.DataFrame([row] * 2).to_parquet(file, compression="zstd")
    assert len(file.getvalue()) < 100_000
    answer = ask(f"{url}/invocations", file.getvalue(), headers={"Content-Type": PARQUET})
    assert (answer.status, answer.json["error"]) == (413, "TooLarge")


@pytest.mark.slow
def test_ports_of_the_platforms(classifier_folder: Path) -> None:
    for name in ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"):
        port = free_port()
        env = {name: str(port), "AIP_PREDICT_ROUTE": "/p", "AIP_HEALTH_ROUTE": "/h", "PORT": "1"}
        with process(classifier_folder, **env):
            wait_ready(f"http://127.0.0.1:{port}")
            assert ask(f"http://127.0.0.1:{port}/ping").status == 200
            assert ask(f"http://127.0.0.1:{port}/h").status == 200
            assert len(ask(f"http://127.0.0.1:{port}/p", {"instances": ROWS}).json["predictions"]) == 20
            assert json.loads(ask(f"http://127.0.0.1:{port}/v2").body)["name"] == "mlops-workbench"
