"""Data contracts: inferred from a DataFrame, kept as YAML that people edit and review, checked by pandera.

What must hold (columns, types, missing values) is an error; what may move with the season (ranges, categories)
is a warning until someone makes it an error.
"""

from __future__ import annotations

import hashlib
import html
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.data.frames import kind_of
from mlops_workbench.errors import InvalidConfig, InvalidData, closest
from mlops_workbench.values import Html, Value, html_table, is_number

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 200
TYPES = ("number", "text", "boolean", "time")
_TYPE_OF_KIND = {
    "double": "number",
    "long": "number",
    "string": "text",
    "boolean": "boolean",
    "datetime": "time",
}
_KEYS = {"type", "nullable", "minimum", "maximum", "values", "unique", "level"}
_HEAD = """\
# Data contract: edit it, review it, keep it in git.
# type: number, text, boolean or time · nullable: may values be missing? · unique: no value twice
# minimum, maximum, values: limits, reported at `level` (warn or error)
"""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column must be, and within which limits it should stay."""

    type: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    unique: bool = False
    level: str = "warn"


@dataclass(frozen=True, slots=True)
class Contract:
    """Column rules by name, and whether further columns are allowed."""

    name: str
    columns: Mapping[str, ColumnRule]
    extra_columns: bool = False

    def to_yaml(self) -> str:
        import yaml

        body = {
            "contract": self.name,
            "extra_columns": self.extra_columns,
            "columns": {name: _rule_to_dict(rule) for name, rule in self.columns.items()},
        }
        return _HEAD + yaml.safe_dump(
            body, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
        )

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def _rule_to_dict(rule: ColumnRule) -> dict[str, Any]:
    given = {key: getattr(rule, key) for key in ("minimum", "maximum") if getattr(rule, key) is not None}
    if rule.values is not None:
        given["values"] = list(rule.values)
    if rule.unique:
        given["unique"] = True
    return {"type": rule.type, "nullable": rule.nullable} | given | ({"level": rule.level} if given else {})


@dataclass(frozen=True)
class Breach:
    """One check of one column that did not hold, with how often and what, for example."""

    column: str
    check: str
    level: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ContractReport(Value):
    """What `validate` found. `passed` unless an error-level check failed."""

    contract: str
    data: str
    rows: int
    columns: int
    inferred: bool
    breaches: tuple[Breach, ...]
    path: str
    digest: str

    @property
    def errors(self) -> tuple[Breach, ...]:
        return tuple(b for b in self.breaches if b.level == "error")

    @property
    def passed(self) -> bool:
        return not self.errors

    @property
    def title(self) -> str:
        size = f"{self.rows:,} rows × {self.columns} columns"
        if self.inferred:
            return (
                f"Contract '{self.contract}' inferred from '{self.data}' ({size}) and written to {self.path}."
            )
        verdict = "keeps" if self.passed else "breaks"
        noted = len(self.breaches) - len(self.errors)
        notes = f", {noted} warning{'s' * (noted != 1)}" if noted else ""
        return f"'{self.data}' ({size}) {verdict} the contract '{self.contract}'{notes}."

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"passed": self.passed}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["level", "column", "check", "rows", "for example"], [
            [b.level, b.column, b.check, b.count, b.examples] for b in self.breaches
        ]

    def text(self) -> str:
        return super().text() if self.breaches else self.title

    def _repr_html_(self) -> str:
        if not self.breaches:
            return f'<div style="font-weight:600;margin:6px 0">{html.escape(self.title)}</div>'
        heads, rows = self.table()
        colour = {"error": "#d1383d", "warn": "#b07d00"}
        marked = [
            [Html(f'<span style="color:{colour[r[0]]};font-weight:600">{r[0]}</span>'), *r[1:]] for r in rows
        ]
        return html_table(heads, marked, title=self.title)


def path_of(root: Path, name: str) -> Path:
    return root / "contracts" / f"{name}.yaml"


def infer_contract(frame: pd.DataFrame, name: str) -> Contract:
    """Types, missing values, ranges (widened by half the span on both sides) and categories of this data."""
    return Contract(name, {column: _infer_rule(frame[column]) for column in frame.columns})


def _infer_rule(series: pd.Series[Any]) -> ColumnRule:
    import numpy as np

    kind = _TYPE_OF_KIND[kind_of(series)]
    present = series.dropna()
    nullable = len(present) < len(series)
    if kind == "number" and len(present):
        finite = present.to_numpy(dtype=float)
        finite = finite[np.isfinite(finite)]
        if len(finite):
            low, high = float(finite.min()), float(finite.max())
            margin = (high - low) / 2
            floor = 0.0 if low >= 0 else -np.inf  # what was never negative should stay so
            return ColumnRule(
                kind, nullable, minimum=_short(max(low - margin, floor)), maximum=_short(high + margin)
            )
    if kind == "text":
        values = sorted(set(present.astype(str)))  # as texts: a list or a dict has no hash
        if 0 < len(values) <= MOST_CATEGORIES and len(values) < max(len(present) / 2, 2):
            return ColumnRule(kind, nullable, values=tuple(values))
    return ColumnRule(kind, nullable)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def write(contract: Contract, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(contract.to_yaml())
    draft.replace(path)


def read(path: Path) -> Contract:
    """Raises `InvalidConfig` naming file, column and key."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InvalidConfig(
            f"{path} is not YAML: {' '.join(str(problem).split())}.", "Mend that line."
        ) from None
    except OSError as problem:
        raise InvalidConfig(
            f"{path} cannot be read: {problem.strerror}.", "Make it a readable file."
        ) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("columns"), dict):
        raise InvalidConfig(f"{path} must have 'columns'.", "Infer the contract anew, or add them.")
    unknown = set(raw) - {"contract", "columns", "extra_columns"}
    if unknown:
        key = sorted(map(str, unknown))[0]
        raise InvalidConfig(
            f"{path} has a key '{key}' that is not known.", closest(key, ("columns", "extra_columns"))
        )
    columns = {str(name): _read_rule(path, str(name), rule) for name, rule in raw["columns"].items()}
    return Contract(str(raw.get("contract", path.stem)), columns, bool(raw.get("extra_columns", False)))


