"""What is stored or sent stays text in a real browser: in the widgets, in written pages, in Evidently's report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE, IMAGE, LINK, SCRIPT, people

from mlops_workbench.base.page import page as page_of
from mlops_workbench.base.values import html_table
from mlops_workbench.monitor.drift import compare
from mlops_workbench.monitor.reports import evidently_report
from mlops_workbench.registry.card import Card, _code, _text
from mlops_workbench.track.records import Run
from mlops_workbench.track.runlist import RunList
from mlops_workbench.widgets import drift as drift_widget
from mlops_workbench.widgets import runs as runs_widget

pytestmark = pytest.mark.browser

RENDER = """
async ([source, data]) => {
  const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  const root = document.body.appendChild(document.createElement("div"));
  const model = {get: key => data[key], set() {}, on() {}, off() {}, save_changes() {}};
  module.default.render({model, el: root});
  return root.innerText;
}
"""
FOREIGN = """
() => [...document.body.querySelectorAll("script, img, iframe, object, embed, form, b, h1")].map(e => e.outerHTML)
  .concat([...document.body.querySelectorAll("*")].flatMap(e => [...e.attributes])
    .filter(a => a.name.startsWith("on") || /^\\s*javascript:/i.test(a.value)).map(a => `${a.name}=${a.value}`))
"""


def unhurt(page: Any) -> None:
    page.wait_for_timeout(100)
    assert page.evaluate("window.hurt") is None
    assert page.evaluate(FOREIGN) == []


def rendered(page: Any, module: Any, file: str, data: dict[str, Any]) -> str:
    page.goto("about:blank")
    source = (Path(module.__file__).parent / "static" / file).read_text()
    return str(page.evaluate(RENDER, [source, data]))


def test_the_drift_widget(page: Any) -> None:
    rows = people(2).assign(**{LINK: IMAGE, IMAGE: people(2)[IMAGE] + 3})
    found = dataclasses.replace(compare(people(1), rows), model=SCRIPT, period=IMAGE)
    data = {"data": found.to_dict(), "selected": LINK, "threshold": 0.2}
    text = rendered(page, drift_widget, "drift.js", data)
    assert IMAGE in text  # as a feature's name, as it is
    unhurt(page)


def test_the_table_of_runs(page: Any) -> None:
    from datetime import UTC, datetime

    runs = tuple(
        Run(
            str(i),
            text,
            "finished",
            datetime.now(UTC),
            1.0,
            {text: float(i), "auc": 0.1 * i},
            {"p": text},
            {},
        )
        for i, text in enumerate(HOSTILE)
    )
    widget = runs_widget.RunsWidget(RunList(runs, plot=("auc",)))
    text = rendered(page, runs_widget, "runs.js", {"data": widget.data})
    assert SCRIPT in text
    unhurt(page)


def test_pages_that_are_written(page: Any) -> None:
    table = html_table(HOSTILE, [HOSTILE] * 3, title=SCRIPT)
    markdown = "\n\n".join([*map(_text, HOSTILE), *map(_code, HOSTILE)])
    for whole in (page_of(IMAGE, table), Card("m", 1, markdown).page()):
        page.set_content(whole)
        assert SCRIPT in page.inner_text("body")
        unhurt(page)


def test_a_pages_own_policy(page: Any, tmp_path: Path) -> None:
    """Even markup that somebody forgot to escape runs nothing and fetches nothing."""
    blocked: list[str | None] = []
    answered: list[str] = []
    page.on("requestfailed", lambda request: blocked.append(request.failure))
    page.on("response", lambda response: answered.append(response.url))
    path = tmp_path / "page.html"
    path.write_text(page_of("", f"{SCRIPT}{IMAGE}<img src='http://127.0.0.1:9/x.png'>"))
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    assert page.evaluate("window.hurt") is None
    assert blocked
    assert set(blocked) == {"csp"}
    assert answered == [path.as_uri()]


def test_evidentlys_report_whose_own_scripts_run(page: Any, tmp_path: Path) -> None:
    path = evidently_report(people(1), people(2).assign(**{LINK: IMAGE}), path=tmp_path / "report.html")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.get_by_text("Dataset Drift").first.wait_for()
    assert page.evaluate("window.hurt") is None
    assert not [url for url in asked if url.startswith("http")]
