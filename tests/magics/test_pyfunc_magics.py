"""Models of other flavours, registered from cells."""

from __future__ import annotations

from typing import Any

import flavoured
import pytest

BOOSTED = f"""%%mlops run --name boosted --data train --eval test --target delay
{flavoured.BOOSTER}"""


@pytest.mark.filterwarnings("ignore:.*Hint. Inferred schema contains integer column")
@pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict` method")
def test_a_booster_and_a_python_model_in_cells(notebook: Any) -> None:
    frame = flavoured.reports()
    notebook.shell.user_ns |= {
        "train": frame[["hour", "wind", "gap", "delay"]],
        "test": flavoured.reports(200, seed=7)[["hour", "wind", "gap", "delay"]],
        "told": frame[["report", "wind", "label"]],
        "held": flavoured.reports(200, seed=7)[["report", "wind", "label"]],
    }
    ran = notebook.run(BOOSTED)
    assert ran.success, ran.text
    ran = notebook.run("%mlops register runs:/boosted/model --name delays")
    assert ran.success, ran.text
    assert "original path: it is served through MLflow's pyfunc (lightgbm)" in ran.plain
    ran = notebook.run("%mlops register booster --name delays")  # the variable that the run's cell made
    assert ran.success, ran.text
    assert "Version 2 of 'delays' (candidate)" in ran.plain
    assert notebook.run("%mlops gate delays --first").success
    ran = notebook.run("%mlops models")
    assert "original" in ran.plain

    assert notebook.run(flavoured.WORDS).success
    ran = notebook.run("%mlops register words --name reports --data told --eval held --target label")
    assert ran.success, ran.text
    assert "pyfunc (python_function)" in notebook.run("%mlops lineage reports/1").plain
    ran = notebook.run("%mlops register words --name reports --data told")
    assert not ran.success
    assert "Say which is the label: --target" in ran.text
