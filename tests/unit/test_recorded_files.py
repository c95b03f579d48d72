"""`reproduce` names the files that the code reads and no record holds, before a job is started."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from projects import trips

from mlops_workbench.base.errors import NotFound
from mlops_workbench.notebooks import recipe, reproduction
from mlops_workbench.notebooks.recipe import Recipe
from mlops_workbench.notebooks.recorded_files import FilesRead
from mlops_workbench.track.records import Run
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

FIT = """
from sklearn.tree import DecisionTreeClassifier
model = DecisionTreeClassifier(max_depth=2, random_state=1).fit(train[["hour", "größe"]], train["late"])
"""


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


def recorded(workbench: Workbench, *cells: str, data: str = "train") -> Recipe:
    """Run the cells in the project's folder, the last one tracked, and read its recipe as `reproduce` does."""
    space: dict[str, Any] = {"train": trips(seed=1), "test": trips(seed=2)}
    workbench.namespace = space
    *earlier, last = cells
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workbench.project.root)
        for cell in earlier:
            exec(cell, space)
        tracked = Cell(last, lambda: exec(last, space), space, earlier=tuple(earlier))
        workbench.run(tracked, name="tree", data=data, evaluate="test", target="late")
    workbench.register("model", name="trips", target="late")
    stored = workbench.tracking.version("trips", 1)
    return recipe.recorded(workbench.project, workbench.store, workbench.tracking, stored)


def write(workbench: Workbench, name: str, text: str = "hour\n7\n") -> Path:
    path = workbench.project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


READ = "import pandas as pd\nhours = pd.read_csv('data/hours.csv')"
USE = "train = train[train['hour'] != hours['hour'][0]]\n" + FIT


def test_a_file_that_no_record_holds_is_named_before_a_job_starts(workbench: Workbench) -> None:
    write(workbench, "data/hours.csv")
    with pytest.raises(NotFound) as raised:
        recorded(workbench, "x = 1", READ, USE)
    assert raised.value.message == (
        "The code of the run 'tree' reads what no record holds: 'data/hours.csv'."
    )
    assert raised.value.next_step.startswith("Commit the file, or give it")
    with pytest.raises(NotFound, match=r"'data/hours\.csv'"):
        workbench.reproduce("trips/1")
    assert workbench.jobs().jobs == ()


def test_a_committed_file_is_held_and_one_that_is_ignored_is_not(workbench: Workbench) -> None:
    root = workbench.project.root
    write(workbench, "data/hours.csv")
    write(workbench, "other.csv")
    write(workbench, ".gitignore", "other.csv\n.mlops\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    with pytest.raises(NotFound, match=r"holds: '\./other\.csv'\."):
        recorded(workbench, READ, "other = pd.read_csv('./other.csv')", "hours += other\n" + USE)


def test_a_project_below_the_repository_is_found(workbench: Workbench) -> None:
    path = write(workbench, "data/hours.csv")
    root = workbench.project.root.parent
    git(root, "init", "-q")
    git(root, "add", str(path))
    git(root, "commit", "-q", "-m", "first")
    assert recorded(workbench, READ, USE).files == FilesRead()


@pytest.mark.parametrize("place", ["{}/hours.csv", "~/hours.csv"])
def test_an_absolute_path_is_read_as_it_is_now_and_missing_only_where_it_is_gone(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = place.format(tmp_path)
    (tmp_path / "hours.csv").write_text("hour\n7\n")
    made_of = recorded(workbench, READ.replace("data/hours.csv", place), USE)
    assert made_of.files == FilesRead(as_now=(place,))
    (tmp_path / "hours.csv").unlink()
    with pytest.raises(NotFound, match=f"'{place}'"):
        workbench.reproduce("trips/1")


def test_uncommitted_changes_hold_new_files(workbench: Workbench) -> None:
    root = workbench.project.root
    git(root, "init", "-q")
    git(root, "add", "mlops.toml")
    git(root, "commit", "-q", "-m", "first")
    write(workbench, "größe 1.csv")
    assert recorded(workbench, READ.replace("data/hours", "größe 1"), USE).files == FilesRead()


def test_rows_that_were_given_as_a_file_are_written_again(workbench: Workbench) -> None:
    path = workbench.project.root / "hours.csv"
    trips(seed=3).drop(columns="carrier").to_csv(path, index=False)
    fit = "import pandas as pd\ntrain = pd.read_csv('hours.csv')\n" + FIT
    made_of = recorded(workbench, fit, data=str(path))
    assert made_of.files == FilesRead({"hours.csv": made_of.stored.tags["data.sha256"]})


def test_nothing_is_claimed_of_a_file_that_an_earlier_cell_may_have_made(workbench: Workbench) -> None:
    cells = (
        "from pathlib import Path\nplace = Path('made')\nplace.mkdir(exist_ok=True)",
        "train[['hour']].head().to_csv(place / 'hours.csv')",
        "import pandas as pd\nhours = pd.read_csv('made/hours.csv')",
    )
    assert recorded(workbench, *cells, USE).files == FilesRead()


def test_a_cell_that_only_read_the_given_rows_is_not_needed_and_not_reported(workbench: Workbench) -> None:
    trips(seed=3).drop(columns="carrier").to_csv(workbench.project.root / "trips.csv", index=False)
    cells = ("import pandas as pd", "train = pd.read_csv('trips.csv')", FIT)
    made_of = recorded(workbench, *cells)
    assert (made_of.files, made_of.needed) == (FilesRead(), (2,))


@pytest.mark.parametrize(
    ("cell", "refused"),
    [
        ("train = pd.read_csv('trips.csv')\n", False),
        ("train = pd.read_csv(\n    'trips.csv',\n)\nseen = pd.read_csv('trips.csv')\n", True),
        (
            "train = pd.read_csv('trips.csv')\ntrain['hour'] = train['hour'] + 0\n",
            True,
        ),  # what was kept came later
        ("train = pd.read_csv('trips.csv'); x = 1\n", True),
    ],
)
def test_a_cell_that_reads_the_rows_it_was_given_gets_them_from_the_record(
    workbench: Workbench, cell: str, refused: bool
) -> None:
    trips(seed=3).drop(columns="carrier").to_csv(workbench.project.root / "trips.csv", index=False)
    cells = ("import pandas as pd", cell + FIT)
    if refused:
        with pytest.raises(NotFound, match=r"'trips\.csv'"):
            recorded(workbench, *cells)
        return
    made_of = recorded(workbench, *cells)
    assert made_of.files == FilesRead()
    assert "read_csv" not in made_of.cells[-1]
    assert made_of.rows["train"] == workbench.tracking.run("tree").tags["data.sha256"]


@pytest.mark.parametrize(
    ("params", "tags", "said"),
    [
        (
            {"forest__random_state": "None"},
            {},
            ("no seed was set (forest__random_state is None): each fit draws",),
        ),
        ({"C": "1"}, {}, ("no seed was set: each fit draws",)),
        ({"random_state": "7"}, {}, ()),
        ({"random_state": "None"}, {"seed.numpy.random.seed": "1"}, ()),
        ({"random_state": "None"}, {"seed.PYTHONHASHSEED": "0"}, ("no seed was set (random_state is None)",)),
    ],
)
def test_a_missing_seed_is_named(params: dict[str, str], tags: dict[str, str], said: tuple[str, ...]) -> None:
    run = Run("1", "r", "finished", datetime.now(UTC), 1.0, {}, params, tags)
    found = reproduction._unseeded(run)
    assert len(found) == len(said)
    assert all(text.startswith(wanted) for text, wanted in zip(found, said, strict=True))
