"""A person, a notebook and the sidebar: from a fitted model to production and back, in a real browser."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

import pytest

from .conftest import Lab, write_notebook
from .desk import Desk

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
]

DATA = """\
from sklearn.datasets import load_breast_cancer

frame = load_breast_cancer(as_frame=True).frame[["mean radius", "mean texture", "mean area", "target"]]
train, held_out = frame[:400], frame[400:]"""

FIT = """\
%%mlops run --name {name} --data train --eval held_out
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

model = make_pipeline(StandardScaler(), LogisticRegression(C={strength}))
model.fit(train.drop(columns="target"), train["target"])"""

CELLS = [
    "%load_ext mlops_workbench",
    "%mlops init clinic",
    DATA,
    FIT.format(name="cautious", strength=0.001),
    "%mlops register model --name tumour",
    FIT.format(name="bolder", strength=1.0),
    "%mlops register model --name tumour",
]


AGAIN = [
    "strength: float = 1.0  # of the regularisation, inverse",
    "%load_ext mlops_workbench",
    DATA,
    FIT.format(name="again", strength="strength"),
    "%mlops register model --name tumour",
]


@pytest.fixture
def desk(page: Any) -> Desk:
    return Desk(page)


def test_a_folder_without_a_project_tells_the_next_step(lab: Lab, desk: Desk) -> None:
    write_notebook(lab.root / "empty" / "start.ipynb", ["1 + 1"])
    desk.open(lab.address("empty/start.ipynb"))
    desk.open_sidebar()
    desk.idle()
    desk.sidebar.get_by_text("is not a project yet").wait_for()
    desk.picture("sidebar-empty")
    desk.sidebar.get_by_role("button", name="Insert %mlops init empty").click()
    # the kernel has not loaded the magics, so the cell does
    cell = desk.page.locator(".jp-CodeCell").nth(1)
    cell.get_by_text("%mlops init empty").wait_for()
    assert "%load_ext mlops_workbench" in cell.inner_text()


def test_from_a_notebook_to_production_and_back(lab: Lab, desk: Desk) -> None:
    write_notebook(lab.root / "clinic" / "train.ipynb", CELLS)
    desk.open(lab.address("clinic/train.ipynb"))
    desk.open_sidebar()

    # what was done in the notebook is seen in the sidebar, without a click
    desk.run_all()
    desk.version(2).wait_for()
    assert desk.sidebar.locator("h2").inner_text() == "clinic"
    assert desk.section("Runs").get_by_text("bolder").is_visible()
    assert desk.section("Deployments").get_by_text("Nothing is served").is_visible()
    desk.picture("sidebar-candidates")

    # the first has nobody to be compared with: without that choice the gate is red
    desk.act("tumour v1", "Gate")
    desk.line("%mlops gate tumour --version 1")
    desk.accept("Gate")
    desk.notification("there is no champion to compare with")
    desk.version(1).get_by_label("The gate is red").wait_for()
    desk.act("tumour v1", "Gate")
    desk.dialog.get_by_label("First").check()
    desk.line("%mlops gate tumour --version 1 --first")
    desk.picture("sidebar-first")
    desk.accept("Gate")
    desk.version(1).get_by_label("The gate is green").wait_for()

    # promote, with a reason
    desk.sidebar.get_by_role("button", name="Promote tumour v1").click()
    accept = desk.dialog.get_by_role("button", name="Promote", exact=True)
    assert accept.is_disabled()
    desk.dialog.get_by_label("Why").fill("the first model")
    desk.line("%mlops promote tumour --version 1 --why 'the first model'")
    desk.picture("sidebar-promote")
    # what is seldom wanted is folded, and said in the line when it is chosen
    desk.more()
    desk.dialog.get_by_label("Force").check()
    desk.line("%mlops promote tumour --version 1 --why 'the first model' --force")
    desk.picture("sidebar-promote-more")
    desk.dialog.get_by_label("Force").uncheck()
    desk.line("%mlops promote tumour --version 1 --why 'the first model'")
    # the icons in the dialog are buttons for the keyboard too, and do not send it off
    desk.dialog.get_by_role("button", name="Copy the line").press("Enter")
    desk.notification("Copied: %mlops promote tumour --version 1 --why 'the first model'")
    desk.accept("Promote")
    desk.notification("tumour v1 is the champion.")
    desk.version(1).get_by_text("champion").wait_for()

    # serve: the address appears and answers
    desk.sidebar.get_by_role("button", name="Serve tumour v1").click()
    desk.line("%mlops serve tumour --version 1")
    desk.more()
    desk.dialog.get_by_label("Kind").select_option("process")
    desk.line("%mlops serve tumour --version 1 --kind process")
    desk.picture("sidebar-serve-more")
    desk.dialog.get_by_label("Port").fill("eighty")
    desk.dialog.get_by_text("must be a whole number. Got 'eighty' instead").wait_for()
    desk.dialog.get_by_label("Port").fill("")
    desk.line("%mlops serve tumour --version 1 --kind process")
    desk.accept("Serve")
    link = desk.section("Deployments").locator("a.mlops-Link")
    link.wait_for(timeout=60_000)
    url = link.get_attribute("href").removesuffix("/docs")
    row = {"mean radius": 14.0, "mean texture": 20.0, "mean area": 600.0}
    assert _post(f"{url}/predict", {"rows": [row]})["predictions"] in ([0], [1], ["0"], ["1"])

    # drift: a visible cell in the notebook, with the widget below it
    _predict_in_a_cell(desk)
    desk.act("tumour", "Drift")
    cell = desk.page.locator(".jp-CodeCell").filter(has_text="%mlops drift tumour")
    cell.wait_for()
    desk.idle()
    cell.locator(".jp-OutputArea-output").get_by_text("mean radius").first.wait_for(timeout=60_000)
    cell.scroll_into_view_if_needed()
    desk.picture("drift-widget")

    # the second version needs its gate, then replaces the first
    desk.sidebar.get_by_role("button", name="Gate tumour v2").click()
    assert desk.dialog.get_by_label("First").count() == 0
    desk.accept("Gate")
    desk.notification("The gate of tumour v2 is green.")
    desk.act("tumour v2", "Promote")
    desk.dialog.get_by_label("Why").fill("a better fit")
    desk.accept("Promote")
    desk.version(2).get_by_text("champion").wait_for()
    desk.picture("sidebar-champion")

    # retrain: a job with progress, a verdict, and its notebook as a record
    write_notebook(lab.root / "clinic" / "again.ipynb", AGAIN)
    desk.act("tumour", "Retrain")
    desk.dialog.get_by_label("Notebook").fill("again.ipynb")
    desk.dialog.get_by_label("Parameters").fill("strength=0.5")
    desk.line("%mlops retrain tumour --notebook again.ipynb --parameter strength=0.5")
    desk.picture("sidebar-retrain")
    desk.accept("Retrain")
    jobs = desk.section("Jobs")
    jobs.get_by_role("progressbar").wait_for()
    jobs.locator(".mlops-Progress").get_by_text(re.compile("[0-9]+ %")).wait_for(timeout=60_000)
    desk.picture("sidebar-job")
    jobs.get_by_role("img", name="succeeded").wait_for(timeout=120_000)
    desk.version(3).wait_for()
    jobs.get_by_role("button", name="Open the notebook of job 1").click()
    desk.page.frame_locator(".mlops-Frame").get_by_text("LogisticRegression(C=strength)").first.wait_for()
    desk.picture("job-notebook")
    desk.page.locator(".lm-TabBar-tab", has_text="train.ipynb").click()

    # and back, with a reason
    desk.act("tumour", "Roll back")
    desk.dialog.get_by_label("Why").fill("drill")
    desk.line("%mlops rollback tumour --why drill")
    desk.accept("Roll back")
    desk.sidebar.locator(".mlops-Version", has_text="champion").wait_for()
    desk.notification("tumour is rolled back.")

    # stop: the address is gone
    desk.section("Deployments").get_by_role("button", name="Stop tumour").click()
    desk.accept("Stop")
    desk.section("Deployments").get_by_text("Nothing is served").wait_for()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/health/ready", timeout=5)

    # what fails says what and what next
    desk.act("tumour", "Stop")
    desk.accept("Stop")
    desk.notification("Nothing serves 'tumour'. Serve it first")
    desk.picture("sidebar-error")

    # what the gate asks is something to read, and no verdict
    desk.act("tumour v3", "Gate")
    desk.more()
    desk.dialog.get_by_label("Explain").check()
    desk.accept("Gate")
    desk.page.locator(".mlops-Page").get_by_text("What the gate asks of a version of 'tumour'").wait_for()
    desk.picture("gate-explained")

    _dark(desk)
    desk.picture("sidebar-dark")
    desk.act("tumour v3", "Build")
    desk.more()
    desk.line("%mlops build tumour --version 3")
    desk.picture("sidebar-build-dark")
    desk.accept("Cancel")


def _predict_in_a_cell(desk: Desk) -> None:
    """Asks the served model for the held-out rows, so that there is something to compare."""
    desk.page.locator(".jp-CodeCell").last.click()
    desk.page.keyboard.press("Escape")
    desk.page.keyboard.press("b")
    desk.page.keyboard.press("Enter")
    desk.page.keyboard.insert_text("answers = %mlops predict tumour held_out")
    desk.page.keyboard.press("Control+Enter")
    desk.page.wait_for_timeout(500)
    desk.idle()


def _dark(desk: Desk) -> None:
    desk.dark()
    colour = desk.sidebar.evaluate("node => getComputedStyle(node).backgroundColor")
    assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80, colour


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_the_sidebar_works_by_keyboard_alone(lab: Lab, desk: Desk) -> None:
    desk.open(lab.address())
    desk.open_sidebar()
    refresh = desk.sidebar.get_by_role("button", name="Refresh")
    refresh.focus()
    with desk.page.expect_response(re.compile("/mlops/api/")):
        desk.page.keyboard.press("Enter")
