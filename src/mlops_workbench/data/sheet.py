"""A contract as a table that people read: what it demands, where it comes from, and where it was checked."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.values import Value, html_table, plain, text_table
from mlops_workbench.data.contracts import ColumnRule, Contract
from mlops_workbench.data.validations import Validation

_FEW = 6
"""values of a list that are shown"""


@dataclass(frozen=True)
class ContractSheet(Value):
    """What the verb `contract` shows.

    `left_out`: what an import could not carry over. `hints`: what to look at in the data it is inferred from.
    `no_profile`: why the data have none. `constraints`: whylogs'.
    """

    contract: Contract
    path: str
    source: str = ""
    left_out: tuple[str, ...] = ()
    profile: str = ""
    no_profile: str = ""
    constraints: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    validations: tuple[Validation, ...] = ()

    @property
    def title(self) -> str:
        made = f" {self.source} and written to {self.path}" if self.source else f" in {self.path}"
        return f"Contract '{self.contract.name}'{made} ({self.contract.digest[:12]})."

    def to_dict(self) -> dict[str, Any]:
        body = self.contract.body()
        rest = {k: v for k, v in super().to_dict().items() if k != "contract"}
        named: dict[str, Any] = {"name": body.pop("contract"), "digest": self.contract.digest}
        return {**named, **plain(body), **rest}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        heads = ["column", "type", "missing", "minimum", "maximum", "values", "pattern", "unique", "level"]
        rows = [
            [
                name,
                rule.type,
                _missing(rule),
                rule.minimum,
                rule.maximum,
                _values(rule),
                rule.pattern or "",
                "yes" if rule.unique else "",
                rule.level if _has_limits(rule) else "",
            ]
            for name, rule in self.contract.columns.items()
        ]
        used = [i for i, _ in enumerate(heads) if i < 3 or any(row[i] not in ("", None) for row in rows)]
        return [heads[i] for i in used], [[row[i] for i in used] for row in rows]

    def notes(self) -> list[str]:
        """One sentence each on the table as a whole, the profile, and what was left out."""
        found = list(self.hints)
        if rows := self.contract.rows:
            limits = (("at least", rows.minimum), ("at most", rows.maximum))
            text = " and ".join(f"{word} {n:,}" for word, n in limits if n is not None)
            found.append(f"Rows: {text} ({rows.level}).")
        if fresh := self.contract.freshness:
            found.append(f"Freshness: newest '{fresh.column}' within {fresh.within} ({fresh.level}).")
        found += [f"Unique together: {', '.join(one)} (error)." for one in self.contract.unique]
        if self.contract.extra_columns:
            found.append("Further columns are allowed.")
        if self.profile:
            found.append(f"whylogs profile {self.profile}, {len(self.constraints)} constraints from it.")
        if self.no_profile:
            found.append(self.no_profile)
        if self.left_out:
            found.append(f"Not carried over ({len(self.left_out)}):")
            found += [f"– {one}" for one in self.left_out]
        return found

    def used(self) -> tuple[list[str], list[list[Any]]]:
        return ["checked", "data", "verdict", "contract", "run"], [
            [v.at[:19].replace("T", " "), v.data, v.verdict, _edition(v, self.contract.digest), v.run]
            for v in self.validations
        ]

    def text(self) -> str:
        parts = [self.title, text_table(*self.table()), *self.notes()]
        if self.validations:
            parts += ["Last validations:", text_table(*self.used())]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        notes = "".join(f"<div>{html.escape(one)}</div>" for one in self.notes())
        heads, rows = self.table()
        shown = html_table(heads, rows, title=self.title)
        if notes:
            shown += f'<div style="font-size:13px;line-height:1.5;margin:4px 0">{notes}</div>'
        if self.validations:
            shown += html_table(*self.used(), title="Last validations")
        return shown


def _edition(validation: Validation, digest: str) -> str:
    return "this one" if validation.digest == digest else validation.digest[:12]


def _missing(rule: ColumnRule) -> str:
    if rule.missing is not None:
        return f"≤ {rule.missing * 100:g} %"
    return "allowed" if rule.nullable else "no"


def _values(rule: ColumnRule) -> str:
    if rule.values is None:
        return ""
    shown: Sequence[str] = [f"{v:g}" if isinstance(v, float) else str(v) for v in rule.values[:_FEW]]
    more = len(rule.values) - _FEW
    return ", ".join(shown) + (f" … and {more} more" if more > 0 else "")


def _has_limits(rule: ColumnRule) -> bool:
    limits: Mapping[str, Any] = {
        k: getattr(rule, k) for k in ("missing", "minimum", "maximum", "values", "pattern")
    }
    return any(value is not None for value in limits.values())
