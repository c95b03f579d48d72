"""Models of other MLflow flavours: registered, judged, served by a process, and refused when a byte is another."""

from __future__ import annotations

import gc
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import flavoured
import mlflow.pyfunc
import numpy as np
import pandas as pd
import projects
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from serving_kit import ask, served

from mlops_workbench.base.errors import GateFailed, InvalidData, InvalidModel, MlopsError, NotFound
from mlops_workbench.manifest import Digests, Manifest, tree_sha256
from mlops_workbench.registry.gate_report import GateReport
from mlops_workbench.serving import pyfunc
from mlops_workbench.serving.app import create_app
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.pyfunc import values_of
from mlops_workbench.workbench import Workbench

pytestmark = [
    # MLflow says so when a PythonModel is defined: its own advice, in the person's own cell
    pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict` method"),
    pytest.mark.filterwarnings("ignore:.*Hint. Inferred schema contains integer column"),
]

TEXTS = flavoured.reports()[["report", "wind", "label"]]
NUMBERS = flavoured.reports()[["hour", "wind", "gap", "delay"]]


def folder_of(workbench: Workbench, name: str, version: int = 1) -> Path:
    return workbench.tracking.folder(workbench.tracking.version(name, version))


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records", double_precision=15))


@pytest.mark.slow
def test_a_python_model_goes_all_the_way(workbench: Workbench) -> None:
    made = flavoured.run(workbench, flavoured.WORDS, "words", TEXTS, "label")
    workbench.namespace = made
    version = workbench.register("words", name="reports")
    assert (version.task, version.target) == ("classification", "label")
    assert version.path == "original path: it is served through MLflow's pyfunc (python_function)"
    manifest = Manifest.load(folder_of(workbench, "reports"))
    assert manifest.serialization == "pyfunc"
    assert manifest.columns == ["report", "wind"]
    assert manifest.classes == ("late", "on time")
    assert {"mlflow-skinny", "numpy", "cloudpickle"} <= {r.partition("==")[0] for r in manifest.requirements}
    assert "mlflow" not in {r.partition("==")[0] for r in manifest.requirements}

    report = workbench.gate("reports", version=1, first=True)
    assert isinstance(report, GateReport)
    assert report.metric == "balanced_accuracy"  # without probabilities there is no ROC AUC
    assert report.metrics["accuracy"] > 0.9
    workbench.promote("reports", version=1, why="its first")
    assert "pyfunc" in workbench.lineage("reports").text()
    assert "pyfunc" in workbench.card("reports").markdown
    assert workbench.models().models[0].path == version.path

    asked = flavoured.reports(40, seed=3)[["report", "wind"]]
    wanted = made["words"].predict(None, asked).tolist()
    live = workbench.serve("reports", kind="process")
    try:
        url = str(live.deployment.url)
        answer = ask(f"{url}/predict", {"rows": rows_of(asked)}).json
        assert answer["predictions"] == wanted
        assert (answer["probabilities"], answer["classes"]) == (None, None)
        host, port = url.removeprefix("http://").split(":")
        client = ScoringServerClient(host, port)
        assert client.invoke(asked).get_predictions()[0].tolist() == wanted
        tensors = [
            {"name": "report", "datatype": "BYTES", "shape": [40], "data": rows_of(asked)},
            {"name": "wind", "datatype": "FP64", "shape": [40], "data": asked["wind"].tolist()},
        ]
        tensors[0]["data"] = [r["report"] for r in rows_of(asked)]
        tensor = ask(f"{url}/v2/models/reports/infer", {"inputs": tensors}).json["outputs"][0]
        assert (tensor["datatype"], tensor["data"]) == ("BYTES", wanted)
        assert workbench.predict("reports", asked).frame["prediction"].tolist() == wanted
        assert workbench.drift("reports").current_rows == 160
        with closing(sqlite3.connect(workbench.project.state / "inference" / "inference.db")) as log:
            kept = log.execute("SELECT prediction FROM predictions_reports ORDER BY at, row_index LIMIT 40")
            assert [value for (value,) in kept] == wanted
    finally:
        workbench.stop("reports")
    # the process worked in this folder, and left nothing there
    assert tree_sha256(folder_of(workbench, "reports")) == version.digest
    with pytest.raises(MlopsError, match="through MLflow's pyfunc"):
        workbench.reproduce("reports")


@pytest.mark.parametrize("how", ["object", "loaded", "run", "run by name", "logged", "folder"])
def test_a_booster_answers_as_in_the_notebook(workbench: Workbench, how: str, tmp_path: Path) -> None:
    made = flavoured.run(workbench, flavoured.BOOSTER, "boosted", NUMBERS, "delay")
    run = workbench.tracking.run("boosted")
    loaded = mlflow.pyfunc.load_model(made["info"].model_uri)
    made |= {"loaded": loaded, "train": NUMBERS}
    workbench.namespace = made
    shutil.copytree(mlflow.artifacts.download_artifacts(made["info"].model_uri), tmp_path / "kept")
    model = {
        "object": "booster",
        "loaded": "loaded",
        "run": f"runs:/{run.id}/model",
        "run by name": "runs:/boosted/model",
        "logged": made["info"].model_uri,
        "folder": str(tmp_path / "kept"),
    }[how]
    said = {"data": "train", "target": "delay"} if how == "folder" else {}
    version = workbench.register(model, name="delays", **said)
    assert version.run_id == ("" if how == "folder" else run.id)
    assert version.path == "original path: it is served through MLflow's pyfunc (lightgbm)"
    asked = flavoured.reports(50, seed=3)
    folder = folder_of(workbench, "delays")
    plane = DataPlane.load(folder, name="delays", version="1", digests=Digests(version.digest))
    found = plane.predict([{k: r[k] for k in ("hour", "wind", "gap")} for r in rows_of(asked)])
    assert found.values == loaded.predict(asked[["hour", "wind", "gap"]]).tolist()
    assert (plane.path, plane.warm().differing) == ("original", 0)
    if how == "run":
        hour = plane.manifest.inputs[0]
        assert (hour.name, hour.kind, hour.nullable) == ("hour", "long", False)
        assert plane.manifest.extra["dtypes"] == {"hour": "int64"}
        report = workbench.gate("delays", version=1, first=True)
        assert isinstance(report, GateReport)
        assert report.metrics["r2"] > 0.5
    # MLflow itself loads the version, and what it notes beside it is no change of the model
    assert mlflow.pyfunc.load_model("models:/delays/1").predict(asked[["hour", "wind", "gap"]]).tolist() == (
        found.values
    )
    assert (folder / "registered_model_meta").is_file()
    DataPlane.load(folder, name="delays", version="1", digests=Digests(version.digest))


def test_a_logged_scikit_learn_model_gets_the_fast_path(workbench: Workbench) -> None:
    workbench.namespace = flavoured.run(workbench, flavoured.LOGGED, "logged", projects.trips(), "late")
    version = workbench.register("runs:/logged/model", name="trips")
    assert version.path.startswith("fast path: proven on ")
    assert Manifest.load(folder_of(workbench, "trips")).serialization == "skops"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version whose model brings a module along."""
    place = tmp_path_factory.mktemp("kept")
    (place / "brought.py").write_text("FACTOR = 2.0\n")
    workbench = projects.project(tmp_path_factory.mktemp("template"), place / "project", "p")
    mlflow.pyfunc.save_model(
        place / "saved",
        python_model=flavoured.defined(flavoured.DOUBLED, "Doubled")(),
        code_paths=[str(place / "brought.py")],
        pip_requirements=["pandas"],
    )
    workbench.namespace = {"train": NUMBERS}
    version = workbench.register(str(place / "saved"), name="doubled", data="train", target="delay")
    folder = folder_of(workbench, "doubled")
    workbench.close()
    return folder, version.digest


def test_modules_that_come_along(kept: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = kept
    assert (folder / "code" / "brought.py").is_file()
    plane = DataPlane.load(folder, name="doubled", version="1", digests=Digests(digest))
    row = {"hour": 1, "wind": 4.0, "gap": None}
    assert plane.predict([row]).values == [8.0]
    # another model with a module of the same name
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "code" / "brought.py").write_text("FACTOR = 3.0\n")
    manifest = Manifest.load(other)
    data = manifest.to_dict() | {"sha256": tree_sha256(other)}
    (other / "workbench.json").write_text(json.dumps(data))
    assert DataPlane.load(other, name="doubled", version="2").predict([row]).values == [12.0]
    assert tree_sha256(folder) == digest


CHANGES = {
    "a byte of the model": lambda f: (f / "python_model.pkl").write_bytes(
        (f / "python_model.pkl").read_bytes() + b"!"
    ),
    "a module": lambda f: (f / "code" / "brought.py").write_text("FACTOR = 2.5\n"),
    "one more file": lambda f: (f / "code" / "sitecustomize.py").write_text("x = 1\n"),
    "a file less": lambda f: (f / "conda.yaml").unlink(),
    "a file with another name": lambda f: (f / "conda.yaml").rename(f / "conda2.yaml"),
    "a link": lambda f: (
        (f / "conda.yaml").rename(f.parent / "c") and (f / "conda.yaml").symlink_to(f.parent / "c")
    ),
    "a linked folder": lambda f: (f / "more").symlink_to(f.parent),
    "where it says what is loaded": lambda f: (f / "MLmodel").write_text(
        (f / "MLmodel").read_text().replace("python_model.pkl", "conda.yaml")
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_folder_that_is_not_the_registered_one_is_refused(
    kept: tuple[Path, str], tmp_path: Path, change: Any
) -> None:
    folder, digest = kept
    shutil.copytree(folder, tmp_path / "model")
    DataPlane.load(tmp_path / "model", name="d", version="1", digests=Digests(digest))
    change(tmp_path / "model")
    with pytest.raises(ModelRefused, match="is not the model that was registered"):
        DataPlane.load(tmp_path / "model", name="d", version="1", digests=Digests(digest))


def test_what_is_swapped_in_after_the_hash_is_not_loaded(
    kept: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the digest and MLflow's own reading lie seconds of imports; a moment later its modules are read again."""
    folder, digest = kept
    there = tmp_path / "model"
    shutil.copytree(folder, there)
    real = pyfunc.opened
    opened: list[Path] = []

    def slow(place: Path) -> Any:
        (there / "code" / "brought.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nFACTOR = 9.0\n")
        opened.append(place)
        return real(place)

    monkeypatch.setattr(pyfunc, "opened", slow)
    plane = DataPlane.load(there, name="doubled", version="1", digests=Digests(digest))
    assert plane.predict([{"hour": 1, "wind": 4.0, "gap": None}]).values == [8.0]
    assert not (tmp_path / "ran").exists()
    (place,) = opened
    assert place.stat().st_mode & 0o777 == 0o700
    del plane
    gc.collect()
    assert not place.exists()  # as long as the model is there, and no longer


@pytest.mark.both_stores
@pytest.mark.parametrize(
    ("what", "task", "value"),
    [
        ("table", "other", {"low": 6.0, "high": 8.0, "what": "x"}),
        ("array", "other", [7.0, -7.0]),
        ("column", "regression", 7.0),
    ],
)
def test_what_several_columns_answer(workbench: Workbench, what: str, task: str, value: Any) -> None:
    workbench.namespace = {"train": NUMBERS, "model": flavoured.many(what)}
    version = workbench.register("model", name="many", data="train", evaluate="train", target="delay")
    assert version.task == task
    plane = DataPlane.load(folder_of(workbench, "many"), name="many", version="1")
    plane.warm()
    url = f"sqlite:///{workbench.project.state}/many.db"
    log = PredictionLog(url, plane.manifest, "many")
    row = {"hour": 1, "wind": 7.0, "gap": 0.5}
    with served(create_app(plane, log)) as address:
        for _ in range(2):  # the second time from the log
            answer = ask(f"{address}/predict", {"rows": [row], "request_id": "once"})
            assert answer.json["predictions"] == [value]
        assert ask(f"{address}/invocations", {"dataframe_records": [row]}).json == {"predictions": [value]}
        inputs = [{"name": k, "datatype": "FP64", "shape": [1], "data": [v]} for k, v in row.items()]
        output = ask(f"{address}/v2/models/many/infer", {"inputs": inputs}).json["outputs"][0]
        if what == "table":
            assert (output["datatype"], json.loads(output["data"][0])) == ("BYTES", value)
        else:
            assert output["data"] == (value if what == "array" else [value])
            assert output["shape"] == ([1, 2] if what == "array" else [1])
        assert ask(f"{address}/openapi.json").status == 200
    if task == "other":
        with pytest.raises(GateFailed, match="neither a label nor a number"):
            workbench.gate("many", version=1, first=True)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("neighbours", "answers a row otherwise when it is asked alone"),
        ("short", "The model answered 4 values for 5 rows"),
        ("nothing", "cannot predict its own data: RuntimeError: no answer"),
    ],
)
def test_what_cannot_be_served_registers_nothing(workbench: Workbench, what: str, said: str) -> None:
    workbench.namespace = {"train": NUMBERS, "model": flavoured.many(what)}
    with pytest.raises(InvalidModel, match=said):
        workbench.register("model", name="many", data="train", target="delay")
    assert workbench.tracking.model_names() == []


def test_columns_have_the_types_of_the_notebook_whoever_asks_beside(workbench: Workbench) -> None:
    workbench.namespace = {"train": NUMBERS, "model": flavoured.many("types")}
    workbench.register("model", name="many", data="train", target="delay")
    plane = DataPlane.load(folder_of(workbench, "many"), name="many", version="1")
    rows = [{"hour": hour, "wind": 1.0, "gap": None} for hour in (1, None, 2.0, 2.5)]
    assert plane.predict(rows).values == ["int64", "float64", "int64", "float64"]


def test_a_signature_says_what_comes_in(workbench: Workbench, tmp_path: Path) -> None:
    def saved(name: str, schema: Schema) -> str:
        mlflow.pyfunc.save_model(
            tmp_path / name,
            python_model=flavoured.many("types"),
            signature=ModelSignature(schema),
            pip_requirements=["pandas"],
        )
        return str(tmp_path / name)

    workbench.namespace = {"train": NUMBERS, "numbers": NUMBERS[["hour", "wind", "delay"]]}
    columns = [ColSpec(DataType.integer, "hour"), ColSpec(DataType.float, "wind")]
    workbench.register(saved("narrow", Schema(columns)), name="a", data="train", target="delay")
    manifest = Manifest.load(folder_of(workbench, "a"))
    assert [(f.name, f.kind, f.nullable) for f in manifest.inputs] == [
        ("hour", "long", False),
        ("wind", "double", True),
    ]
    plane = DataPlane.load(folder_of(workbench, "a"), name="a", version="1")
    assert plane.predict([{"hour": 3, "wind": 2.0}]).values == ["int32"]

    odd = Schema([ColSpec(DataType.binary, "hour"), ColSpec(DataType.float, "wind")])
    with pytest.raises(InvalidModel, match="The input 'hour' of the model's signature is"):
        workbench.register(saved("odd", odd), name="a", data="train", target="delay")
    other = Schema([ColSpec(DataType.double, "winds")])
    with pytest.raises(InvalidData, match="has no column 'winds', which the model's signature names"):
        workbench.register(saved("other", other), name="a", data="train", target="delay")
    picture = Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28))])
    with pytest.raises(InvalidModel, match=r"is a tensor \(-1, 28, 28\)"):
        workbench.register(saved("picture", picture), name="a", data="train", target="delay")
    wide = Schema([TensorSpec(np.dtype("float32"), (-1, 5))])
    with pytest.raises(InvalidData, match="has 5 columns without names, 'train' has 3"):
        workbench.register(saved("wide", wide), name="a", data="train", target="delay")


def test_addresses_of_nothing(workbench: Workbench, tmp_path: Path) -> None:
    made = flavoured.run(workbench, "x = 1", "nothing", NUMBERS, "delay")
    workbench.namespace = made
    for address, said in (
        ("runs:/nobody/model", "There is no run 'nobody'"),
        ("runs:/nothing/model", "There is no model 'runs:/"),
        ("models:/m-00000000000000000000000000000000", "There is no model 'models:/m-"),
        ("models:/nobody/3", "There is no model 'models:/nobody/3'"),
    ):
        with pytest.raises(NotFound, match=said):
            workbench.register(address, name="x", data="train", target="delay")
    workbench.namespace = {"train": NUMBERS, "model": flavoured.many("column")}
    with pytest.raises(InvalidData, match="has no signature, so which of the columns"):
        workbench.register("model", name="x", data="train")
    mlflow.pyfunc.save_model(
        tmp_path / "later", python_model=flavoured.many("column"), pip_requirements=["pandas==99.0"]
    )
    with pytest.raises(InvalidModel, match=r"requires pandas==99.0; .* is installed here"):
        workbench.register(str(tmp_path / "later"), name="x", data="train", target="delay")
    assert workbench.tracking.model_names() == []


def test_values_are_plain() -> None:
    nothing = float("nan")
    assert values_of(np.array([[1.5], [nothing]]), 2) == [1.5, None]
    assert values_of(np.float32(2.0), 1) == [2.0]
    assert values_of(pd.Series(["a", None]), 2) == ["a", None]
    assert values_of({"y": np.array([[1], [2]]), "z": ["a", "b"]}, 2) == [
        {"y": 1, "z": "a"},
        {"y": 2, "z": "b"},
    ]
    assert values_of(pd.DataFrame({"t": [pd.Timestamp("2026-01-02"), pd.NaT], "n": [1, 2]}), 2) == [
        {"t": "2026-01-02T00:00:00", "n": 1},
        {"t": None, "n": 2},
    ]
    assert values_of([np.str_("a"), [np.int64(1), {"k": np.bool_(True)}]], 2) == ["a", [1, {"k": True}]]
    json.dumps(values_of([np.float64(1.0), float("inf")], 2))
    with pytest.raises(RuntimeError, match="3 values for 2 rows"):
        values_of([1, 2, 3], 2)
