"""Files that recorded cells are certain to read, by their syntax; what cannot be decided is left alone."""

from __future__ import annotations

import pytest

from mlops_workbench.notebooks.file_reads import reads

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


def found(*cells: str, needed: tuple[int, ...] | None = None, module: str = "") -> list[str]:
    everything = [IMPORTS, *cells]
    places = range(len(everything)) if needed is None else needed
    return reads(everything, places, lambda name: module if name == "helpers" else "")


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
        "text = Path('data/x.csv').read_text()",
        "text = (Path('data') / 'x.csv').read_bytes()",
        "df = pd.read_csv(Path('data', 'x.csv'))",
        "df = pd.read_csv(os.path.join('data', 'x.csv'))",
        "with Path('data/x.csv').open() as file:\n    a = file.read()",
        "PLACE = 'data/x.csv'\ndf = pd.read_csv(PLACE)",
        "FOLDER = Path('data')\ndf = pd.read_csv(FOLDER / 'x.csv')",
        "def plot(name):\n    plt.savefig('plot.png')\ndf = pd.read_csv('data/x.csv')",
        "try:\n    df = pd.read_csv('data/x.csv')\nexcept OSError:\n    raise\ndf = pd.read_csv('data/x.csv')",
        "df = prepare(pd.read_csv('data/x.csv'))",
        "%matplotlib inline\n!pip install thing\ndf = pd.read_csv('data/x.csv')",
        "%%time\ndf = pd.read_csv('data/x.csv')\ndf.to_csv(out)",
        "os.makedirs('out', exist_ok=True)\nprint(pd.to_datetime(days))\ndf = pd.read_csv('data/x.csv')",
        "df = pd.read_csv('data/x.csv')\ndf.to_csv('data/x.csv')",
        "other.to_parquet('y.parquet')\ndf = pd.read_csv('data/x.csv')",
        "df = frame.copy().rename(columns={'a': 'b'})\ndf = pd.read_csv('data/x.csv')",
    ],
)
def test_a_file_that_is_read_whatever_comes_is_found(cell: str) -> None:
    assert found(cell) == ["data/x.csv"]


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
        "with suppress(OSError):\n    df = pd.read_csv('x.csv')",
        "df = old if old else pd.read_csv('x.csv')",
        "df = old or pd.read_csv('x.csv')",
        "dfs = [pd.read_csv('x.csv') for _ in names]",
        "later = lambda: pd.read_csv('x.csv')",
        # what comes before may have made it
        "frame.to_csv('x.csv')\ndf = pd.read_csv('x.csv')",
        "frame.to_csv('./out/x.csv')\ndf = pd.read_csv('out/x.csv')",
        "frame.to_csv(path)\ndf = pd.read_csv('x.csv')",
        "name = 'x.csv'\nframe.to_csv(name)\ndf = pd.read_csv('x.csv')",
        "name = 'x.csv'\nframe.to_csv(name)\ndf = pd.read_csv(name)",
        "name = 'x.csv'\nfor name in names:\n    pass\ndf = pd.read_csv(name)",
        "if there:\n    name = 'x.csv'\ndf = pd.read_csv(name)",
        "frame.to_csv(path, sep=';')\ndf = pd.read_csv('x.csv')",
        "np.save('out/x', a)\nb = np.load('out/x.npy')",
        "def make():\n    frame.to_csv(path)\nmake()\ndf = pd.read_csv('x.csv')",
        "both = [fetch(), helpers.make(), pd.read_csv('x.csv')]",
        "import dvc.api\ndvc.api.get(path)\ndf = pd.read_csv('x.csv')",
        "from tools import *\ndf = pd.read_csv('x.csv')",
        "exec(code)\ndf = pd.read_csv('x.csv')",
        "os.chdir(folder)\ndf = pd.read_csv('x.csv')",
        "t = pq.read_table('x.parquet', filesystem=remote)",
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


def test_only_reads_of_needed_cells_are_reported_and_what_the_others_run_does_not_count() -> None:
    cells = (
        "a = pd.read_csv('a.csv')",
        "b = pd.read_csv('b.csv')",
        "!ls\nhelpers.run()",
        "c = pd.read_csv('a.csv')",
    )
    assert found(*cells) == ["a.csv", "b.csv"]
    assert found(*cells, needed=(0, 4)) == ["a.csv"]
    # what an earlier cell writes is left alone also where that cell is not needed
    assert found("frame.to_csv('a.csv')", "a = pd.read_csv('a.csv')", needed=(0, 2)) == []


def test_a_file_that_is_made_after_it_was_read_was_there_before() -> None:
    assert found("df = pd.read_csv('x.csv')", "df.to_csv('x.csv')\n!ls") == ["x.csv"]


def test_a_module_of_the_project_may_make_the_file_or_change_the_folder_when_it_is_imported() -> None:
    cell = "import helpers\ndf = pd.read_csv('x.csv')"
    assert found(cell, module="THRESHOLD = 3") == ["x.csv"]
    assert found(cell, module="urlretrieve(ADDRESS, 'x.csv')") == []
    assert found(cell, module="import os\nos.chdir('/data')") == []
