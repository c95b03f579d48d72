"""Kill -9 at random in every verb that writes: what is left is right, or says what was repaired. See `kills.py`."""

from __future__ import annotations

import kills
import pytest

from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.both_stores
KILLS = 24


@pytest.mark.prepared(by=kills.built)
def test_whatever_is_killed_leaves_a_project_that_is_right(workbench: Workbench) -> None:
    workbench.close()
    try:
        found = kills.run(workbench.project.root, KILLS, seed=11)
    finally:
        kills.stop_all(workbench.project.root)
    assert found.wrong == []
    assert found.landed.total() == KILLS
    assert len(found.landed) >= 8
