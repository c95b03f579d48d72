from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench import project as projects
from mlops_workbench.errors import Conflict, InvalidConfig, NotFound, UsageError


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


def test_the_environment_moves_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = projects.init(tmp_path, "flights")
    assert made.store_url == f"sqlite:///{tmp_path}/.mlops/workbench.db"
    monkeypatch.setenv("MLOPS_STORE_URL", "postgresql+psycopg://somewhere/x")
    assert made.store_url == "postgresql+psycopg://somewhere/x"
