"""Whatever is stored or sent is data in every HTML that is written or shown: no tag, no link and no script of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from hostile import HOSTILE, IMAGE, LINK, SCRIPT, people
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import set_policy
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench.base.errors import NotPassed
from mlops_workbench.base.page import POLICY, page
from mlops_workbench.base.values import Value, html_table
from mlops_workbench.monitor.drift import compare
from mlops_workbench.monitor.reports import evidently_report
from mlops_workbench.registry.card import Card, _code, _text
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

ALLOWED = frozenset(
    re.findall(
        r"\w+",
        """html head meta title style body div span table thead tbody tr th td b p br h1 h2 h3 ul ol li code pre details
        summary img svg rect line path circle text polyline g strong em a hr del""",
    )
)


class Seen(HTMLParser):
    """What a browser would make of it: tags and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def harmless(html: str) -> None:
    seen = Seen()
    seen.feed(html)
    for tag, attributes in seen.tags:
        assert tag in ALLOWED, f"<{tag}> in {html[:2000]}"
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("srcdoc", "formaction", "action"), (tag, name)
            if name in ("href", "src"):
                assert str(value).startswith("data:image/png;base64,") or tag == "a", (tag, value)
                assert tag != "a" or re.match("https?://|#", str(value)), value
    titles = re.findall("<h1>(.*?)</h1>", html)
    assert "big" not in titles


def tracked(workbench: Workbench, name: str) -> Any:
    space: dict[str, Any] = workbench.namespace  # type: ignore[assignment]
    code = f'# {SCRIPT}\nmodel.fit(train.drop(columns="y"), train["y"])'
    cell = Cell(code, lambda: exec(code, dict(space)), space)
    return workbench.run(cell, name=name, data="train", evaluate="test", positive=SCRIPT)


def variables(workbench: Workbench) -> None:
    space: dict[str, Any] = workbench.namespace  # type: ignore[assignment]
    space["train"], space["test"] = people(1), people(2)
    space["model"] = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [LINK]), remainder="passthrough"),
        LogisticRegression(C=0.5),
    )


def hostile(workbench: Workbench) -> None:
    variables(workbench)
    for name in (SCRIPT, IMAGE):
        tracked(workbench, name)
    workbench.register("model", name="people")


def reports(workbench: Workbench) -> Iterator[Any]:
    """Each verb that shows something, on records that hold hostile texts."""
    yield tracked(workbench, IMAGE)
    yield workbench.runs(plot=("roc_auc",))
    yield workbench.compare(SCRIPT, IMAGE)
    with pytest.raises(NotPassed) as red:
        workbench.gate("people", version=1, first=True)
    yield red.value.report
    yield workbench.promote("people", version=1, why=SCRIPT, force=True)
    yield workbench.alias("people", "other", version=1, why=IMAGE)
    for show in ("history", "lineage", "card"):
        yield getattr(workbench, show)("people")
    yield workbench.contract("people-contract", data="train")
    yield workbench.validate("train", contract="people-contract")
    yield workbench.snapshot("train", name="people")
    yield workbench.snapshot()
    for verb in ("status", "models", "ledger", "alerts", "deployments", "jobs", "images", "doctor"):
        yield getattr(workbench, verb)()


@pytest.mark.prepared(by=hostile)
def test_no_verb_shows_a_text_as_html(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    variables(workbench)
    monkeypatch.setenv("MLOPS_USER", IMAGE)
    set_policy(
        workbench,
        f'[gate.fairness]\ncolumn = {LINK!r}\nmetric = "selection_rate_difference"\nlimit = 0.0\n'
        f"[gate.slices]\ncolumns = [{LINK!r}]\n",
    )
    (workbench.project.root / "cards").mkdir()
    (workbench.project.root / "cards" / "people.md").write_text("\n\n".join(HOSTILE))
    shown = 0
    for value in reports(workbench):
        assert isinstance(value, Value)
        harmless(value._repr_html_())
        shown += 1
        if callable(getattr(value, "page", None)):
            whole = value.page()
            harmless(whole)
            assert POLICY in whole
    assert shown == 21
    kept = workbench.tracking.files(workbench.version("people", 1).run_id)
    pages = [name for name in kept if name.endswith(".html")]
    assert pages
    for name in pages:
        harmless(workbench.tracking.text(workbench.version("people", 1).run_id, name))


def test_drift_shows_names_and_values_as_texts(tmp_path: Any) -> None:
    found = compare(people(1).drop(columns="y"), people(2).assign(**{LINK: IMAGE}).drop(columns="y"))
    harmless(found._repr_html_())
    written = evidently_report(people(1), people(2), path=tmp_path / "report.html").read_text()
    for text in HOSTILE:
        if "<" in text:
            assert text not in written
    assert "Content-Security-Policy" in written


TEXTS = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=40), st.text("<>\"'&`[]()!*_|\\/:;=", max_size=30)
)


@settings(max_examples=200)
@given(
    st.lists(TEXTS, min_size=2, max_size=2),
    st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=4),
    TEXTS,
)
def test_tables_pages_and_cards_hold_texts(heads: list[str], rows: list[list[str]], title: str) -> None:
    harmless(html_table(heads, rows, title=title))
    harmless(page(title, html_table(heads, rows)))
    body = "\n\n".join(
        [f"# {_text(title)}", _text(heads[0]), f"It is {_code(heads[1])}.", f"| {_text(title)} |\n|---|"]
    )
    made = Card("m", 1, body)._repr_html_()
    harmless(made)
    assert "<a " not in made
    assert "<img" not in made
