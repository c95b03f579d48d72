"""The Open Inference Protocol, asked by tritonclient and by KServe's own client where one is named."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import model_folders
import numpy as np
import pandas as pd
import pytest
from serving_kit import KSERVE, ask, served
from sklearn.linear_model import LinearRegression
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from mlops_workbench.manifest import Field
from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.predlog import PredictionLog

DATATYPES = {
    "dep delay": "FP64",
    "größe": "FP32",
    "seats": "INT32",
    "carrier": "BYTES",
    "night": "BOOL",
    "sched": "BYTES",
}
NUMPY = {"FP64": "float64", "FP32": "float32", "INT32": "int32", "BOOL": "bool"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "inference.db"


@pytest.fixture(scope="module")
def url(classifier_folder: Path, database: Path) -> Iterator[str]:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    log = PredictionLog(f"sqlite:///{database}", plane.manifest, "flights")
    with served(create_app(plane, log, AppOptions(limits=Limits(request_rows=100)))) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with closing(triton.InferenceServerClient(url.removeprefix("http://"))) as client:
        yield client


def inputs(frame: pd.DataFrame, *, binary: bool, narrow: bool = False) -> list[Any]:
    found = []
    for name, datatype in DATATYPES.items():
        if datatype == "BYTES":
            values = frame[name].map(lambda v: "" if pd.isna(v) else str(v)).to_numpy(dtype=object)
        else:
            values = frame[name].to_numpy().astype(NUMPY[datatype])
        tensor = triton.InferInput(name, [len(frame)] if narrow else [len(frame), 1], datatype)
        tensor.set_data_from_numpy(values if narrow else values.reshape(-1, 1), binary_data=binary)
        found.append(tensor)
    return found


def test_triton_asks_about_server_and_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flights")
    assert client.is_model_ready("flights", "3")
    assert not client.is_model_ready("flights", "4")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata("flights", "3")
    assert (described["name"], described["versions"]) == ("flights", ["3"])
    assert {i["name"]: i["datatype"] for i in described["inputs"]} == DATATYPES | {
        "größe": "FP64",
        "seats": "INT64",
    }
    assert described["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ]


@pytest.mark.parametrize("narrow", [True, False])
def test_triton_binary_tensors(client: Any, database: Path, narrow: bool) -> None:
    frame = model_folders.flights(40, seed=3)
    frame["größe"] = frame["größe"].astype("float32").astype("float64")
    model = model_folders.classifier()
    request_id = f"triton-{narrow}"
    answer = client.infer("flights", inputs(frame, binary=True, narrow=narrow), request_id=request_id)
    assert answer.get_response()["id"] == request_id
    assert answer.get_response()["model_version"] == "3"
    labels = [b.decode() for b in answer.as_numpy("predict")]
    assert labels == model.predict(frame).tolist()
    assert answer.as_numpy("predict_proba") == pytest.approx(model.predict_proba(frame))
    with closing(sqlite3.connect(database)) as log:
        query = (
            "SELECT prediction, x_carrier FROM predictions_flights WHERE request_id = ? ORDER BY row_index"
        )
        logged = log.execute(query, (request_id,)).fetchall()
    assert [r[0] for r in logged] == labels
    assert [r[1] for r in logged] == frame["carrier"].where(frame["carrier"].notna(), None).tolist()


def test_triton_json_and_chosen_outputs(client: Any) -> None:
    frame = model_folders.flights(8, seed=4).dropna()  # tritonclient writes no null
    asked = [
        triton.InferRequestedOutput("predict_proba", binary_data=False),
        triton.InferRequestedOutput("predict", binary_data=True),
    ]
    answer = client.infer("flights", inputs(frame, binary=False), outputs=asked, model_version="3")
    assert [o["name"] for o in answer.get_response()["outputs"]] == ["predict_proba", "predict"]
    assert answer.as_numpy("predict_proba").shape == (len(frame), 2)
    assert [b.decode() for b in answer.as_numpy("predict")] == model_folders.classifier().predict(
        frame
    ).tolist()


def test_triton_hears_a_sentence(client: Any) -> None:
    frame = model_folders.flights(3)
    with pytest.raises(
        InferenceServerException, match="There is no model 'flights' version '9' here"
    ) as error:
        client.infer("flights", inputs(frame, binary=True), model_version="9")
    assert error.value.status() == "404"
    with pytest.raises(
        InferenceServerException, match=r"no model 'planes' here\. This is 'flights' version '3'"
    ):
        client.get_model_metadata("planes")
    with pytest.raises(InferenceServerException, match="Row 0 has no 'seats', which must have a value"):
        client.infer("flights", inputs(frame, binary=True)[:1])
    wrong = triton.InferInput("carrier", [1], "FP32")
    wrong.set_data_from_numpy(np.ones(1, dtype="float32"))
    with pytest.raises(InferenceServerException, match=r"'carrier' must be BYTES\. Got FP32 instead"):
        client.infer("flights", [wrong])
    asked = [triton.InferRequestedOutput("predict", class_count=1)]
    with pytest.raises(InferenceServerException, match="'classification' is not offered"):
        client.infer("flights", inputs(frame, binary=True), outputs=asked)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models") / "numbers"
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 5.0]})
    fields = (Field("a", "double", nullable=False), Field("b", "double", nullable=False))
    model = LinearRegression().fit(frame, [1.0, 4.0, 13.0])
    model_folders.save(folder, model, name="numbers", task="regression", inputs=fields, sample=frame)
    plane = DataPlane.load(folder, name="numbers", version="1")
    with served(create_app(plane)) as url:
        yield url


def test_one_tensor_for_all_columns(numbers: str) -> None:
    with closing(triton.InferenceServerClient(numbers.removeprefix("http://"))) as client:
        rows = np.array([[2.0, 3.0], [4.0, 5.0]], dtype="float32")
        tensor = triton.InferInput("input-0", [2, 2], "FP32")
        tensor.set_data_from_numpy(rows)
        answer = client.infer("numbers", [tensor])
    assert answer.as_numpy("predict") == pytest.approx([8.0, 14.0])
    nested = {"name": "x", "shape": [2, 2], "datatype": "INT8", "data": [[2, 3], [4, 5]]}
    flat = nested | {"data": [2, 3, 4, 5], "parameters": {"content_type": "np"}}
    for tensor in (nested, flat):
        said = ask(f"{numbers}/v2/models/numbers/infer", {"inputs": [tensor]}).json
        assert said["outputs"] == [
            {"name": "predict", "datatype": "FP64", "shape": [2], "data": pytest.approx([8.0, 14.0])}
        ]


GOOD = {"name": "seats", "shape": [1], "datatype": "INT64", "data": [100]}
BAD: list[tuple[Any, str]] = [
    ([], "The body must be an object"),
    ({}, "must have 'inputs'"),
    ({"inputs": [1]}, "An input must be an object"),
    ({"inputs": [GOOD | {"name": 3}]}, "must have a 'name'"),
    ({"inputs": [GOOD | {"datatype": "BF16"}]}, "The datatype of 'seats' must be"),
    ({"inputs": [GOOD | {"shape": [-1]}]}, "must be a list of whole numbers"),
    ({"inputs": [GOOD | {"shape": [10**30]}]}, "must be a list of whole numbers"),
    ({"inputs": [GOOD | {"shape": [2]}]}, "'seats' has 1 values; its shape [2] means 2"),
    ({"inputs": [GOOD | {"shape": [1, 1, 1]}]}, "must have the shape [n] or [n, 1]"),
    ({"inputs": [GOOD | {"data": "x"}]}, "must have 'data', a list"),
    ({"inputs": [GOOD | {"data": [{}]}]}, "Row 0: the column 'seats' must be a whole number"),
    ({"inputs": [GOOD, GOOD]}, "An input is there twice"),
    ({"inputs": [GOOD] * 7}, "has 7 inputs; the model takes 6"),
    ({"inputs": [GOOD, {**GOOD, "name": "größe", "shape": [2], "data": [1, 2]}]}, "must have one length"),
    ({"inputs": [GOOD | {"name": "sehts"}]}, "has the column 'sehts', which this model does not take"),
    ({"inputs": [GOOD | {"parameters": {"binary_data_size": 8}}]}, "has 8 bytes of binary data; 0 were sent"),
    ({"inputs": [GOOD | {"parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
    ({"inputs": [GOOD | {"name": "all", "shape": [1, 1]}]}, "takes INT64 only"),
    ({"inputs": [GOOD], "id": 7}, "must be a text"),
]


@pytest.mark.parametrize(("body", "says"), BAD)
def test_bad_tensors_get_a_sentence(url: str, body: Any, says: str) -> None:
    answer = ask(f"{url}/v2/models/flights/infer", body)
    assert answer.status == 422
    assert set(answer.json) == {"error"}
    assert says in answer.json["error"]


def test_bad_binary_gets_a_sentence(url: str) -> None:
    def said(tensor: dict[str, Any], binary: bytes, length: str | None = None) -> Any:
        head = json.dumps({"inputs": [tensor]}).encode()
        headers = {"Inference-Header-Content-Length": length or str(len(head))}
        kind = {"Content-Type": "application/octet-stream"}
        answer = ask(f"{url}/v2/models/flights/infer", head + binary, headers=headers | kind)
        assert answer.status in (400, 422)
        return answer.json["error"]

    def of(name: str, datatype: str, size: int) -> dict[str, Any]:
        return {"name": name, "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}

    assert "is no whole number of INT64" in said(of("seats", "INT64", 7), b"1234567")
    assert "belong to no input" in said(of("seats", "INT64", 8), b"123456789")
    assert "in the middle of a text" in said(of("carrier", "BYTES", 8), b"\xff\xff\xff\xffABCD")
    assert "not UTF-8" in said(of("carrier", "BYTES", 5), b"\x01\x00\x00\x00\xff")
    assert "length of the JSON" in said(of("seats", "INT64", 8), b"12345678", "99999")
    assert "length of the JSON" in said(of("seats", "INT64", 8), b"12345678", "-1")
    assert "not JSON" in said(of("seats", "INT64", 8), b"12345678", "3")


# What kserve 0.21's InferenceRESTClient sends for an InferRequest, with binary data and without.
WIRE = {
    "id": "kserve-1",
    "inputs": [
        {"name": "seats", "shape": [2], "datatype": "INT64", "data": [100, 150]},
        {"name": "night", "shape": [2], "datatype": "BOOL", "data": [True, False]},
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "UA"]},
        {"name": "dep delay", "shape": [2], "datatype": "FP64", "data": [None, 3.0]},
    ],
}


def test_kserve_on_the_wire(url: str) -> None:
    assert ask(f"{url}/v2/health/live").json == {"live": True}
    assert ask(f"{url}/v2/health/ready").json == {"ready": True}
    said = ask(f"{url}/v2/models/flights/infer", WIRE).json
    assert (said["model_name"], said["id"]) == ("flights", "kserve-1")
    assert [o["name"] for o in said["outputs"]] == ["predict", "predict_proba"]
    assert all({"shape", "datatype", "data"} <= set(o) for o in said["outputs"])


_KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def main(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "flights")
    answers = []
    for binary in (True, False):
        inputs = []
        for name, datatype, values in (
            ("seats", "INT64", np.array([100, 150])),
            ("night", "BOOL", np.array([True, False])),
            ("carrier", "BYTES", np.array(["AA", "UA"], dtype=object)),
            ("dep delay", "FP64", np.array([50.0, 3.0])),
        ):
            tensor = InferInput(name, [2], datatype)
            tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(tensor)
        request = InferRequest("flights", inputs, request_id=f"k{binary}")
        answer = await client.infer(url, request, model_name="flights")
        answers.append({o.name: o.as_numpy().tolist() for o in answer.outputs})
    await client.close()
    print(json.dumps(answers))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.kserve
def test_kserve_itself(url: str) -> None:
    done = subprocess.run(
        [str(KSERVE), "-c", _KSERVE, url], capture_output=True, text=True, check=True, timeout=120, env={}
    )
    binary, plain = json.loads(done.stdout.splitlines()[-1])
    assert binary == plain
    assert binary["predict"] == ["late", "on time"]
    assert np.sum(binary["predict_proba"], axis=1) == pytest.approx([1.0, 1.0])
