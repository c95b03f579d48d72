"""Regression cases: a table of inputs with required answers, kept with the project, that must stay right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, InvalidModel, MlopsError
from mlops_workbench.base.values import is_number, plain
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Manifest, file_sha256
from mlops_workbench.registry.checks.check import Contestant
from mlops_workbench.registry.checks.result import Check, unknown

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.config.gate import RegressionPolicy

TITLE = "regression cases"
EXPECTED = "expected"
TOLERANCE = "tolerance"
SHOWN = 20


def cases(candidate: Contestant, policy: RegressionPolicy, root: Path) -> list[Check]:
    """Every case is asked of the serving runtime; one wrong answer is a failure."""
    if not policy.cases:
        return []
    path = root / policy.cases
    try:
        table = _read(path, policy.cases, candidate.manifest)
        wanted = _wanted(table, policy.cases, candidate.manifest)
        rows = to_rows(table[candidate.manifest.taken_from(table.columns)], candidate.manifest.inputs)
        answers = _ask(candidate, rows, policy.cases)
    except MlopsError as problem:
        step = problem.next_step or f"Fix {policy.cases}."
        return [unknown(TITLE, problem.message.rstrip("."), "all right", step)]
    allowed = _tolerances(table, policy, candidate.manifest)
    wrong = [
        {"row": row, "required": want, "answered": got, **inputs}
        for row, (got, want, give, inputs) in enumerate(zip(answers, wanted, allowed, rows, strict=True), 1)
        if not _right(got, want, give)
    ]
    first = wrong[0] if wrong else None
    return [
        Check(
            TITLE,
            not wrong,
            f"{len(rows) - len(wrong):,} of {len(rows):,} right",
            "all right",
            f"row {first['row']}: {first['answered']!r}, required {first['required']!r}" if first else "",
            evidence={"file": policy.cases, "sha256": file_sha256(path)}
            | ({"wrong": wrong[:SHOWN]} if wrong else {}),
            next_step=f"Look at {_rows([w['row'] for w in wrong])} of {policy.cases}.",
        )
    ]


def _ask(candidate: Contestant, rows: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return [plain(value) for value in candidate.served(rows).values]
    except InvalidModel as problem:  # it answered the rows of its registration: these are what does not fit
        why = problem.message.partition("cannot answer: ")[2] or problem.message
        raise InvalidData(f"The runtime cannot answer the rows of {name}: {why}", f"Fix {name}.") from None


def _read(path: Path, name: str, manifest: Manifest) -> pd.DataFrame:
    """The table, its texts as they stand: a code of 007 is no number. Raises `InvalidData`."""
    import pandas as pd

    if not path.is_file():
        raise InvalidData(f"There is no file {name}.", "Write the cases, or correct [gate.regression].")
    texts: dict[Any, Any] = {f.name: str for f in manifest.inputs if f.kind == "string"}
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except Exception as problem:  # each reader has its own zoo of errors
        raise InvalidData(f"{name} cannot be read: {' '.join(str(problem).split())}.") from None
    if not len(table):
        raise InvalidData(f"{name} has no rows.", "Write the cases.")
    lacking = [c for c in manifest.taken_from(table.columns) if c not in table.columns]
    if lacking:
        raise InvalidData(f"{name} has no column '{lacking[0]}', which the model reads.")
    return table


def _wanted(table: pd.DataFrame, name: str, manifest: Manifest) -> list[Any]:
    """The required answers: classes of the model, or numbers. Raises `InvalidData`."""
    column = EXPECTED if EXPECTED in table.columns and EXPECTED not in manifest.columns else manifest.target
    if column is None or column not in table.columns:
        also = f" or '{manifest.target}'" if manifest.target else ""
        raise InvalidData(f"{name} has no column '{EXPECTED}'{also} with the required answers.")
    values = [plain(v) for v in table[column]]
    classes = {str(c): c for c in manifest.classes}
    if classes:  # a table of texts says '1' or '1.0' where the model says 1
        classes |= {str(float(c)): c for c in manifest.classes if is_number(c)}
    for row, value in enumerate(values, 1):
        known = str(value) in classes if classes else is_number(value) and value == value
        if not known:
            must = f"one of {', '.join(map(str, manifest.classes))}" if classes else "a number"
            raise InvalidData(f"{name}, row {row}: '{column}' must be {must}. Got {value!r} instead.")
    return [classes[str(v)] for v in values] if classes else [float(v) for v in values]


def _tolerances(table: pd.DataFrame, policy: RegressionPolicy, manifest: Manifest) -> list[float]:
    if TOLERANCE not in table.columns or TOLERANCE in manifest.columns:
        return [policy.tolerance] * len(table)
    return [policy.tolerance if v != v else float(v) for v in table[TOLERANCE]]


def _rows(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "")
    return f"row{'s' if len(numbers) > 1 else ''} {shown}"


def _right(got: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(wanted, float) and is_number(got):
        # numbers that were written to a table and read back differ in the last digits
        return bool(abs(got - wanted) <= max(tolerance, 1e-9 * abs(wanted)))
    return bool(got == wanted)