_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "nullable": (lambda v: isinstance(v, bool), "true or false"),
    "unique": (lambda v: isinstance(v, bool), "true or false"),
    "minimum": (is_number, "a number"),
    "maximum": (is_number, "a number"),
    "values": (lambda v: isinstance(v, list), "a list"),
}


def _read_rule(path: Path, column: str, raw: Any) -> ColumnRule:
    if not isinstance(raw, dict):
        raise InvalidConfig(f"{path}: column '{column}' must have a type. Got {raw!r} instead.")
    for key in raw:
        if key not in _KEYS:
            raise InvalidConfig(
                f"{path}: column '{column}' has no key '{key}'.", closest(str(key), sorted(_KEYS))
            )
    if raw.get("type") not in TYPES:
        raise InvalidConfig(
            f"{path}: the type of column '{column}' must be one of {', '.join(TYPES)}. Got {raw.get('type')!r} instead."
        )
    if raw.get("level", "warn") not in ("warn", "error"):
        raise InvalidConfig(
            f"{path}: the level of column '{column}' must be warn or error. Got {raw['level']!r} instead."
        )
    for key, (fits, wanted) in _VALUES.items():
        if key in raw and raw[key] is not None and not fits(raw[key]):
            raise InvalidConfig(
                f"{path}: {key} of column '{column}' must be {wanted}. Got {raw[key]!r} instead."
            )
    values = raw.get("values")
    return ColumnRule(**(raw | {"values": None if values is None else tuple(map(str, values))}))


