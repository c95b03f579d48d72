from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.base.errors import Conflict, InvalidConfig, NotFound, UsageError
from mlops_workbench.config import project as projects


def test_init_makes_policy_and_state_once(tmp_path: Path) -> None:
    made = projects.init(tmp_path, "flights")
    assert made.created
    assert made.policy.gate.tolerance == 0.02
    (tmp_path / "mlops.toml").write_text('[project]\nname = "flights"\n[gate]\ntolerance = 0.5\n')
    again = projects.init(tmp_path, "flights")
    assert not again.created
    assert again.policy.gate.tolerance == 0.5
    assert (tmp_path / ".mlops" / ".gitignore").read_text() == "*\n"


def test_a_project_is_found_from_below(tmp_path: Path) -> None:
    projects.init(tmp_path, "flights")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert projects.find(below).root == tmp_path
    with pytest.raises(NotFound, match=r"mlops\.toml"):
        projects.find(Path("/"))


def test_a_folder_is_one_project(tmp_path: Path) -> None:
    projects.init(tmp_path, "flights")
    with pytest.raises(Conflict, match="already names this project 'flights', not 'trains'"):
        projects.init(tmp_path, "trains")


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "x" * 101, "naïve"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name of a project"):
        projects.init(tmp_path, name)
    assert not list(tmp_path.iterdir())


HEAD = '[project]\nname = "x"\n'


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[project\n", "is not TOML"),
        ("", r"must have \[project\]"),
        ("[project]\nname = 3\n", r"must have \[project\]"),
        (HEAD + "[gat]\n", r"section \[gat\] that is not known\. Did you mean 'gate'"),
        (HEAD + "[gate]\ntolerence = 0.1\n", "no key 'tolerence'. Did you mean 'tolerance'"),
        (HEAD + '[gate]\ntolerance = "much"\n', "tolerance must be a number. Got 'much' instead"),
        (HEAD + "[gate]\ntolerance = true\n", "tolerance must be a number"),
        (HEAD + "[gate]\ntolerance = -1\n", "must not be negative"),
        (HEAD + "[gate]\nconfidence = 1\n", "between 0 and 1"),
        (HEAD + '[gate]\nfirst_version = "maybe"\n', "'allow' or 'refuse'"),
        (HEAD + '[gate.thresholds]\nroc_auc = "high"\n', "must map names to numbers"),
        (HEAD + "[gate.slices]\ncolumns = 'carrier'\n", r"\[gate.slices\] columns must be a list of texts"),
        (HEAD + "[gate.slices]\ntolerance = 0.2\n", r"\[gate.slices\] columns must name a column or more"),
        (HEAD + "[gate.slices]\ncolumns = ['a']\nminimum_rows = 0\n", "minimum_rows must be 1 or more"),
        (HEAD + "[gate.slices]\ncolumns = ['a']\nminimum_rows = 1.5\n", "must be a whole number"),
        (HEAD + "[gate.slices]\ncolumns = ['a']\ntolerance = -1\n", "tolerance must not be negative"),
        (HEAD + "[gate.slice]\n", r"\[gate\] has no key 'slice'. Did you mean 'slices'"),
        (HEAD + "[gate.fairness]\nlimit = 0.2\n", "column must name the sensitive column"),
        (
            HEAD + "[gate.fairness]\ncolumn = 'a'\nmetric = 'parity'\n",
            "must end in '_difference' or '_ratio'",
        ),
        (HEAD + "[gate.fairness]\ncolumn = 'a'\nlimit = -0.1\n", "limit must not be negative"),
        (
            HEAD + "[gate.fairness]\ncolumn = 'a'\nmetric = 'x_ratio'\nlimit = 2\n",
            "between 0 and 1 for a ratio",
        ),
        (HEAD + "[gate.latency]\nrows = 5\n", "must set p99_ms or memory_mb"),
        (HEAD + "[gate.latency]\np99_ms = -5\n", "p99_ms must not be negative"),
        (HEAD + "[gate.latency]\np99_ms = 5\nrows = 0\n", "rows must lie between 1 and 10000"),
        (HEAD + "[gate.regression]\ntolerance = 1\n", "cases must name a file"),
        (HEAD + "[gate.regression]\ncases = 'x.xlsx'\n", "must be a .csv or .parquet file"),
        (HEAD + "[gate]\nlatency = 5\n", "'gate.latency' must be a section"),
        (HEAD + "[drift]\nwarn = 0.5\n", "warn ≤ drift"),
        (HEAD + "[image]\nbase = 3\n", "base must be a text"),
        ("gate = 3\n" + HEAD, "'gate' must be a section"),
    ],
)
def test_a_wrong_policy_names_file_key_and_value(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "mlops.toml").write_text(toml)
    with pytest.raises(InvalidConfig, match=sentence) as refused:
        projects.load(tmp_path)
    assert str(tmp_path / "mlops.toml") in str(refused.value)


def test_the_examples_of_the_template_are_a_policy(tmp_path: Path) -> None:
    """What stands there commented out can be uncommented as it is."""
    projects.init(tmp_path, "flights")
    path = tmp_path / "mlops.toml"
    lines = path.read_text().splitlines()
    first, last = lines.index("[gate.thresholds]"), lines.index("[drift]")
    lines[first:last] = [line.removeprefix("# ") for line in lines[first:last]]
    path.write_text("\n".join(lines))
    gate = projects.load(tmp_path).policy.gate
    assert gate.slices.columns == ("carrier",)
    assert gate.fairness.column == "sex"
    assert gate.latency.p99_ms == 50.0
    assert gate.regression.cases == "contracts/cases.csv"
    assert gate.thresholds == {"roc_auc": 0.6}


def test_the_environment_moves_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = projects.init(tmp_path, "flights")
    assert made.store_url == f"sqlite:///{tmp_path}/.mlops/workbench.db"
    monkeypatch.setenv("MLOPS_STORE_URL", "postgresql+psycopg://somewhere/x")
    assert made.store_url == "postgresql+psycopg://somewhere/x"
