"""An image with nothing but the fast path: small, proven, and plain about what it does not answer."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fast_models
import model_folders
import pandas as pd
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from serving_kit import ask
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.base.errors import BuildFailed, ServingFailed
from mlops_workbench.manifest import Manifest, Servable
from mlops_workbench.package.build import Image, build_image, image_repository
from mlops_workbench.package.docker_client import DockerEngine
from mlops_workbench.package.dockerfile import ImageOptions
from mlops_workbench.rollout.runtime import deployments, proofs
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch
from mlops_workbench.track.requirements import for_model

pytestmark = pytest.mark.docker

_INSTALLED = """
import importlib.metadata, json
found = importlib.metadata.distributions(path=[p for p in __import__("sys").path if p.startswith("/opt/venv")])
print(json.dumps([(d.name, d.version) for d in found]))
"""


@dataclass
class Small:
    name: str
    folder: Path
    manifest: Manifest
    servable: Servable
    base: str
    scratch: Path
    image: Image = None  # type: ignore[assignment]  # the fixture builds it

    def build(self, version: str, records: Path | None = None, **changes: Any) -> Image:
        servable = replace(self.servable, version=version, **changes)
        return build_image(
            self.folder,
            servable,
            ImageOptions(self.base),
            cache_dir=self.scratch / "cache",
            records_dir=records or self.scratch / "records",
            prove=lambda tag, manifest: proofs.prove(tag, manifest, servable),
        )


@pytest.fixture(scope="module")
def small(engine: DockerEngine, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    tmp = tmp_path_factory.mktemp("small")
    data = fast_models.frame()
    model = make_pipeline(fast_models.prepared(), LogisticRegression()).fit(data, fast_models.target(data, 2))
    requirements = for_model(["sklearn"])
    manifest = fast_models.saved(tmp / "model", model, 2, data, requirements=requirements)
    name = f"small-{uuid.uuid4().hex[:8]}"
    servable = Servable(name, "1", manifest.sha256, manifest.extra["fast"]["sha256"], fast_only=True)
    made = Small(name, tmp / "model", manifest, servable, base_image, tmp)
    try:
        made.image = made.build("1")
        print(f"\nfast path alone: {made.image.seconds} s, {made.image.added_mb} MB over {base_image}")
        yield made
    finally:
        for tag in engine.tags(image_repository(name)):
            engine.remove_image(f"{image_repository(name)}:{tag}", force=True)


@pytest.fixture(scope="module")
def running(small: Small) -> Iterator[Deployment]:
    deployment = deployments.start_container(small.image.tag, small.servable, Launch())
    yield deployment
    deployments.stop(deployment)


def test_it_is_small_and_holds_no_library_of_the_model(small: Small, engine: DockerEngine) -> None:
    assert small.image.added_mb < 140
    absent = ("sklearn", "pandas", "scipy", "skops", "arro3", "pip")
    there = f"import importlib.util as u; print([m for m in {absent} if u.find_spec(m)])"
    assert engine.run_once(small.image.id, ["python", "-c", there]) == "[]\n"
    inside = engine.run_once(small.image.id, ["ls", "/opt/model"])
    assert inside.split() == ["fast.json", "fast.npz", "workbench.json"]
    bill = Path(small.image.sbom).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    libraries = {c["name"]: c["version"] for c in json.loads(bill)["components"] if c["type"] == "library"}
    installed = json.loads(engine.run_once(small.image.id, ["python", "-c", _INSTALLED]))
    assert {canonicalize_name(name): version for name, version in installed} == libraries
    lock = Path(small.image.lock).read_text()
    assert lock.count("--hash=sha256:") == len(libraries) == lock.count("==")


def test_it_answers_through_every_contract(small: Small, running: Deployment) -> None:
    assert {(c.rows, c.equal) for c in small.image.proof.contracts} == {(4, 4)}
    assert len(small.image.proof.contracts) == 4
    data = fast_models.frame(50, seed=3)
    model = make_pipeline(fast_models.prepared(), LogisticRegression())
    fitted_on = fast_models.frame()
    model.fit(fitted_on, fast_models.target(fitted_on, 2))
    answer = deployments.predict(running, model_folders.rows_of(data))
    assert answer["predictions"] == model.predict(data).tolist()
    about = ask(running.url).json
    assert (about["path"], about["fast_only"]) == ("fast", True)


def test_what_it_does_not_answer(running: Deployment) -> None:
    (row,) = model_folders.rows_of(fast_models.frame(1))
    huge = {"rows": [row, row | {"wind": 1e101}]}
    answer = ask(f"{running.url}/predict", huge)
    assert answer.status == 422
    assert answer.json["message"].startswith("Row 1 cannot be answered here: the fast path is not proven")
    buffer = io.BytesIO()
    pd.DataFrame([row]).to_parquet(buffer)
    answer = ask(
        f"{running.url}/invocations", buffer.getvalue(), headers={"Content-Type": "application/x-parquet"}
    )
    assert answer.status == 415
    assert "reads no Parquet" in answer.json["message"]
    csv = f"{','.join(row)}\n{','.join('' if v is None else str(v) for v in row.values())}\n"
    assert ask(f"{running.url}/invocations", csv.encode(), headers={"Content-Type": "text/csv"}).status == 200


def test_what_it_refuses_to_start_with(small: Small) -> None:
    def start(**environment: str) -> None:
        deployments.start_container(small.image.tag, small.servable, Launch(environment=environment))

    with pytest.raises(
        ServingFailed, match=r"There is no original model of .* and its fast path is not to be used"
    ):
        start(MLOPS_FAST="0")
    with pytest.raises(ServingFailed, match="the registry recorded 0000"):
        start(MLOPS_PLAN_DIGEST="0" * 64)
    with pytest.raises(ServingFailed, match="is not vouched for"):
        start(MLOPS_MODEL_DIGEST="0" * 64)


def test_an_image_that_answers_otherwise_is_not_kept(
    small: Small, engine: DockerEngine, tmp_path: Path
) -> None:
    """Its manifest says that the notebook gave another probability to the third row."""
    before = (engine.image(f"{image_repository(small.name)}:1"), set(engine.unnamed()))
    chances = [list(row) for row in small.manifest.expected_probabilities]
    assert chances, "the model has probabilities"
    chances[2][0] += 2e-6
    changed = Manifest.load(small.folder).to_dict() | {"expected_probabilities": chances}
    original = (small.folder / "workbench.json").read_text()
    (small.folder / "workbench.json").write_text(json.dumps(changed))
    try:
        with pytest.raises(
            BuildFailed,
            match=r"(?s)was built, but is not kept: POST /predict answers the probability of sample row 2 "
            r"otherwise than the notebook.*Its log ends:.*serving",
        ):
            small.build("1", tmp_path)
    finally:
        (small.folder / "workbench.json").write_text(original)
    assert (engine.image(f"{image_repository(small.name)}:1"), set(engine.unnamed())) == before
    assert not list(tmp_path.iterdir())
    assert set(engine.tags(image_repository(small.name))) == {"1"}