def check(frame: pd.DataFrame, contract: Contract) -> tuple[Breach, ...]:
    """Every breach of the contract, errors first. One broken column never hides the others."""
    breaches = _columns(frame, contract)
    present = {n: r for n, r in contract.columns.items() if n in frame.columns}
    typed: dict[str, ColumnRule] = {}
    for name, rule in present.items():
        found = _TYPE_OF_KIND[kind_of(frame[name])]
        if frame[name].isna().all():
            breaches.append(Breach(name, "column is empty", "error", len(frame), ()))
        elif found != rule.type:
            examples = tuple(dict.fromkeys(str(v)[:40] for v in frame[name].dropna().head(50)))[:3]
            breaches.append(
                Breach(name, f"type is {found}, must be {rule.type}", "error", len(frame), examples)
            )
        else:
            typed[name] = rule
    breaches += _pandera(frame, typed)
    return tuple(sorted(breaches, key=lambda b: (b.level != "error", b.column, b.check)))


def _columns(frame: pd.DataFrame, contract: Contract) -> list[Breach]:
    missing = [c for c in contract.columns if c not in frame.columns]
    extra = [c for c in frame.columns if c not in contract.columns] if not contract.extra_columns else []
    return [Breach(c, "column is missing", "error", len(frame), ()) for c in missing] + [
        Breach(c, "column is not in the contract", "error", len(frame), ()) for c in extra
    ]


def _pandera(frame: pd.DataFrame, rules: Mapping[str, ColumnRule]) -> list[Breach]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandera warns of its own optional parts when imported
        import pandera.pandas as pandera

    schema = pandera.DataFrameSchema(
        {
            name: pandera.Column(nullable=rule.nullable, unique=rule.unique, checks=_checks(pandera, rule))
            for name, rule in rules.items()
        }
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandas warns of how pandera joins its cases
            schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as failed:
        cases = failed.failure_cases
    else:
        return []
    breaches = []
    for (column, name), group in cases.groupby(["column", "check"], sort=False):
        label, level = _LABELS.get(str(name), (str(name), rules[str(column)].level))
        examples = tuple(dict.fromkeys(str(v)[:40] for v in group["failure_case"].head(50)))[:3]
        breaches.append(Breach(str(column), label, level, len(group), examples))
    return breaches


_LABELS = {
    "not_nullable": ("value is missing", "error"),
    "field_uniqueness": ("value occurs twice", "error"),
    "finite": ("value is infinite", "error"),
}


def _checks(pandera: Any, rule: ColumnRule) -> list[Any]:
    import numpy as np

    checks = []
    if rule.type == "number":
        checks.append(pandera.Check(lambda s: ~np.isinf(s.astype(float)), name="finite"))
    low, high = rule.minimum, rule.maximum
    if low is not None:
        checks.append(pandera.Check(lambda s: s >= low, name=f"below {low:g}"))
    if high is not None:
        checks.append(pandera.Check(lambda s: s <= high, name=f"above {high:g}"))
    if rule.values is not None:
        known = set(rule.values)
        checks.append(pandera.Check(lambda s: s.astype(str).isin(known), name="value is not in the list"))
    return checks


def validate(frame: pd.DataFrame, data: str, name: str, path: Path, *, infer: bool) -> ContractReport:
    """Check a frame against the contract in `path`; write it first when it is not there, or when asked to."""
    made = infer or not path.exists()
    if made:
        contract = _inferred(frame, data, name)
        write(contract, path)
    else:
        contract = read(path)
    return ContractReport(
        contract=name,
        data=data,
        rows=len(frame),
        columns=len(frame.columns),
        inferred=made,
        breaches=() if made else check(frame, contract),
        path=str(path),
        digest=contract.digest,
    )


def _inferred(frame: pd.DataFrame, data: str, name: str) -> Contract:
    """A contract that demands an empty column or infinities would be of no use: raises `InvalidData`."""
    import numpy as np

    for column in frame.columns:
        series = frame[column]
        if series.isna().all():
            raise InvalidData(f"The column '{column}' of '{data}' is empty.", "Drop it, or fill it.")
        if kind_of(series) == "double" and np.isinf(series.to_numpy(dtype=float, na_value=np.nan)).any():
            raise InvalidData(f"The column '{column}' of '{data}' has infinite values.", "Replace them.")
    return infer_contract(frame, name)
