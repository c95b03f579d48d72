"""What `validate` found: every check of every column, as a text, inline HTML and a page of its own."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlops_workbench.values import Html, Value, html_table, plain

MOST_LINES = 30
"""columns that keep all their checks and are still shown one by one"""
TABLE = "(table)"
_MARKS = {"kept": ("✓", "#2e8b57"), "warn": ("!", "#b07d00"), "error": ("✗", "#d1383d")}
_LINE = "padding:3px 0;border-bottom:1px solid rgba(128,128,128,.25)"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em }}
</style></head><body>
{body}
<p style="font-size:12px;opacity:.6">{foot}</p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A row that broke a check: its index, and a few of its columns."""

    index: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """One check of one column (of the table where `column` is empty), and what broke it.

    `rule`: what is demanded; `check`: what is wrong. `kind`: "data", or "profile" for a whylogs constraint.
    """

    column: str
    rule: str
    check: str
    level: str
    passed: bool
    count: int = 0
    share: float = 0.0
    examples: tuple[str, ...] = ()
    rows: tuple[Example, ...] = ()
    kind: str = "data"

    @property
    def mark(self) -> str:
        return "kept" if self.passed else self.level


def breaches(checks: Iterable[Checked]) -> tuple[Checked, ...]:
    """Those that do not hold, errors first."""
    failed = [one for one in checks if not one.passed]
    return tuple(sorted(failed, key=lambda one: (one.level != "error", one.column, one.check)))


@dataclass(frozen=True)
class ContractReport(Value):
    """What `validate` found. `passed` unless an error-level check failed."""

    contract: str
    data: str
    rows: int
    columns: int
    inferred: bool
    checks: tuple[Checked, ...]
    path: str
    digest: str
    data_sha256: str = ""
    at: str = ""
    run: str | None = None

    @property
    def breaches(self) -> tuple[Checked, ...]:
        return breaches(self.checks)

    @property
    def errors(self) -> tuple[Checked, ...]:
        return tuple(b for b in self.breaches if b.level == "error")

    @property
    def passed(self) -> bool:
        return not self.errors

    @property
    def verdict(self) -> str:
        if self.inferred:
            return "inferred"
        return "broken" if self.errors else "warned" if self.breaches else "kept"

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
        """Breaches in full; of what holds, only the rules by column."""
        kept: dict[str, list[str]] = {}
        for one in self.checks:
            if one.passed:
                kept.setdefault(one.column or TABLE, []).append(one.rule)
        found = super().to_dict()
        del found["checks"]
        return found | {
            "passed": self.passed,
            "verdict": self.verdict,
            "breaches": plain(self.breaches),
            "kept": kept,
        }

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["level", "column", "check", "rows", "share", "for example", "in rows"], [
            [
                b.level,
                b.column or TABLE,
                b.check,
                b.count,
                _share(b.share),
                b.examples,
                [r.index for r in b.rows],
            ]
            for b in self.breaches
        ]

    def text(self) -> str:
        return super().text() if self.breaches else self.title

    def _repr_html_(self) -> str:
        return _head(self.title) + _columns(self.checks)

    def page(self) -> str:
        """The report as a file that opens in any browser: nothing is folded away but what holds."""
        run = f" · run {self.run}" if self.run else ""
        foot = (
            f"{self.path} · contract {self.digest[:12]} · data {self.data_sha256[:12]}{run} · {self.at} UTC"
        )
        body = _head(self.title) + _columns(self.checks, unfold=True)
        return _PAGE.format(title=html.escape(self.title), body=body, foot=html.escape(foot))


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or not share else "< 0.1%"


def _head(title: str) -> str:
    return f'<div style="font-weight:600;margin:6px 0">{html.escape(title)}</div>'


def _columns(checks: Sequence[Checked], *, unfold: bool = False) -> str:
    """A line a column, the broken ones first, each with its checks folded beneath it."""
    order = {name: place for place, name in enumerate(dict.fromkeys(c.column for c in checks))}
    ranked = sorted(checks, key=lambda c: order[c.column])
    groups = [(name, tuple(found)) for name, found in groupby(ranked, key=lambda c: c.column)]
    groups.sort(key=lambda group: _rank(group[1]))
    broken = [g for g in groups if _worst(g[1]) != "kept"]
    kept = [g for g in groups if _worst(g[1]) == "kept"]
    lines = "".join(_column(name, found, unfold) for name, found in broken)
    rest = "".join(_column(name, found, False) for name, found in kept)
    if len(kept) > MOST_LINES:
        rest = (
            f'<details><summary style="{_LINE};cursor:pointer">{_mark("kept")}{len(kept)} columns keep all their '
            f'checks</summary><div style="margin-left:1.4em">{rest}</div></details>'
        )
    return f'<div class="mlops-contract" style="font-size:13px;line-height:1.5;max-width:72em">{lines}{rest}</div>'


def _worst(found: Iterable[Checked]) -> str:
    marks = {one.mark for one in found}
    return "error" if "error" in marks else "warn" if "warn" in marks else "kept"


def _rank(found: Iterable[Checked]) -> int:
    return ("error", "warn", "kept").index(_worst(found))


def _mark(kind: str) -> str:
    sign, colour = _MARKS[kind]
    return f'<span style="display:inline-block;width:1.4em;color:{colour};font-weight:700">{sign}</span>'


def _column(name: str, found: Sequence[Checked], unfold: bool) -> str:
    worst = _worst(found)
    if worst == "kept":
        said = f'<span style="opacity:.6">{html.escape(" · ".join(one.rule for one in found))}</span>'
    else:
        failed = (one for one in found if not one.passed)
        said = html.escape(" · ".join(f"{one.check} ({one.count:,} rows)" for one in failed))
    label = f'<span style="display:inline-block;min-width:12em;font-weight:600">{html.escape(name or TABLE)}</span> '
    return (
        f'<details{" open" * unfold}><summary style="{_LINE};cursor:pointer">{_mark(worst)}{label}{said}</summary>'
        f'<div style="margin:2px 0 8px 2.6em">{_details(found)}</div></details>'
    )


def _details(found: Sequence[Checked]) -> str:
    heads = ["", "check", "rows", "share", "for example"]
    rows = [
        [
            Html(_mark(c.mark)),
            c.rule,
            *([c.count, _share(c.share), c.examples] if not c.passed else ["", "", ""]),
        ]
        for c in sorted(found, key=lambda c: c.passed)
    ]
    examples = {row.index: row.values for one in found for row in one.rows}
    return html_table(heads, rows) + _example_rows(examples)


def _example_rows(examples: Mapping[str, Mapping[str, str]]) -> str:
    if not examples:
        return ""
    columns = list(dict.fromkeys(c for values in examples.values() for c in values))
    rows = [[index, *(values.get(c, "") for c in columns)] for index, values in examples.items()]
    return html_table(["row", *columns], rows)
