"""What the sections' descriptions are made into: the template of `mlops.toml`, its JSON Schema, `docs/settings.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec

from mlops_workbench.config.policy import Policy

SCHEMA_FILE = "mlops.schema.json"
_COMMENT = 29
"""column where the template's comments begin, if there is room"""


@dataclass(frozen=True)
class SettingKey:
    """One key: what it means, its default, and what the template says about it."""

    name: str
    description: str
    default: Any
    example: Any
    written: bool


@dataclass(frozen=True)
class Section:
    """One `[section]`: `title` as in the file, and the keys in their order. `open`: any name may be a key."""

    title: str
    description: str
    keys: tuple[SettingKey, ...]
    open: bool = False


def sections() -> Iterator[Section]:
    for name, kind in get_type_hints(Policy).items():
        if is_dataclass(kind):
            yield from _sections(name, kind)


def _sections(title: str, kind: Any) -> Iterator[Section]:
    """The section itself, then those below it: in TOML a section ends where the next begins."""
    hints = get_type_hints(kind, include_extras=True)
    keys: list[SettingKey] = []
    below: list[Section] = []
    for one in fields(kind):
        hint = hints[one.name]
        if is_dataclass(hint):
            below += _sections(f"{title}.{one.name}", hint)
            continue
        meta: msgspec.Meta = get_args(hint)[1]
        about = meta.description or ""
        example: Any = meta.examples[0] if meta.examples else None
        if one.default is MISSING:  # a mapping of names
            ((name, value),) = example.items()
            inside = SettingKey(name, about, None, value, False)
            below.append(Section(f"{title}.{one.name}", about, (inside,), open=True))
        else:
            keys.append(
                SettingKey(one.name, about, one.default, example, bool((meta.extra or {})["written"]))
            )
    yield Section(title, (kind.__doc__ or "").rstrip("."), tuple(keys))
    yield from below


def template(name: str) -> str:
    """The `mlops.toml` of a new project: its values are the defaults, and what is commented out are examples."""
    lines = [
        f"#:schema ./{SCHEMA_FILE}",
        "# Policy of this project: kept in git, reviewed like code. Editors show all keys with the schema above.",
        "[project]",
        f"name = {toml(name)}",
    ]
    for section in sections():
        lines += ["", *_lines(section)]
    return "\n".join(lines) + "\n"


def _lines(section: Section) -> Iterator[str]:
    if section.open or any(key.written for key in section.keys):
        yield f"[{section.title}]"
    else:
        yield _commented(f"# [{section.title}]", section.description)
    for key in section.keys:
        if key.written:
            yield _commented(f"{key.name} = {toml(key.default)}", key.description)
        elif key.example is not None:
            yield _commented(f"# {key.name} = {toml(key.example)}", key.description)


def _commented(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT - 2}}  # {comment}"


def toml(value: Any) -> str:
    """Texts, numbers, switches and lists are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def schema_text() -> str:
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """JSON Schema of the file. Draft 7 without references: Taplo, which editors use for TOML, does not follow all."""
    made = msgspec.json.schema(Policy)
    kinds = made["$defs"]

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return plain(kinds[node["$ref"].removeprefix("#/$defs/")])
        if "properties" not in node:
            return {name: plain(value) for name, value in node.items()}
        properties = {name: plain(value) for name, value in node["properties"].items()}
        return {
            "description": node["description"],
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }

    policy: dict[str, Any] = plain(made)
    project = {
        "description": "What this project is called",
        "type": "object",
        "properties": {"name": policy["properties"].pop("name")},
        "required": ["name"],
        "additionalProperties": False,
    }
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "mlops.toml"}
    policy["properties"] = {"project": project, **policy["properties"]}
    return head | policy | {"required": ["project"]}


def reference() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Written by `make docs` from the sections in `src/mlops_workbench/config/`. Every key of `mlops.toml` beside",
        "`name` of `[project]`; which environment variables override them is in [house.md](house.md#settings).",
    ]
    for section in sections():
        lines += ["", f"## `[{section.title}]`", ""]
        if not section.open:
            lines += [f"{section.description}.", ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        for key in section.keys:
            shown = ("NAME", "–") if section.open else (key.name, f"`{toml(key.default)}`")
            lines.append(f"| `{shown[0]}` | {shown[1]} | {key.description} |")
    return "\n".join(lines) + "\n"
