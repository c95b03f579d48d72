"""Files that recorded cells are certain to read, by their syntax; what cannot be decided is left alone."""

from __future__ import annotations

import pytest

from mlops_workbench.notebooks.file_reads import FileRead, reads

IMPORTS = """
import io, json, os, shutil, subprocess, joblib
import numpy as np, pandas as pd, polars as pl
import pyarrow.parquet as pq
from pandas import read_json as from_json
from pathlib import Path
from urllib.request import urlretrieve
import helpers
from helpers import prepare
"""


def found(*cells: str, needed: tuple[int, ...] | None = None) -> list[tuple[int, str]]:
    everything = [IMPORTS, *cells]
    places = range(len(everything)) if needed is None else needed
    return [(r.cell - 1, r.path) for r in reads(everything, places, lambda module: module == "helpers")]


@pytest.mark.parametrize(
    "cell",
    [
        "df = pd.read_csv('data/x.csv', parse_dates=['day'])",
        "df = pd.read_parquet(path='data/x.csv')",
        "df = pd.read_excel('data/x.csv').dropna()",
        "df = from_json('data/x.csv')",
        "df = pl.scan_csv('data/x.csv').collect()",
        "df = pq.read_table('data/x.csv').to_pandas()",
        "a = np.load('data/x.csv')",
        "a = np.loadtxt('data/x.csv')",
        "model = joblib.load('data/x.csv')",
        "with open('data/x.csv', 'rb') as file:\n    a = json.load(file)",
        "text = open('data/x.csv').read()",
        "rows = [line for line in open('data/x.csv')]",
        "text = Path('data/x.csv').read_text()",
        "text = (Path('data') / 'x.csv').read_bytes()",
        "df = pd.read_csv(Path('data', 'x.csv'))",
        "df = pd.read_csv(os.path.join('data', 'x.csv'))",
        "with Path('data/x.csv').open() as file:\n    a = file.read()",
        "def load():\n    return pd.read_csv('data/x.csv')\ndf = load()",
        "df = prepare(pd.read_csv('data/x.csv'))",
        "%matplotlib inline\ndf = pd.read_csv('data/x.csv')\n!pip install thing",
        "%%time\ndf = pd.read_csv('data/x.csv')\ndf.to_csv(out)",
        "print('reading data/x.csv now')\ndf = pd.read_csv('data/x.csv')",
        "df = pd.read_csv('data/x.csv')\ndf.to_csv('data/x.csv')",
        "other.to_parquet('y.parquet')\ndf = pd.read_csv('data/x.csv')",
        "df = frame.copy().rename(columns={'a': 'b'})\ndf = pd.read_csv('data/x.csv')",
    ],
)
def test_a_file_that_is_read_whatever_comes_is_found(cell: str) -> None:
    assert found(cell) == [(1, "data/x.csv")]


