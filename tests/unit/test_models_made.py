"""The maker of a model is the run that fitted it."""

from __future__ import annotations

from typing import Any

import pytest
from projects import trips

from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

FIT = 'from projects import pipeline\nmodel = pipeline().fit(january.drop(columns="late"), january["late"])\n'


@pytest.fixture
def space(workbench: Workbench) -> dict[str, Any]:
    names = {"january": trips(seed=1), "february": trips(seed=2)}
    workbench.namespace = names
    return names


def run(workbench: Workbench, space: dict[str, Any], code: str, **options: Any) -> Any:
    return workbench.run(Cell(code, lambda: exec(code, space), space), **options)


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ('print(model.score(february.drop(columns="late"), february["late"]))', []),
        ("best = model", []),
        ('model.fit(february.drop(columns="late"), february["late"])', ["model"]),
        ('model.fit(january.drop(columns="late"), january["late"])', ["model"]),
        ("model.steps[-1][1].coef_ += 1.0", ["model"]),
        ('other = pipeline().fit(february.drop(columns="late"), february["late"])\nmodel', ["other"]),
    ],
)
def test_what_a_later_cell_makes(
    workbench: Workbench, space: dict[str, Any], code: str, made: list[str]
) -> None:
    first = run(workbench, space, FIT, name="first", data="january")
    assert list(first.models) == ["model"]
    later = run(workbench, space, code, name="later", data="february")
    assert list(later.models) == made
    run_of_it = workbench.register("model", name="trips").run_id
    assert run_of_it == (later if "model" in made else first).run.id


def test_a_model_that_is_only_mentioned_is_evaluated_still(
    workbench: Workbench, space: dict[str, Any]
) -> None:
    exec(FIT, space)
    later = run(workbench, space, "model", name="later", data="january", evaluate="february")
    assert (list(later.models), later.run.metrics["roc_auc"] > 0.5) == ([], True)


def test_two_names_of_one_model_are_one_model(workbench: Workbench, space: dict[str, Any]) -> None:
    done = run(workbench, space, FIT + "best = model", name="r", data="january", evaluate="february")
    assert (list(done.models), done.evaluation is None) == (["best"], False)
