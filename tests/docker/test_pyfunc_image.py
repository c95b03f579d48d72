"""A model of another MLflow flavour in a real container: no full MLflow, a read-only file system, no network needed."""

from __future__ import annotations

import os

import flavoured
import pytest

from mlops_workbench.package import docker_client
from mlops_workbench.workbench import Workbench

pytestmark = [
    pytest.mark.docker,
    pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict` method"),
]

LOOK = """
import mlflow.pyfunc
try:
    import mlflow.server
except ImportError as problem:
    print("no server:", problem)
model = mlflow.pyfunc.load_model("/opt/model")
print(type(model).__name__)
"""


@pytest.mark.timeout(600)
def test_an_image_of_another_flavour_answers(workbench: Workbench) -> None:
    base = os.environ.get("MLOPS_BASE_IMAGE", "python:3.11-slim")
    workbench.project.root.joinpath("mlops.toml").write_text(
        f'[project]\nname = "trips"\n[image]\nbase = "{base}"\n'
    )
    data = flavoured.reports()[["report", "wind", "label"]]
    made = flavoured.run(workbench, flavoured.WORDS, "words", data, "label")
    workbench.namespace = made
    workbench.register("words", name="reports-e2e")
    image = workbench.build("reports-e2e", version=1)
    try:
        with docker_client.connect() as engine:
            said = engine.run_once(image.tag, ["python", "-c", LOOK])
        assert "no server: No module named" in said
        assert "PyFuncModel" in said
        workbench.serve("reports-e2e", version=1, kind="container")
        try:
            asked = flavoured.reports(60, seed=4)[["report", "wind"]]
            wanted = made["words"].predict(None, asked).tolist()
            assert workbench.predict("reports-e2e", asked).frame["prediction"].tolist() == wanted
        finally:
            workbench.stop("reports-e2e")
    finally:
        with docker_client.connect() as engine:
            engine.remove_image(image.tag)
            engine.remove_image(f"{image.tag.rpartition(':')[0]}:build-cache")
