"""Tables in files: which names are those of tables, reading them by the kinds of their columns, and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import pandas as pd

_FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".parquet": "Parquet",
}
_PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
KNOWN = "a .csv, .tsv, .jsonl or .parquet file (the texts also as .gz, .bz2, .xz, .zip or .zst)"


def is_table(name: str | PurePath) -> bool:
    """Whether a name is that of a file of rows: `rows.csv`, `ROWS.CSV`, `rows.csv.gz`."""
    return _parts(name)[1] is not None


def stem(name: str | PurePath) -> str:
    """The file's name without what says its format."""
    return _parts(name)[0]


def _parts(name: str | PurePath) -> tuple[str, str | None]:
    path = PurePath(name)
    packed = path.suffix.lower() in _PACKED
    bare = PurePath(path.stem) if packed else PurePath(path.name)
    kind = _FORMATS.get(bare.suffix.lower())
    return bare.stem, None if packed and kind == "Parquet" else kind


def read(path: Path, kinds: Mapping[str, Kind] | None = None) -> pd.DataFrame:
    """The rows of a file, its columns as values of these kinds where they are known: a code of 01067 is a text then,
    and 1 is true. Raises `NotFound`, `InvalidData`."""
    kinds = kinds or {}
    if not path.is_file():
        raise NotFound(f"There is no file '{path}'.", "Check the path.")
    try:
        return as_kinds(_read(path, kinds), kinds)
    except Exception as problem:  # each reader has its own zoo of errors
        why = " ".join(str(problem).split()).rstrip(".")
        raise InvalidData(
            f"'{path}' cannot be read as {_parts(path)[1]}: {why}.",
            "Look whether it is complete, and of the format that its name says.",
        ) from None


def _read(path: Path, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    import pandas as pd

    found = _parts(path)[1]
    packed: Any = _compression(path)
    if found == "Parquet":
        try:
            return pd.read_parquet(path)
        except TypeError:  # pandas does not understand the name that it gave a type of Arrow itself
            import pyarrow.parquet as pq

            plainly: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
            return plainly
    if found == "JSON lines":  # as JSON types them: a text that looks like a number stays one
        return pd.read_json(path, lines=True, dtype=False, convert_dates=False, compression=packed)
    texts: dict[Any, Any] = {name: str for name, kind in kinds.items() if kind == "string"}
    separator = "\t" if found == "TSV" else ","
    # the numbers that were written, to the last digit: pandas' faster reading is off by one there
    exactly: Any = {"sep": separator, "compression": packed, "float_precision": "round_trip"}
    read: pd.DataFrame = pd.read_csv(path, dtype=texts, **exactly)
    if codes := _codes(path, [c for c in read if c not in kinds and read[c].dtype.kind in "iu"], exactly):
        read = pd.read_csv(path, dtype=texts | dict.fromkeys(codes, str), **exactly)
    return read


def _codes(path: Path, columns: list[Any], options: Mapping[str, Any]) -> list[Any]:
    """Which columns of whole numbers are codes: 01067 is not 1067."""
    import pandas as pd

    if not columns:
        return []
    texts = pd.read_csv(path, usecols=columns, dtype=str, **options)
    return [c for c in columns if texts[c].str.match(r"[+-]?0\d", na=False).any()]


def write(frame: pd.DataFrame, path: Path) -> None:
    """Rows as text in the format that the file's name says."""
    packed: Any = _compression(path)
    found = _parts(path)[1]
    if found == "JSON lines":
        frame.to_json(path, orient="records", lines=True, date_format="iso", compression=packed)
    else:
        frame.to_csv(path, sep="\t" if found == "TSV" else ",", index=False, compression=packed)


def is_parquet(name: str | PurePath) -> bool:
    return _parts(name)[1] == "Parquet"


def _compression(path: Path) -> str | None:
    """As pandas names it; it knows suffixes in small letters only."""
    names = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip", ".zst": "zstd"}
    return names.get(path.suffix.lower())
