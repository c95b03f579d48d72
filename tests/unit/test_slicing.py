"""The backward slice: what a cell depends on, and what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.track import slicing

CELLS = [
    "%load_ext mlops_workbench\nimport pandas as pd\nimport numpy as np",  # 0
    "np.random.seed(7)",  # 1
    "raw = pd.read_csv('x.csv')",  # 2
    "raw['double'] = raw['a'] * 2",  # 3
    "other = pd.read_csv('y.csv')\nprint(raw)",  # 4
    "def fit(frame):\n    return helper(frame)",  # 5
    "def helper(frame):\n    return frame.mean()",  # 6
    "%mlops serve flights",  # 7
    "%%bash\nrm -rf /",  # 8
    "raw.dropna(inplace=True)",  # 9
    "raw.plot();",  # 10
]


def test_the_cells_that_made_or_changed_what_is_needed_are_kept() -> None:
    assert slicing.needed(CELLS, "model = fit(raw)") == [0, 1, 2, 3, 5, 6, 9, 10]


def test_what_is_given_needs_no_cell() -> None:
    assert slicing.needed(CELLS, "model = fit(raw)", given={"raw"}) == [0, 1, 5, 6]


def test_a_later_definition_makes_the_earlier_one_needless() -> None:
    assert slicing.needed(["x = 1", "x = 2"], "y = x") == [1]
    assert slicing.needed(["x = 1", "x = x + 1"], "y = x") == [0, 1]


def test_magics_are_left_out_and_their_bodies_kept() -> None:
    assert slicing.runnable("%%mlops run --name x\nmodel = 1\n%mlops validate y") == "model = 1"
    assert slicing.runnable("%%bash\nls") == ""
    assert slicing.runnable("!pip install x\n%matplotlib inline\ny = 1") == "%matplotlib inline\ny = 1"
    assert slicing.runnable("%load_ext mlops_workbench\nz = 2") == "z = 2"
    assert slicing.names("x = %mlops predict flights y").makes == {"x"}
    assert slicing.names("if a:\n    %time\n    b = 1").readable


def test_what_cannot_be_read_is_kept() -> None:
    assert slicing.needed(["this is (no python"], "y = 1") == [0]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=2)), max_size=12
    ),
    st.sampled_from("abcdef"),
)
def test_the_slice_gives_the_value_that_all_cells_give(steps: list[tuple[str, list[str]]], last: str) -> None:
    """Run all cells, and run the kept ones alone: the last cell sees the same value."""
    cells = [f"{name} = ({n}, {' '.join(f'{u},' for u in uses)})" for n, (name, uses) in enumerate(steps)]
    start = {name: (name,) for name in "abcdef"}
    whole, part = dict(start), dict(start)
    for cell in cells:
        exec(cell, {}, whole)
    for place in slicing.needed(cells, f"print({last})\nresult = {last}"):
        exec(cells[place], {}, part)
    assert part[last] == whole[last]


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("a = read_csv('x')\nb = 1", "# a: as it was recorded\nb = 1"),
        ("%%mlops run --name r \\\n --data a\na = pd.read_csv(\n  'x')\nb = 1", None),
        ("a = load('x').dropna()", "# a: as it was recorded\n"),
        ("a = 1", "a = 1"),
        ("a = read_csv('x')\na = a[1:]", "a = read_csv('x')\na = a[1:]"),
        ("a = read_csv('x')\na['b'] = 1", "a = read_csv('x')\na['b'] = 1"),
        ("a = (", "a = ("),
    ],
)
def test_rows_of_the_record_take_the_place_of_reading_them(cell: str, wanted: str | None) -> None:
    if wanted is None:
        wanted = "%%mlops run --name r \\\n --data a\n# a: as it was recorded\n\nb = 1"
    assert slicing.with_recorded(cell, {"a"}) == wanted
    assert slicing.with_recorded(cell, {"z"}) == cell
