"""The quickstart as a person follows it: cells in the notebook, buttons in the sidebar, the drift widget.

The pictures of the README come from here: `MLOPS_SCREENSHOTS=docs/images .venv/bin/pytest tests/browser -k quickstart`.
"""

from __future__ import annotations

from typing import Any

import pytest

from mlops_workbench.notebooks.templates import copy_notebooks

from .conftest import Lab
from .desk import Desk

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
]


def test_the_quickstart_with_notebook_and_sidebar(lab: Lab, page: Any) -> None:
    desk = Desk(page)
    page.set_viewport_size({"width": 1600, "height": 1000})
    copy_notebooks(lab.root / "flights")
    desk.open(lab.address("flights/quickstart.ipynb"))
    desk.open_sidebar()

    # the notebook, down to the promotion
    desk.idle()
    desk.select("%mlops build flights")
    desk.menu("Run", "Run All Above Selected Cell")
    desk.ran("%mlops promote flights --version 1")
    assert desk.failures() == []
    desk.version(1).get_by_text("champion").wait_for()

    # served by a button, asked and labelled in the notebook
    desk.sidebar.get_by_role("button", name="Serve flights v1").click()
    desk.accept("Serve")
    desk.section("Deployments").locator("a.mlops-Link").wait_for(timeout=60_000)
    desk.run("answers = %mlops predict flights february")
    desk.run("%mlops label flights arrived")
    assert desk.failures() == []

    # drift by a button: a cell with the widget, features ranked, labels judged
    watched = page.locator(".jp-MarkdownCell").filter(has=page.get_by_role("heading", name="Watched"))
    watched.click()
    desk.act("flights", "Drift")
    widget = page.locator(".mlops-dw")
    widget.get_by_text("Drift of flights v1").wait_for(timeout=60_000)
    features = widget.get_by_role("listbox", name="Features").get_by_role("option")
    judged = features.locator(".dw-badge").all_inner_texts()
    assert len(judged) == 13
    assert judged[0] == "drift"
    order = ["drift", "watch", "n/a", "ok"]
    assert judged == sorted(judged, key=order.index)
    assert widget.get_by_text("roc auc").is_visible()
    features.nth(1).click()
    chosen = features.nth(1).locator(".dw-name").inner_text()
    widget.get_by_role("heading", name=chosen).wait_for()
    assert desk.failures() == []

    desk.quiet()
    desk.show(watched)
    desk.picture("workbench")
    desk.dark()
    desk.show(watched)
    desk.picture("workbench-dark")

    desk.section("Deployments").get_by_role("button", name="Stop flights").click()
    desk.accept("Stop")
    desk.section("Deployments").get_by_text("Nothing is served").wait_for()
