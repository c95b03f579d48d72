"""The real workbench behind the real server: reads and writes of a small project with a real model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_workbench.workbench import Workbench

# MLflow 3.17 warns about itself when it is imported and asked; nothing of ours can change that.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder with the project `clinic` in it: two versions of `tumour`, neither judged."""
    root = tmp_path_factory.mktemp("root")
    frame = load_breast_cancer(as_frame=True).frame[["mean radius", "mean texture", "mean area", "target"]]
    train, held_out = frame[:400], frame[400:]
    (root / "clinic").mkdir()
    wb = Workbench(root / "clinic", namespace={"train": train, "held_out": held_out})
    wb.init("clinic")
    for strength in (0.001, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        model.fit(train.drop(columns="target"), train["target"])
        wb.register(model, name="tumour", data="train", evaluate="held_out")
    held_out.to_parquet(root / "clinic" / "held_out.parquet")
    wb.close()
    return root


@pytest.fixture
def jp_root_dir(root: Path) -> Path:
    return root


async def test_a_folder_without_a_project_says_what_to_do(ask: Ask) -> None:
    status, answer = await ask("verbs/status")
    assert (status, answer["error"]) == (404, "NotFound")
    assert "mlops.toml" in answer["message"]


async def test_a_project_is_found_from_a_folder_inside_it(ask: Ask, root: Path) -> None:
    (root / "clinic" / "notebooks").mkdir(exist_ok=True)
    status, answer = await ask("verbs/status", project="clinic/notebooks")
    assert status == 200
    assert (answer["project"], answer["root"]) == ("clinic", str(root / "clinic"))
    (model,) = answer["models"]
    assert model.items() >= {"name": "tumour", "champion": None, "versions": 2, "serving": None}.items()


async def test_the_lists_have_what_the_sidebar_shows(ask: Ask) -> None:
    _, models = await ask("verbs/models", project="clinic")
    assert [one["version"] for one in models["models"]] == [2, 1]
    assert {"name", "version", "aliases", "state", "created", "metrics", "run_id", "gate", "image"} <= set(
        models["models"][0]
    )
    for verb in ("runs", "deployments", "jobs"):
        status, answer = await ask(f"verbs/{verb}", project="clinic")
        assert (status, list(answer)) == (200, [verb])


async def test_the_overview_is_what_its_verbs_answer(ask: Ask) -> None:
    status, overview = await ask("overview", project="clinic")
    assert status == 200
    for verb, answer in overview.items():
        assert (await ask(f"verbs/{verb}", project="clinic"))[1] == answer
    assert list(overview) == ["status", "models", "runs", "deployments", "jobs"]
    assert (await ask("overview"))[1]["error"] == "NotFound"
    assert (await ask("overview", project=".."))[0] == 404


async def test_what_a_reading_verb_may_be_asked_comes_in_the_address_too(ask: Ask) -> None:
    assert (await ask("verbs/alerts", project="clinic", everything="true"))[0] == 200
    status, answer = await ask("verbs/alerts", project="clinic", action="ack", id="1")
    assert (status, answer["error"]) == (405, "MethodNotAllowed")


async def test_a_verb_that_is_posted_may_answer_as_a_notebook_shows_it(ask: Ask) -> None:
    wanted = {"name": "tumour", "explain": True}
    status, answer = await ask("verbs/gate", body=wanted, project="clinic", html="1")
    assert status == 200
    assert answer["html"].startswith('<div class="mlops-table">')
    assert "html" not in (await ask("verbs/gate", body=wanted, project="clinic"))[1]


async def test_from_the_gate_to_the_champion_and_back(ask: Ask) -> None:
    async def do(verb: str, **options: Any) -> tuple[int, dict[str, Any]]:
        return await ask(f"verbs/{verb}", body={"name": "tumour"} | options, project="clinic")

    status, answer = await do("promote", version=1, why="too early")
    assert (status, answer["error"]) == (409, "GateFailed")

    status, answer = await do("gate", version=1, first=True)
    assert (status, answer["passed"]) == (200, True)
    assert (await do("promote", version=1, why="first"))[0] == 200

    status, answer = await do("gate", version=2, data="held_out.parquet")
    assert (status, answer["passed"]) == (200, True), answer
    assert (await do("promote", version=2, why="a better fit"))[0] == 200
    assert (await do("rollback", why="drill"))[0] == 200

    _, answer = await ask("verbs/history", project="clinic", name="tumour")
    assert answer["champion"] == 1
    moves = [entry["why"] for entry in answer["entries"] if entry["action"] != "register"]
    assert moves == ["drill", "a better fit", "first"]

    status, answer = await do("rollback", why=" ")
    assert status == 400
    status, answer = await do("promote", version=9, why="none such")
    assert (status, answer["error"]) == (404, "NotFound")


async def test_a_job_that_is_not_there_cannot_be_cancelled(ask: Ask) -> None:
    status, answer = await ask("verbs/jobs", body={"cancel": 99}, project="clinic")
    assert (status, answer["error"]) == (404, "NotFound")


@pytest.mark.slow
async def test_the_notebook_of_a_job_is_a_page(ask: Ask, root: Path) -> None:
    status, answer = await ask("jobs/99/notebook", project="clinic")
    assert (status, answer["error"]) == (404, "NotFound")

    cell = nbformat.v4.new_code_cell("assert 6 * 7 == 41", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=kernel)
    nbformat.write(notebook, root / "clinic" / "wrong.ipynb")
    wanted = {"name": "tumour", "notebook": "wrong.ipynb"}
    status, job = await ask("verbs/retrain", body=wanted, project="clinic")
    assert status == 202, job
    while job["state"] in ("queued", "running"):
        await asyncio.sleep(0.2)
        _, listed = await ask("verbs/jobs", project="clinic", id=str(job["id"]))
        (job,) = listed["jobs"]
    assert job["state"] == "failed"
    status, answer = await ask(f"jobs/{job['id']}/notebook", project="clinic")
    assert status == 200
    assert "AssertionError" in answer["html"]
    assert 'src="http' not in answer["html"]


async def test_a_new_project_can_be_made(ask: Ask, root: Path) -> None:
    (root / "fresh").mkdir(exist_ok=True)
    status, _ = await ask("verbs/init", body={"name": "fresh"}, project="fresh")
    assert status == 200
    assert (root / "fresh" / "mlops.toml").is_file()
    assert (await ask("verbs/status", project="fresh"))[1]["project"] == "fresh"


@pytest.mark.slow
async def test_a_script_runs_as_a_job(ask: Ask, root: Path) -> None:
    (root / "clinic" / "count.py").write_text("lift = 6 * 7\n")
    wanted = {"script": "count.py", "name": "counted", "metrics": ["lift"]}
    status, job = await ask("verbs/run", body=wanted, project="clinic")
    assert (status, job["kind"], job["model"]) == (202, "run", "counted"), job
    while job["state"] in ("queued", "running"):
        await asyncio.sleep(0.2)
        _, listed = await ask("verbs/jobs", project="clinic", id=str(job["id"]))
        (job,) = listed["jobs"]
    assert job["state"] == "succeeded", job
    _, runs = await ask("verbs/runs", project="clinic", name="counted")
    assert runs["runs"][0]["metrics"] == {"lift": 42.0}
