"""Data contracts: YAML files that people edit and review, read into values and written from them.

What must hold (columns, types, missing values) is an error; what may move with the season (ranges, categories)
is a warning until someone makes it an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from mlops_workbench.base.errors import Conflict, InvalidConfig, closest
from mlops_workbench.data.keys import KINDS, ContractKey, json_schema, keys_of
from mlops_workbench.manifest import Kind

FOLDER = "contracts"
SCHEMA_FILE = "contract.schema.json"
TYPE_OF_KIND: Mapping[Kind, str] = {
    "double": "number",
    "long": "number",
    "string": "text",
    "boolean": "boolean",
    "datetime": "time",
}
KIND_OF_TYPE: Mapping[str, Kind] = {
    "number": "double",
    "text": "string",
    "boolean": "boolean",
    "time": "datetime",
}
_HEAD = f"""\
# yaml-language-server: $schema=./{SCHEMA_FILE}
# Data contract: edit it, review it, keep it in git. {SCHEMA_FILE} says what each key means.
# A missing column, a wrong type, a gap where there may be none and a value that occurs twice are errors;
# limits (missing, minimum, maximum, values, pattern) are reported at the column's `level`: warn or error.
"""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column must be, and within which limits it should stay."""

    type: Annotated[str, ContractKey("type", "number, text, boolean, time, or any")]
    nullable: Annotated[bool, ContractKey("switch", "whether values may be missing")] = False
    missing: Annotated[
        float | None, ContractKey("share", "largest share of missing values, for example 0.02")
    ] = None
    minimum: Annotated[float | None, ContractKey("number", "smallest value of a number")] = None
    maximum: Annotated[float | None, ContractKey("number", "largest value of a number")] = None
    values: Annotated[tuple[str | float, ...] | None, ContractKey("list", "the only values there may be")] = (
        None
    )
    pattern: Annotated[
        str | None, ContractKey("pattern", "regular expression found in every text (anchor: ^ $)")
    ] = None
    unique: Annotated[bool, ContractKey("switch", "whether no value may occur twice")] = False
    level: Annotated[str, ContractKey("level", "what a value outside the limits is: warn or error")] = "warn"


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows there should be."""

    minimum: Annotated[int | None, ContractKey("count", "fewest rows")] = None
    maximum: Annotated[int | None, ContractKey("count", "most rows")] = None
    level: Annotated[str, ContractKey("level", "what another number of rows is: warn or error")] = "warn"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the newest value of a time column may be when the data are checked. Times without zone are UTC."""

    column: Annotated[str, ContractKey("text", "the time column")]
    within: Annotated[str, ContractKey("duration", "how old its newest value may be: 36h, 7d, 2w")]
    level: Annotated[str, ContractKey("level", "what older data are: warn or error")] = "warn"


