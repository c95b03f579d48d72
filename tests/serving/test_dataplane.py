"""The model without the web: verification, types, and answers equal to the model's own."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import model_folders
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops_workbench.manifest import Digests, Field, Manifest, file_sha256
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.schema import PredictSchema


def _load(folder: Path, **options: Any) -> DataPlane:
    return DataPlane.load(folder, name="flights", version="3", **options)


def _through_json(plane: DataPlane, frame: pd.DataFrame) -> list[dict[str, Any]]:
    body = json.dumps({"rows": model_folders.rows_of(frame)}).encode()
    return PredictSchema(plane.manifest.inputs, max_rows=10_000).parse(body).rows


def test_answers_are_the_models_own(classifier_folder: Path) -> None:
    plane = _load(classifier_folder)
    frame = model_folders.flights(300, seed=4)
    answer = plane.predict(_through_json(plane, frame))
    model = model_folders.classifier()
    assert answer.values == model.predict(frame).tolist()
    np.testing.assert_allclose(answer.probabilities, model.predict_proba(frame), rtol=1e-9)
    assert {type(v) for v in answer.values} == {str}


def test_regression_gives_python_floats(regressor_folder: Path) -> None:
    plane = _load(regressor_folder)
    frame = model_folders.flights(50, seed=5)
    answer = plane.predict(_through_json(plane, frame))
    np.testing.assert_allclose(answer.values, model_folders.regressor().predict(frame))
    assert answer.probabilities is None
    assert {type(v) for v in answer.values} == {float}


def test_the_frame_has_the_training_frames_types(classifier_folder: Path) -> None:
    plane = _load(classifier_folder)
    frame = model_folders.flights(40)
    made = plane.frame(_through_json(plane, frame))
    pd.testing.assert_frame_equal(made, frame, check_exact=False, rtol=1e-12)


def test_a_rows_types_do_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    inputs = (Field("a", "long"), Field("b", "boolean"), Field("c", "double"))
    model = LinearRegression().fit(pd.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.1, 0.2]}), [1, 2])
    sample = pd.DataFrame({"a": [1], "b": [True], "c": [1.0]})
    model_folders.save(tmp_path, model, task="regression", inputs=inputs, sample=sample)
    plane = _load(tmp_path)
    alone = plane.frame([{"a": 1, "b": True, "c": 2.0}])
    beside = plane.frame([{"a": 1, "b": True, "c": 2.0}, {"a": None, "b": None, "c": None}])
    assert alone.dtypes.to_list() == beside.dtypes.to_list()


def test_missing_strings_are_what_they_were_in_training(tmp_path: Path) -> None:
    model = model_folders.classifier()
    model_folders.save(tmp_path / "nan", model)
    assert np.isnan(_load(tmp_path / "nan").frame([{"seats": 1, "night": True}])["carrier"][0])
    model_folders.save(tmp_path / "none", model, extra={"null_is_none": ["carrier"]})
    assert _load(tmp_path / "none").frame([{"seats": 1, "night": True}])["carrier"][0] is None


def test_a_model_fitted_on_arrays_gets_an_array(tmp_path: Path) -> None:
    model = LogisticRegression().fit(np.array([[0.0], [1.0], [2.0]]), ["n", "y", "y"])
    sample = pd.DataFrame({"x": [0.5]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about the sample's names
        model_folders.save(tmp_path, model, inputs=(Field("x", "double"),), sample=sample)
    assert _load(tmp_path).predict([{"x": 2.0}]).values == ["y"]  # a warning would fail the test


def test_cloudpickle(tmp_path: Path) -> None:
    model = model_folders.regressor()
    manifest = model_folders.save(tmp_path, model, task="regression")
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(model))
    digest = file_sha256(tmp_path / "model.pkl")
    replace(manifest, model_file="model.pkl", serialization="cloudpickle", sha256=digest).dump(tmp_path)
    assert _load(tmp_path, digests=Digests(digest)).warm().differing == 0


def test_warming_compares_with_the_notebook(tmp_path: Path) -> None:
    manifest = model_folders.save(tmp_path, model_folders.classifier())
    assert _load(tmp_path).warm() == _load(tmp_path).warm()
    other = ["on time" if v == "late" else "late" for v in manifest.expected[:2]]
    replace(manifest, expected=(*other, *manifest.expected[2:])).dump(tmp_path)
    plane = _load(tmp_path)
    assert plane.warm().differing == 2
    assert plane.warmup is not None


def test_a_model_that_cannot_answer_its_sample_is_refused(tmp_path: Path) -> None:
    manifest = model_folders.save(tmp_path, model_folders.classifier())
    replace(manifest, inputs=manifest.inputs[1:]).dump(tmp_path)
    with pytest.raises(ModelRefused, match=r"cannot answer its own sample.*dep delay"):
        _load(tmp_path).warm()


def _damaged(folder: Path, _manifest: Manifest) -> None:
    path = folder / "model.skops"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _without_manifest(folder: Path, _manifest: Manifest) -> None:
    (folder / "workbench.json").unlink()


def _without_model(folder: Path, _manifest: Manifest) -> None:
    (folder / "model.skops").unlink()


def _not_json(folder: Path, _manifest: Manifest) -> None:
    (folder / "workbench.json").write_text("{")


def _of_the_future(folder: Path, manifest: Manifest) -> None:
    (folder / "workbench.json").write_text(json.dumps(manifest.to_dict() | {"format": 2}))


def _outside(folder: Path, manifest: Manifest) -> None:
    (folder.parent / "elsewhere.skops").write_bytes((folder / "model.skops").read_bytes())
    replace(manifest, model_file="../elsewhere.skops").dump(folder)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_damaged, "is not the model that was registered"),
        (_without_manifest, "no workbench.json"),
        (_without_model, "no file 'model.skops'"),
        (_not_json, "cannot be read"),
        (_of_the_future, "format 2"),
        (_outside, "no file '../elsewhere.skops'"),
    ],
)
def test_a_folder_that_is_not_right_is_refused(tmp_path: Path, harm: Any, says: str) -> None:
    folder = tmp_path / "model"
    harm(folder, model_folders.save(folder, model_folders.classifier()))
    with pytest.raises(ModelRefused, match=says):
        _load(folder)


def test_another_digest_than_the_registrys_is_refused(classifier_folder: Path) -> None:
    right = Manifest.load(classifier_folder).sha256
    assert _load(classifier_folder, digests=Digests(right)).digest == right
    with pytest.raises(ModelRefused, match="the registry recorded 0000"):
        _load(classifier_folder, digests=Digests("0" * 64))


def test_types_that_were_not_listed_are_refused(tmp_path: Path) -> None:
    manifest = model_folders.save(tmp_path, model_folders.regressor(), task="regression")
    assert manifest.trusted, "the forest should hold types that skops does not trust by itself"
    replace(manifest, trusted=()).dump(tmp_path)
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        _load(tmp_path)
