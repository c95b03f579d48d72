"""What `make generated` has written is what the code says now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import front_records
import generated
import pytest

from mlops_workbench.base.values import Value
from mlops_workbench.interface import typescript


@pytest.mark.parametrize(("path", "made"), generated.EXACT.items(), ids=lambda one: getattr(one, "name", ""))
def test_it_is_as_made_now(path: Path, made: Callable[[], str]) -> None:
    assert path.read_text() == made(), "run make generated"


def test_the_fixtures_have_the_shape_of_records_made_now(tmp_path: Path) -> None:
    kept = json.loads(generated.FIXTURES.read_text())
    fresh = front_records.made(tmp_path)
    assert front_records.shape(kept) == front_records.shape(fresh), "run make generated"
    assert kept == front_records.fixed(kept), "what differs from run to run was kept"


@dataclass(frozen=True)
class Own(Value):
    """Says otherwise than its fields."""

    name: str

    def to_dict(self) -> dict[str, Any]:
        return {"title": self.name}


def test_a_record_with_a_form_of_its_own_is_not_described_by_its_fields() -> None:
    with pytest.raises(AssertionError, match="Own"):
        typescript.records([Own], merged={})
