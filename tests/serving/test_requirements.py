"""What is locked for an image: the closure of what is installed here."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement

from mlops_workbench.base.errors import NotFound
from mlops_workbench.track.requirements import RUNTIME, WORKSHOP, for_model, locked


def _names(lines: object) -> set[str]:
    return {str(line).partition("==")[0] for line in lines}  # type: ignore[attr-defined]


def test_the_closure_is_closed() -> None:
    lines = locked(["pandas", "fastapi"])
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0])
    names = _names(lines)
    assert {"pandas", "numpy", "python-dateutil", "six", "starlette", "pydantic-core"} <= names
    for line in lines:
        name, _, version = line.partition("==")
        assert metadata.version(name) == version
        for needed in metadata.requires(name) or []:
            requirement = Requirement(needed)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert requirement.name.lower().replace("_", "-") in names


def test_extras_and_markers() -> None:
    assert "prettytable" in _names(locked(["skops"]))
    assert "rich" not in _names(locked(["skops"]))
    assert "rich" in _names(locked(["skops[rich]"]))
    assert "tomli" not in _names(locked(["pytest"]))  # only below Python 3.11


def test_a_models_requirements() -> None:
    names = _names(for_model({"sklearn.linear_model", "scipy", "json", "mlflow", "papermill", "IPython"}))
    assert set(RUNTIME) <= names
    assert not names & WORKSHOP
    assert "psycopg" not in names
    assert {"psycopg", "psycopg-binary"} <= _names(for_model([], also=["psycopg[binary]"]))
    assert "polars" in _names(for_model(["polars"]))


def test_what_is_not_installed_is_told() -> None:
    with pytest.raises(NotFound, match="'no-such-thing' is not installed"):
        locked(["no-such-thing"])
    with pytest.raises(NotFound, match="The module 'my_helpers' belongs to no"):
        for_model(["my_helpers"])
