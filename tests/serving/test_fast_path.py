"""Which path a version has, why, and that nothing but a proven plan is used."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import fast_models
import model_folders
import numpy as np
import pytest
from serving_kit import ask, free_port, process, served, wait_ready
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures
from sqlalchemy import create_engine, text

from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.fastpath import compiling, proving, summary
from mlops_workbench.rollout import judging
from mlops_workbench.serving.app import create_app
from mlops_workbench.serving.batcher import Batcher, Limits, Pending
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused, ServingError
from mlops_workbench.serving.fast.evaluator import Answered, Evaluator
from mlops_workbench.serving.fast.plan import Plan
from mlops_workbench.serving.metrics import Metrics
from mlops_workbench.serving.original import Original
from mlops_workbench.serving.predlog import PredictionLog


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fast") / "model"
    model, frame = fast_models.fitted(
        make_pipeline(fast_models.prepared(), LogisticRegression(max_iter=500)), 2
    )
    assert fast_models.saved(made, model, 2, frame).extra["fast"]["proven"]
    return made


def double(values: Any) -> Any:
    return values * 2


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            make_pipeline(fast_models.prepared(SimpleImputer()), KNeighborsClassifier()),
            "KNeighborsClassifier is not covered",
        ),
        (
            make_pipeline(fast_models.prepared(), PolynomialFeatures(), LogisticRegression(max_iter=9_999)),
            "PolynomialFeatures is not covered",
        ),
        (
            make_pipeline(
                fast_models.prepared(make_pipeline(SimpleImputer(), FunctionTransformer(np.nan_to_num))),
                LogisticRegression(max_iter=9_999),
            ),
            "the function nan_to_num is not one of NumPy's",
        ),
        (
            make_pipeline(
                fast_models.prepared(
                    hour=make_pipeline(
                        FunctionTransformer(np.rint, feature_names_out="one-to-one"), OneHotEncoder()
                    )
                ),
                LogisticRegression(max_iter=9_999),
            ),
            "numbers are encoded after arithmetic",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
def test_what_is_not_covered_says_why(tmp_path: Path, model: Any, reason: str) -> None:
    fitted, frame = fast_models.fitted(model, 2)
    record = fast_models.saved(tmp_path, fitted, 2, frame).extra["fast"]
    assert not record["proven"]
    assert reason in record["reason"]
    assert summary.sentence(record) == f"original path: {record['reason']}"
    assert not (tmp_path / "fast.json").exists()
    plane = DataPlane.load(tmp_path, name="m", version="1")
    assert plane.path == "original"
    assert plane.warm().differing == 0


def test_a_proof_says_what_was_tried(folder: Path) -> None:
    record = json.loads((folder / "workbench.json").read_text())["extra"]["fast"]
    kinds = {
        "fitted on",
        "missing",
        "unseen categories",
        "whole numbers where floats were",
        "values of different rows",
    }
    assert kinds <= set(record["rows"])
    assert record["rows"]["fitted on"] == 400
    assert record["left"] > 0  # infinities and wrong types
    assert record["difference"] <= record["tolerance"] == 1e-12
    assert summary.sentence(record).startswith("fast path: proven on ")


def test_a_plan_that_differs_is_not_proven(tmp_path: Path) -> None:
    model, frame = fast_models.fitted(make_pipeline(fast_models.prepared(), LinearRegression()), None)
    manifest = model_folders.save(
        tmp_path, model, task="regression", inputs=fast_models.INPUTS, sample=frame.head(4)
    )
    plane = DataPlane.load(tmp_path, name="m", version="1")
    plan = compiling.compiled(model, manifest, plane.frame, tmp_path)
    rows = {"fitted on": model_folders.rows_of(frame)}

    proper = Evaluator(Plan.read(tmp_path, plan.sha256)).answer

    def off(rows: Any) -> Answered:
        answer = proper(rows)
        return Answered([v * (1 + 1e-11) for v in answer.values], None, answer.left)

    def zeros(rows: Any) -> Answered:
        return Answered([0.0] * len(rows), None, [])

    def all_left(rows: Any) -> Answered:
        return Answered([], None, list(range(len(rows))))

    assert proving.proof(plan, manifest, rows, plane.predict, proper).proven
    assert "answers are off by up to" in proving.proof(plan, manifest, rows, plane.predict, off).reason
    assert "that the model refuses" in proving.proof(plan, manifest, rows, plane.predict, zeros).reason
    assert (
        proving.proof(plan, manifest, rows, plane.predict, all_left).reason == "a plan would answer nothing"
    )


def test_labels_may_not_differ_at_all(folder: Path) -> None:
    plane = DataPlane.load(folder, name="m", version="1", fast=False)
    plan = compiling.Compiled("", {"programs": [], "numbers": []}, {})

    def one_wrong(rows: Any) -> Answered:
        answer = proper(rows)
        values = [*answer.values]
        values[3] = "late" if values[3] == "early" else "early"
        return Answered(values, answer.probabilities, answer.left)

    fast = DataPlane.load(folder, name="m", version="1")._fast
    assert fast is not None
    proper = fast.answer
    rows = {"fitted on": model_folders.rows_of(fast_models.frame(50))}
    assert proving.proof(plan, plane.manifest, rows, plane.predict, proper).proven
    found = proving.proof(plan, plane.manifest, rows, plane.predict, one_wrong)
    assert found.reason == "a plan gives another label to 1 rows, the first 'fitted on'"


@pytest.mark.parametrize("name", ["fast.json", "fast.npz"])
def test_a_plan_that_was_changed_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelRefused, match="its SHA-256 differs"):
        DataPlane.load(tmp_path, name="m", version="1")
    assert DataPlane.load(tmp_path, name="m", version="1", fast=False).path == "original"
    (tmp_path / name).unlink()
    with pytest.raises(ModelRefused, match="cannot be read"):
        DataPlane.load(tmp_path, name="m", version="1")


def test_a_changed_model_is_refused_although_nothing_loads_it(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "model.skops").open("ab") as file:
        file.write(b"!")
    with pytest.raises(ModelRefused, match="is not the model that was registered"):
        DataPlane.load(tmp_path, name="m", version="1")


def test_rows_of_both_paths_come_back_in_their_order(folder: Path) -> None:
    rows = model_folders.rows_of(fast_models.frame(30, seed=5))
    rows[4]["wind"] = 1e200  # beyond what the plan takes
    rows[17]["delay"] = "12"
    rows[29]["night"] = 1
    both = DataPlane.load(folder, name="m", version="1")
    alone = DataPlane.load(folder, name="m", version="1", fast=False)
    assert both._fast is not None
    assert both._fast.answer(rows).left == [4, 17, 29]
    found, wanted = both.predict(rows), alone.predict(rows)
    assert found.values == wanted.values
    assert fast_models.same(found.probabilities, wanted.probabilities)


def test_a_sample_that_differs_switches_the_plan_off(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = DataPlane.load(folder, name="m", version="1").manifest
    turned = tuple("late" if v == "early" else "early" for v in manifest.expected)
    replace(manifest, expected=turned).dump(tmp_path)
    plane = DataPlane.load(tmp_path, name="m", version="1")
    assert plane.warm().differing == len(turned)
    assert plane.path == "original"


@pytest.mark.slow
def test_starting_imports_nothing_heavy_and_an_odd_row_loads_the_original(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlops_workbench.serving.settings import Settings, app_from; "
        "from mlops_workbench.serving.dataplane import DataPlane; "
        "plane = DataPlane.load(Path(sys.argv[1]), name='m', version='1'); plane.warm(); "
        "heavy = {'pandas', 'sklearn', 'scipy', 'skops'}; print(sorted(heavy & set(sys.modules))); "
        "plane.predict([{'wind': 1e200, 'delay': 1.0, 'hour': 7.0, 'night': True}]); "
        "print(sorted(heavy & set(sys.modules)), plane.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "['pandas', 'scipy', 'sklearn', 'skops'] fast"]


@pytest.mark.parametrize("how", ["loaded", "refused", "closed"])
def test_others_are_answered_while_the_original_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    real, entered, go = Original.load, Event(), Event()

    def slow(folder: Path, manifest: Manifest, digest: str | None) -> Original:
        entered.set()
        assert go.wait(30)
        if how == "refused":
            raise ModelRefused("The file is gone.")
        return real(folder, manifest, digest)

    monkeypatch.setattr(Original, "load", slow)
    plane = DataPlane.load(folder, name="m", version="1")
    metrics = Metrics(model="m", version="1")
    batcher = Batcher(plane, None, limits=Limits(), metrics=metrics)
    row = {"wind": 1.0, "delay": 1.0, "hour": 7.0, "night": True}
    odd = row | {"wind": 1e200}

    def send(*rows: dict[str, Any]) -> Any:
        return batcher.submit(Pending(uuid.uuid4().hex, list(rows), time.perf_counter(), "champion"))

    sent = [send(*rows) for rows in ([row], [odd, row], [row], [odd])]  # one batch
    batcher.start()
    assert entered.wait(30)
    assert len(sent[0].result(30).prediction.values) == 1
    assert sent[2].result(30)
    sent.append(send(row))
    assert sent[4].result(30)
    assert not sent[1].done()
    assert not sent[3].done()
    assert batcher.waiting_rows == 3
    assert batcher.lag() > 0
    if how == "closed":
        Thread(target=batcher.close).start()
    go.set()
    if how == "refused":
        with pytest.raises(ServingError, match="The model failed on these rows"):
            sent[3].result(30)
    else:
        assert len(sent[1].result(30).prediction.values) == 2
        assert sent[3].result(30)
        if how == "loaded":
            assert send(odd).result(30)
    assert batcher.close(30)
    assert batcher.waiting_rows == 0


@pytest.mark.slow
def test_the_switch(folder: Path) -> None:
    for fast, path in (("1", "fast"), ("0", "original")):
        port = free_port()
        with process(folder, PORT=str(port), MLOPS_FAST=fast):
            wait_ready(f"http://127.0.0.1:{port}")
            assert ask(f"http://127.0.0.1:{port}/").json["path"] == path
    with process(folder, MLOPS_FAST="yes") as refused:
        assert refused.wait(60) == 1
        assert refused.stderr is not None
        assert "MLOPS_FAST must be 1 or 0" in refused.stderr.read()


def test_the_log_is_the_same_on_both_paths(folder: Path, tmp_path: Path) -> None:
    rows = model_folders.rows_of(fast_models.frame(80, seed=3))
    kept = {}
    for fast in (True, False):
        plane = DataPlane.load(folder, name="m", version="1", fast=fast)
        url = f"sqlite:///{tmp_path}/{fast}.db"
        with served(create_app(plane, PredictionLog(url, plane.manifest, "m"))) as address:
            errors: list[Any] = []

            def client(part: int, address: str = address, errors: list[Any] = errors) -> None:
                for i in range(part, len(rows), 8):
                    answer = ask(f"{address}/predict", {"rows": [rows[i]], "request_id": f"r{i:02}"})
                    if answer.status != 200:
                        errors.append(answer)

            threads = [Thread(target=client, args=(part,)) for part in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == []
        engine = create_engine(url)
        with engine.connect() as connection:
            found = (
                connection.execute(text("SELECT * FROM predictions_m ORDER BY request_id")).mappings().all()
            )
        engine.dispose()
        kept[fast] = [{k: v for k, v in row.items() if k not in ("at", "latency_ms")} for row in found]
    assert len(kept[True]) == 80
    for a, b in zip(kept[True], kept[False], strict=True):
        assert fast_models.same(json.loads(a.pop("probabilities")), json.loads(b.pop("probabilities")))
        assert a.pop("score") == pytest.approx(b.pop("score"), abs=1e-12)
        assert a == b


def test_histogram_boosting_encodes_its_categories_itself(tmp_path: Path) -> None:
    model = HistGradientBoostingClassifier(max_iter=10, categorical_features=["carrier", "hour"])
    fitted, frame = fast_models.fitted(model, 3)
    record = fast_models.saved(tmp_path, fitted, 3, frame).extra["fast"]
    assert record["proven"], record["reason"]
    assert record["rows"]["unseen categories"] > 0


def test_categories_by_code(tmp_path: Path) -> None:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    model = make_pipeline(
        fast_models.prepared(SimpleImputer(), codes), HistGradientBoostingClassifier(categorical_features=[2])
    )
    fitted, frame = fast_models.fitted(model, 2)
    record = fast_models.saved(tmp_path, fitted, 2, frame).extra["fast"]
    assert record["proven"], record["reason"]


def test_what_cannot_be_compiled_never_stops_a_registration(tmp_path: Path) -> None:
    model, frame = fast_models.fitted(
        make_pipeline(fast_models.prepared(), LogisticRegression(max_iter=500)), 2
    )
    manifest = model_folders.save(tmp_path, model, inputs=fast_models.INPUTS, sample=frame.head(4))
    del model[-1].coef_
    original = DataPlane.load(tmp_path, name="m", version="1", fast=False)
    rows = {"fitted on": model_folders.rows_of(frame)}
    record = judging.compile_fast_path(tmp_path, model, manifest, rows, original.predict)
    assert record["reason"].startswith("it could not be compiled (AttributeError")
