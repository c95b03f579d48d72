from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import trips

from mlops_workbench.base.errors import ContractViolation, InvalidConfig, InvalidData, NotFound, UsageError
from mlops_workbench.data import checking, contracts, frames, inferring
from mlops_workbench.data.verdict import breaches
from mlops_workbench.workbench import Workbench

names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=10)
columns = st.one_of(
    st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5),
    st.lists(st.integers(-1000, 1000), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.lists(st.sampled_from(["a", "ü", "x y", "1", "true", "null", ": ["]), min_size=5, max_size=5),
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(names, columns, min_size=1, max_size=4))
def test_data_keep_the_contract_that_was_inferred_from_them(
    tmp_path_factory: Any, data: dict[str, list[Any]]
) -> None:
    frame = pd.DataFrame(data)
    contract = inferring.infer_contract(frame, "c")
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    contracts.write(contract, path)
    assert contracts.read(path) == contract
    assert breaches(checking.check(frame, contract)) == ()


def broken(change: Any) -> set[tuple[str, str, str]]:
    frame = trips()
    contract = inferring.infer_contract(frame, "c")
    return {(b.column, b.check, b.level) for b in breaches(checking.check(change(frame.copy()), contract))}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda f: f.drop(columns="größe"), ("größe", "column is missing", "error")),
        (lambda f: f.assign(new=1), ("new", "column is not in the contract", "error")),
        (lambda f: f.assign(**{"wind speed": np.nan}), ("wind speed", "column is empty", "error")),
        (lambda f: f.assign(hour=f["hour"].astype(str)), ("hour", "type is text, must be number", "error")),
        (lambda f: f.assign(hour=np.nan), ("hour", "column is empty", "error")),
        (lambda f: f.assign(hour=f["hour"].where(f.index > 3)), ("hour", "value is missing", "error")),
        (lambda f: f.assign(größe=np.where(f.index < 2, np.inf, 0)), ("größe", "value is infinite", "error")),
        (lambda f: f.assign(hour=500), ("hour", "above 30.5", "warn")),
        (lambda f: f.assign(carrier="??"), ("carrier", "value is not in the list", "warn")),
    ],
)
def test_each_breach_names_column_and_check(change: Any, wanted: tuple[str, str, str]) -> None:
    assert wanted in broken(change)


def test_one_broken_column_does_not_hide_the_others() -> None:
    def everything(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(columns="größe").assign(hour=np.inf, carrier=None, late=frame["late"].astype(str))

    assert {column for column, *_ in broken(everything)} == {"größe", "hour", "carrier", "late"}


def test_validate_infers_once_then_checks(workbench: Workbench) -> None:
    first = workbench.validate("train", contract="trips")
    assert first.inferred
    path = Path(first.path)
    before = path.read_text()
    assert workbench.validate("test", contract="trips").passed
    bad = trips().assign(hour="noon")
    with pytest.raises(ContractViolation, match="column 'hour': type is text, must be number") as refused:
        workbench.validate(bad, contract="trips")
    assert refused.value.report.to_dict()["passed"] is False
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("type: number", "type: nmber"),
            "must be one of number, text, boolean, time, any. Got 'nmber' instead",
        ),
        (("nullable", "nulable"), "has no key 'nulable'. Did you mean 'nullable'"),
        (("level: warn", "level: loud"), "must be warn or error. Got 'loud' instead"),
        (("columns:", "colums:"), "must have 'columns'"),
        (
            ("extra_columns", "extra_colums"),
            "key 'extra_colums' that is not known. Did you mean 'extra_columns'",
        ),
        (("{", "{{"), "is not YAML"),
    ],
)
def test_a_wrong_contract_file_names_the_place(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    path = tmp_path / "c.yaml"
    contracts.write(inferring.infer_contract(trips(), "c"), path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InvalidConfig, match=sentence):
        contracts.read(path)


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ("jnuary", NotFound, "There is no DataFrame 'jnuary'. Did you mean 'january'"),
        ("gone.parquet", NotFound, "no file 'gone.parquet'"),
        ("number", UsageError, "must be a pandas DataFrame. Got int instead"),
        ("empty", InvalidData, "'empty' has no rows"),
        ("bare", InvalidData, "'bare' has no columns"),
        ("numbered", InvalidData, "a column named 0, which is not a text"),
        ("twice", InvalidData, "two columns named 'a'"),
    ],
)
def test_a_name_that_is_no_data_is_one_sentence(data: str, error: type[Exception], sentence: str) -> None:
    space = {
        "january": trips(),
        "number": 3,
        "empty": trips().head(0),
        "bare": pd.DataFrame(index=[1, 2]),
        "numbered": pd.DataFrame([[1]]),
        "twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    }
    with pytest.raises(error, match=sentence):
        frames.resolve(data, space)


def test_files_are_data_too(tmp_path: Path) -> None:
    trips().to_parquet(tmp_path / "t.parquet")
    trips().to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        assert frames.resolve(str(tmp_path / name), {})[0].shape == trips().shape


def test_a_fingerprint_is_of_content_and_schema() -> None:
    frame = trips()
    mark = frames.fingerprint(frame, "a")
    assert frames.fingerprint(frame.set_index(frame.index + 7), "b").sha256 == mark.sha256
    for other in (
        frame.assign(hour=frame["hour"].astype(float)),
        frame.rename(columns={"hour": "Hour"}),
        frame.iloc[::-1],
        frame.assign(hour=frame["hour"].where(frame.index > 0, 99)),
    ):
        assert frames.fingerprint(other, "a").sha256 != mark.sha256


@pytest.mark.parametrize("level", ["warn", "error"])
def test_a_limit_is_reported_at_the_level_of_its_column(level: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 9.0], "c": ["x", "z"]})
    rules = {
        "a": contracts.ColumnRule("number", maximum=5.0, level=level),
        "c": contracts.ColumnRule("text", values=("x",), level=level),
    }
    found = breaches(checking.check(frame, contracts.Contract("c", rules)))
    assert [(b.column, b.level, b.count) for b in found] == [("a", level, 1), ("c", level, 1)]
