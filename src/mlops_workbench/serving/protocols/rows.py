"""ParsedRows out of the forms that other contracts send: records, lists in the columns' order, columns, CSV, Parquet.

A number that is not one (NaN, as MLflow's own client writes a gap) is missing. Values are not judged here: the
rows go through the same check as those of `POST /predict`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

import pydantic_core

from mlops_workbench.manifest import Field, Kind
from mlops_workbench.serving.errors import ServingError, shown

ParsedRows = list[dict[str, Any]]
_SEE = "The columns and their types are listed at GET / and /docs."
_LONGEST_CELL = 1 << 20


def json_of(raw: bytes) -> Any:
    """Any JSON value; NaN and Infinity are taken as numbers. Raises ServingError InvalidJson."""
    try:
        return pydantic_core.from_json(raw, allow_inf_nan=True)
    except ValueError as error:
        reason = str(error)[:200]
        raise ServingError("InvalidJson", f"The body is not JSON: {reason}.", "Send a JSON object.") from None


def object_of(raw: bytes) -> dict[str, Any]:
    value = json_of(raw)
    if not isinstance(value, dict):
        refuse(f"The body must be an object. Got {shown(value)} instead.")
    return value


def from_items(items: Any, columns: Sequence[str], what: str) -> ParsedRows:
    """Records (`{column: value}`), lists of values in the order of `columns`, or bare values of one column."""
    if not isinstance(items, list):
        refuse(f"'{what}' must be a list of rows. Got {shown(items)} instead.")
    return [_row(item, index, columns) for index, item in enumerate(items)]


def _row(item: Any, index: int, columns: Sequence[str]) -> dict[str, Any]:
    if isinstance(item, dict):
        return {name: known(value) for name, value in item.items()}
    if not isinstance(item, list):
        item = [item]
    if len(item) != len(columns):
        refuse(f"Row {index} has {len(item)} values for {len(columns)} columns.")
    return {name: known(value) for name, value in zip(columns, item, strict=True)}


def from_split(value: Any, columns: Sequence[str]) -> ParsedRows:
    """`{"columns": […], "data": [[…], …]}` as pandas' `to_dict(orient="split")` gives it; `index` is not read."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        refuse(
            f'\'dataframe_split\' must be {{"columns": […], "data": [[…], …]}}. Got {shown(value)} instead.'
        )
    names = value.get("columns", list(columns))
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        refuse(f"'columns' must be a list of names. Got {shown(names)} instead.")
    once(names)
    return from_items(value["data"], names, "data")


def from_columns(values: Mapping[str, Any]) -> ParsedRows:
    """`{column: [value, …]}`; all lists of one length."""
    lists = {name: v if isinstance(v, list) else [v] for name, v in values.items()}
    lengths = {name: len(v) for name, v in lists.items()}
    if len(set(lengths.values())) > 1:
        refuse(f"The columns must have one length. Got {shown(lengths, 200)} instead.")
    count = next(iter(lengths.values()), 0)
    return [{name: known(_single(v[i])) for name, v in lists.items()} for i in range(count)]


def from_csv(raw: bytes, fields: Sequence[Field], *, header: bool) -> ParsedRows:
    """UTF-8, commas. An empty cell is missing; without a header, the cells are in the order of the columns."""
    try:
        lines = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, []) if header else [f.name for f in fields]
        once(names)
        kinds: dict[str, Kind] = {f.name: f.kind for f in fields}
        rows: ParsedRows = []
        for cells in lines:
            if not cells:
                continue  # a blank line
            if len(cells) != len(names):
                refuse(f"Line {lines.line_num} has {len(cells)} cells for {len(names)} columns.")
            rows.append({n: _cell(c, kinds.get(n, "string")) for n, c in zip(names, cells, strict=True)})
    except UnicodeDecodeError:
        refuse("The CSV is not UTF-8.", "Save it as UTF-8.")
    except csv.Error as error:
        refuse(f"The CSV cannot be read: {error}.", "Quote cells that hold commas or quotes.")
    return rows


def from_parquet(raw: bytes, fields: Sequence[Field], *, most_rows: int, most_bytes: int) -> ParsedRows:
    """Raises ServingError when it cannot be read, or would take more memory than a body may: it is compressed."""
    try:
        import arro3.io
    except ModuleNotFoundError:
        raise ServingError(
            "UnsupportedMediaType",
            "This service reads no Parquet: its image holds the fast path alone.",
            "Send JSON or CSV.",
        ) from None

    if len(raw) < 12 or raw[:4] != b"PAR1" or raw[-4:] != b"PAR1":
        refuse("The body is not Parquet.", "Send a Parquet file, not encrypted.")
    kinds: dict[str, Kind] = {f.name: f.kind for f in fields}
    rows: ParsedRows = []
    held = 0
    try:
        for batch in arro3.io.read_parquet(io.BytesIO(raw)):
            held += batch.nbytes
            if len(rows) + batch.num_rows > most_rows or held > most_bytes:
                raise ServingError(
                    "TooLarge",
                    f"The Parquet file holds more than {most_rows} rows or {most_bytes >> 20} MB.",
                    "Send the rows in several requests.",
                )
            columns = {name: _listed(batch.column(name), kinds.get(name)) for name in batch.schema.names}
            rows += [{n: v[i] for n, v in columns.items()} for i in range(batch.num_rows)]
    except ServingError:
        raise
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # what its Rust code did not expect arrives as no ordinary Exception
        refuse("The Parquet file cannot be read.", "Look whether it is complete.")
    return rows


def known(value: Any) -> Any:
    """NaN says that a number is missing."""
    return None if isinstance(value, float) and value != value else value


def once(names: Sequence[str]) -> None:
    """Raises ServingError for a name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            refuse(f"The column {shown(name)} is there twice.")
        seen.add(name)


def refuse(message: str, next_step: str = _SEE) -> NoReturn:
    raise ServingError("InvalidData", message, next_step)


def _single(value: Any) -> Any:
    """A column's cell may come as a list of one: the tensor [n, 1]."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _cell(text: str, kind: Kind) -> Any:
    if text == "":
        return None
    try:
        if kind == "double":
            return known(float(text))
        if kind == "long":
            return int(text) if text.lstrip("+-").isdigit() else known(float(text))
    except ValueError:
        return text  # the check says what the column takes
    if kind == "boolean":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    return text


def _listed(column: Any, kind: Kind | None) -> list[Any]:
    """A column's values as the model reads them; what does not fit is left for the check to refuse."""
    return [_typed(known(scalar.as_py()), kind) for scalar in column]


def _typed(value: Any, kind: Kind | None) -> Any:
    """The value that its text would be taken as: a DATE is its ISO 8601, a DECIMAL a number, 1 is true."""
    if isinstance(value, str) and kind != "string":
        return _cell(value, kind or "string")
    if isinstance(value, Decimal) and kind in ("double", "long"):
        return _cell(str(value), kind)
    if kind == "boolean" and type(value) in (int, float) and value in (0, 1):
        return bool(value)
    if kind == "string" and isinstance(value, int | float | Decimal):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date, too