@pytest.mark.parametrize(
    "cell",
    [
        "df = pd.read_csv(path)",
        "df = pd.read_csv(f'{folder}/x.csv')",
        "df = pd.read_csv(folder + '/x.csv')",
        "df = pd.read_csv(Path(folder) / 'x.csv')",
        "df = pd.read_csv('https://example.org/x.csv')",
        "df = pd.read_parquet('s3://bucket/x.parquet')",
        "df = pl.read_parquet('data/*.parquet')",
        "df = pd.read_json('[{\"a\": 1}]')",
        "df = pd.read_csv(io.StringIO('a,b'))",
        "df = pd.read_sql('select 1', connection)",
        "df = client.read_csv('x.csv')",
        "open('x.csv', 'w').write('a')",
        "open('x.csv', mode).read()",
        "noise = open('/dev/urandom', 'rb').read(8)",
        # it may not happen
        "if slow:\n    df = pd.read_csv('x.csv')",
        "try:\n    df = pd.read_csv('x.csv')\nexcept OSError:\n    df = None",
        "for _ in names:\n    df = pd.read_csv('x.csv')",
        "def load():\n    return pd.read_csv('x.csv')",
        "def load(known):\n    if known:\n        return 1\n    return pd.read_csv('x.csv')\nload(True)",
        "@cache\ndef load():\n    return pd.read_csv('x.csv')\nload()",
        "def load():\n    yield pd.read_csv('x.csv')\nload()",
        "df = old if old else pd.read_csv('x.csv')",
        "df = old or pd.read_csv('x.csv')",
        "dfs = [pd.read_csv('x.csv') for _ in names]",
        "later = lambda: pd.read_csv('x.csv')",
        # what comes before may have made it
        "frame.to_csv('x.csv')\ndf = pd.read_csv('x.csv')",
        "frame.to_csv('./out/x.csv')\ndf = pd.read_csv('out/x.csv')",
        "frame.to_csv(path)\ndf = pd.read_csv('x.csv')",
        "name = 'x.csv'\nframe.to_csv(name)\ndf = pd.read_csv('x.csv')",
        "frame.write_parquet(path)\ndf = pd.read_parquet('x.parquet')",
        "with open('x.csv', 'w') as file:\n    file.write('a')\ndf = pd.read_csv('x.csv')",
        "with open(path, 'w') as file:\n    file.write('a')\ndf = pd.read_csv('x.csv')",
        "Path('x.csv').write_text('a')\ndf = pd.read_csv('x.csv')",
        "Path(path).open('w').write('a')\ndf = pd.read_csv('x.csv')",
        "np.save(path, a)\nb = np.load('x.npy')",
        "joblib.dump(model, path)\nmodel = joblib.load('x.joblib')",
        "os.makedirs('data', exist_ok=True)\ndf = pd.read_csv('data/x.csv')",
        "shutil.unpack_archive(path)\ndf = pd.read_csv('x.csv')",
        "subprocess.run(words)\ndf = pd.read_csv('x.csv')",
        "urlretrieve(address, path)\ndf = pd.read_csv('x.csv')",
        "nltk.download('words')\ndf = pd.read_csv('x.csv')",
        "prepare()\ndf = pd.read_csv('x.csv')",
        "helpers.make_it()\ndf = pd.read_csv('x.csv')",
        "!wget -q example.org/x.csv\ndf = pd.read_csv('x.csv')",
        "files = !ls\ndf = pd.read_csv('x.csv')",
        "%run make.py\ndf = pd.read_csv('x.csv')",
        "%cd data\ndf = pd.read_csv('x.csv')",
        "get_ipython().run_line_magic('run', 'make.py')\ndf = pd.read_csv('x.csv')",
        "if not Path('x.csv').exists():\n    fetch()\ndf = pd.read_csv('x.csv')",
        "this has an error\ndf = pd.read_csv('x.csv')",
    ],
)
def test_what_is_not_certain_is_left_alone(cell: str) -> None:
    assert found(cell) == []


def test_cells_count_in_the_order_they_ran_and_only_needed_ones_are_reported() -> None:
    cells = ("a = pd.read_csv('a.csv')", "b = pd.read_csv('b.csv')", "c = pd.read_csv('a.csv')")
    assert found(*cells) == [(1, "a.csv"), (2, "b.csv"), (3, "a.csv")]
    assert found(*cells, needed=(0, 2)) == [(2, "b.csv")]
    # an earlier cell that names the file counts although it is not needed; what it might do besides does not
    assert found("frame.to_csv('a.csv')", "a = pd.read_csv('a.csv')", needed=(0, 2)) == []
    assert found("print(frame)", "a = pd.read_csv('a.csv')", needed=(0, 2)) == [(2, "a.csv")]


def test_a_file_that_is_made_after_it_was_read_was_there_before() -> None:
    assert found("df = pd.read_csv('x.csv')", "df.to_csv('x.csv')\n!ls") == [(1, "x.csv")]
    assert reads(["open('x')", "open('x')"], (1,), lambda module: False) == [FileRead(2, "x")]
