from __future__ import annotations

import re

import pytest
from projects import fit, trips

from mlops_workbench.base.errors import NotFound
from mlops_workbench.track import requirements
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


@pytest.mark.both_stores
def test_what_differs_between_two_runs_is_named(workbench: Workbench) -> None:
    fit(workbench, c=1.0, run="one")
    workbench.namespace["train"].loc[0, "hour"] += 1  # type: ignore[index]
    fit(workbench, c=0.01, run="two")
    found = workbench.compare("one", "two")
    changed = {(d.what, d.name): (d.first, d.second) for d in found.differences}
    assert changed["parameter", "logisticregression__C"] == ("1.0", "0.01")
    first, second = changed["data", "fitted on"]
    assert first != second
    assert ("data", "held out") not in changed
    assert not [d for d in found.differences if d.what == "package"]
    assert "-model = pipeline(C=1.0)" in found.code
    assert "+model = pipeline(C=0.01)" in found.code
    assert {m.name for m in found.metrics} >= {"roc_auc", "log_loss"}
    assert "difference" in found.text()
    assert "<details" in found._repr_html_()


def test_parameters_of_another_kind_of_estimator_are_folded(workbench: Workbench) -> None:
    """Two estimators have dozens of parameters that the other does not know: what both know is not lost in them."""
    fit(workbench, run="one")
    two = 'from sklearn.tree import DecisionTreeClassifier\nnumbers = train[["hour", "größe"]]\n'
    two += 'model = DecisionTreeClassifier().fit(numbers, train["late"])\n'
    space = dict(workbench.namespace)
    workbench.run(Cell(two, lambda: exec(two, space), space), name="two", data="train")
    page = workbench.compare("one", "two")._repr_html_()
    before, _, folded = page.partition("parameters that are defaults in both")
    assert "logisticregression__C" not in before
    assert "logisticregression__C" in folded
    assert "estimator" in before
    assert (
        "columntransformer__onehotencoder__handle_unknown" in before
    )  # chosen: its class has another default
    assert re.search(r"and \d+ parameters that are defaults in both", workbench.compare("one", "two").text())


def test_what_is_judged_on_other_rows_is_not_compared(workbench: Workbench) -> None:
    fit(workbench, run="one")
    fit(workbench, c=0.5, run="two")
    alike = workbench.runs()
    assert alike.title == ""
    assert "judged on" not in alike.table()[0]
    assert "different held-out rows" not in workbench.compare("one", "two").title
    workbench.namespace["test"] = trips(seed=9)  # type: ignore[index]
    fit(workbench, run="three")
    listed = workbench.runs()
    heads, rows = listed.table()
    place = heads.index("judged on")
    assert rows[0][place] != rows[1][place] == rows[2][place]
    assert heads.index("judged on") < heads.index("roc_auc")
    assert "2 different sets of held-out rows" in listed.text()
    found = workbench.compare("one", "three")
    assert "different held-out rows" in found.title
    assert {row[3] for row in found._metric_rows()} == {None}


def test_a_run_beside_itself_differs_in_nothing(workbench: Workbench) -> None:
    fit(workbench, run="one")
    found = workbench.compare("one", "one")
    assert (found.differences, found.code) == ((), "")
    assert "no difference" in found.title
    with pytest.raises(NotFound, match=r"no run 'tow'"):
        workbench.compare("one", "tow")


def test_a_run_records_its_environment(workbench: Workbench) -> None:
    fit(workbench, run="one")
    run = workbench.runs().runs[0]
    recorded = workbench.tracking.text(run.id, "requirements.txt").splitlines()
    assert recorded == list(requirements.installed())
    assert any(line.startswith("scikit-learn==") for line in recorded)