@dataclass(frozen=True, slots=True)
class Contract:
    """Column rules by name, and what holds for the table as a whole."""

    name: Annotated[str, ContractKey("text", "the contract's name")]
    columns: Annotated[Mapping[str, ColumnRule], ContractKey("columns", "what each column must be")]
    extra_columns: Annotated[
        bool, ContractKey("switch", "whether columns that are not listed are allowed")
    ] = False
    rows: Annotated[RowCount | None, ContractKey("section", "how many rows there should be")] = None
    freshness: Annotated[Freshness | None, ContractKey("section", "how new the data should be")] = None
    unique: Annotated[
        tuple[tuple[str, ...], ...], ContractKey("keys", "columns whose combination occurs once")
    ] = ()

    def body(self) -> dict[str, Any]:
        """The file's content, without what is left at its default."""
        found: dict[str, Any] = {"contract": self.name}
        found |= {part: _given(value) for part in _SECTIONS if (value := getattr(self, part))}
        if self.unique:
            found["unique"] = [list(one) for one in self.unique]
        found["extra_columns"] = self.extra_columns
        found["columns"] = {name: _rule_to_dict(rule) for name, rule in self.columns.items()}
        return found

    def to_yaml(self) -> str:
        import yaml

        return _HEAD + yaml.safe_dump(
            self.body(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
        )

    @property
    def digest(self) -> str:
        """Of what it demands; comments and layout of the file do not count."""
        text = json.dumps(self.body(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


_SECTIONS: dict[str, type] = {"rows": RowCount, "freshness": Freshness}
_TOP = ("contract", *(f.name for f in fields(Contract) if f.name != "name"))


def schema() -> dict[str, Any]:
    """JSON Schema of a contract file, made of the dataclasses above."""
    made = json_schema(Contract, "MLOps Workbench data contract")
    properties = made["properties"]
    made["properties"] = {"contract": properties.pop("name"), **properties}
    made["required"] = ["columns"]
    return made


def _given(value: Any) -> dict[str, Any]:
    """The fields that differ from their default, as YAML holds them; `level` always, for who wants to change it."""
    found: dict[str, Any] = {}
    for one in fields(value):
        content = getattr(value, one.name)
        if one.name == "level" or one.default is MISSING or content != one.default:
            found[one.name] = list(content) if isinstance(content, tuple) else content
    return found


def _rule_to_dict(rule: ColumnRule) -> dict[str, Any]:
    found = _given(rule)
    limits = set(found) - {"type", "nullable", "unique", "level"}
    if not limits and rule.level == "warn":
        del found["level"]
    return {"type": rule.type, "nullable": rule.nullable} | found


def path_of(root: Path, name: str) -> Path:
    return root / FOLDER / f"{name}.yaml"


def names(root: Path) -> list[str]:
    return sorted(p.stem for p in (root / FOLDER).glob("*.yaml"))


def write(contract: Contract, path: Path, *, replace: bool = True) -> None:
    """The file, with the editor's schema beside it. Raises `Conflict` if it is there and is not to be replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(schema(), indent=1) + "\n"
    beside = path.with_name(SCHEMA_FILE)
    if not beside.exists() or beside.read_text(encoding="utf-8") != text:
        _draft(beside, text).replace(beside)
    draft = _draft(path, contract.to_yaml())
    if replace:
        draft.replace(path)
        return
    try:
        os.link(draft, path)  # of two at once, one makes it
    except FileExistsError:
        raise taken(path) from None
    finally:
        draft.unlink()


def taken(path: Path) -> Conflict:
    return Conflict(
        f"There is a contract in {path} already, and people may have edited it.",
        "Replace it, or choose another name.",
    )


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    return draft


def read(path: Path) -> Contract:
    """Raises `InvalidConfig` naming file, column and key."""
    raw = _load(path)
    if not isinstance(raw, dict) or not isinstance(raw.get("columns"), dict):
        raise InvalidConfig(f"{path} must have 'columns'.", "Infer the contract again, or add them.")
    for name in raw:
        if name not in _TOP:
            raise InvalidConfig(f"{path} has a key '{name}' that is not known.", closest(str(name), _TOP))
    found = {part: _section(path, part, kind, raw.get(part)) for part, kind in _SECTIONS.items()}
    for name, kind in (("extra_columns", "switch"), ("unique", "keys")):
        if raw.get(name) is not None and not KINDS[kind].fits(raw[name]):
            raise _misfit(path, name, "the contract", KINDS[kind].wanted, raw[name])
    columns = {str(name): _read_rule(path, str(name), rule) for name, rule in raw["columns"].items()}
    unique = tuple(tuple(map(str, one)) for one in raw.get("unique") or ())
    fresh = found["freshness"]
    for column in (*(c for one in unique for c in one), *([fresh.column] if fresh else [])):
        if column not in columns:
            raise InvalidConfig(
                f"{path}: freshness or unique names a column '{column}' that is not in 'columns'.",
                closest(column, columns),
            )
    return Contract(
        name=str(raw.get("contract", path.stem)),
        columns=columns,
        extra_columns=bool(raw.get("extra_columns")),
        unique=unique,
        **found,
    )


def _load(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InvalidConfig(
            f"{path} is not YAML: {' '.join(str(problem).split())}.", "Fix that line."
        ) from None
    except OSError as problem:
        raise InvalidConfig(
            f"{path} cannot be read: {problem.strerror}.", "Make it a readable file."
        ) from None


def _misfit(path: Path, name: str, where: str, wanted: str, value: Any) -> InvalidConfig:
    return InvalidConfig(f"{path}: {name} of {where} must be {wanted}. Got {value!r} instead.")


def _section(path: Path, where: str, kind: type, raw: Any) -> Any:
    """The values of one mapping, checked; None where there is none."""
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise InvalidConfig(f"{path}: {where} must have keys with values. Got {raw!r} instead.")
    known = keys_of(kind)
    for name, value in raw.items():
        if name not in known:
            raise InvalidConfig(f"{path}: {where} has no key '{name}'.", closest(str(name), known))
        wanted = KINDS[known[name].kind]
        if value is not None and not wanted.fits(value):
            raise _misfit(path, name, where, wanted.wanted, value)
    for one in fields(kind):
        if one.default is MISSING and raw.get(one.name) is None:
            raise _misfit(path, one.name, where, KINDS[known[one.name].kind].wanted, raw.get(one.name))
    return kind(**{name: value for name, value in raw.items() if value is not None})


def _read_rule(path: Path, column: str, raw: Any) -> ColumnRule:
    where = f"column '{column}'"
    if not isinstance(raw, dict):
        raise InvalidConfig(f"{path}: {where} must have a type. Got {raw!r} instead.")
    rule: ColumnRule = _section(path, where, ColumnRule, raw)
    if rule.missing and raw.get("nullable") is False:
        raise InvalidConfig(
            f"{path}: {where} may have a share of {rule.missing:g} missing, but nullable is false.",
            "Take one of the two out.",
        )
    if rule.values is not None:
        rule = replace(rule, values=tuple(_value(path, where, rule.type, one) for one in rule.values))
    return replace(rule, nullable=rule.nullable or bool(rule.missing))


def _value(path: Path, where: str, kind: str, value: Any) -> str | float:
    """A number in a column of numbers, a text otherwise. YAML reads NO and yes as truth: texts need quotes then."""
    if kind == "number":
        if not KINDS["number"].fits(value):
            raise _misfit(path, "each of values", where, "a number", value)
        return float(value)
    if value is None or (isinstance(value, bool) and kind != "boolean"):
        raise _misfit(path, "each of values", where, "a text (put it in quotes)", value)
    return str(value)
