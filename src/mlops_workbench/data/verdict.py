"""What `validate` found: every check of every column, as a text, inline HTML and a page of its own."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlops_workbench.base.page import page
from mlops_workbench.base.values import Html, Value, html_table, plain

MOST_LINES = 30
"""columns that keep all their checks and are still shown one by one"""
TABLE = "(table)"
_MARKS = {"kept": ("✓", "#2e8b57"), "warn": ("!", "#b07d00"), "error": ("✗", "#d1383d")}
_RULE = "border-bottom:1px solid rgba(128,128,128,.25)"
_LINE = f"padding:3px 0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;{_RULE}"


@dataclass(frozen=True, slots=True)
class Example:
    """A row that broke a check: its index, and a few of its columns."""

    index: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """One check of one column (of the table where `column` is empty), and what broke it.

    `rule`: what is demanded; `check`: what is wrong. `kind`: "data", or "profile" for a whylogs constraint, of
    which no rows are known.
    """

    column: str
    rule: str
    check: str
    level: str
    passed: bool
    count: int | None = 0
    share: float | None = 0.0
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
    hints: tuple[str, ...] = ()
    """what a person should look at before a contract that was inferred is kept"""

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
        counts = ((len(self.errors), "error"), (len(self.breaches) - len(self.errors), "warning"))
        notes = ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)
        return f"'{self.data}' ({size}) {verdict} the contract '{self.contract}'{': ' * bool(notes)}{notes}."

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
        return "\n".join([super().text() if self.breaches else self.title, *self.hints])

    def _repr_html_(self) -> str:
        return _head(self.title) + _hints(self.hints) + _columns(self.checks)

    def page(self) -> str:
        """The report as a file that opens in any browser: nothing is folded away but what holds."""
        run = f" · run {self.run}" if self.run else ""
        foot = (
            f"{self.path} · contract {self.digest[:12]} · data {self.data_sha256[:12]}{run} · {self.at} UTC"
        )
        body = _head(self.title) + _hints(self.hints) + _columns(self.checks, unfold=True)
        note = f'<p style="font-size:12px;opacity:.6">{html.escape(foot)}</p>'
        return page(self.title, body + note)


def _share(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if share >= 0.001 or not share else "< 0.1%"


def _head(title: str) -> str:
    return f'<div style="font-weight:600;margin:6px 0">{html.escape(title)}</div>'


def _hints(hints: Sequence[str]) -> str:
    return "".join(f'<div style="font-size:13px">{html.escape(one)}</div>' for one in hints)


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
        text = f'<span style="opacity:.6">{html.escape(" · ".join(one.rule for one in found))}</span>'
    else:
        failed = (one for one in found if not one.passed)
        text = html.escape(" · ".join(one.check + _of_rows(one.count) for one in failed))
    label = f'<span style="display:inline-block;min-width:12em;font-weight:600">{html.escape(name or TABLE)}</span> '
    return (
        f'<details{" open" * unfold}><summary style="{_LINE};cursor:pointer">{_mark(worst)}{label}{text}</summary>'
        f'<div style="margin:2px 0 8px 2.6em">{_details(found)}</div></details>'
    )


def _of_rows(count: int | None) -> str:
    return "" if count is None else f" ({count:,} row{'s' * (count != 1)})"


def _details(found: Sequence[Checked]) -> str:
    """What is broken as a table with its example rows; what holds, in one line or, if all does, one a line."""
    broken = [one for one in found if not one.passed]
    if not broken:
        return "".join(f"<div>{html.escape(one.rule)}</div>" for one in found)
    kept = " · ".join(one.rule for one in found if one.passed)
    holds = f'<div style="opacity:.7">{_mark("kept")}{html.escape(kept)}</div>' if kept else ""
    heads = ["", "check", "rows", "share", "for example"]
    rows = [[Html(_mark(c.mark)), c.rule, c.count, _share(c.share), c.examples] for c in broken]
    examples = {row.index: row.values for one in found for row in one.rows}
    return html_table(heads, rows) + holds + _example_rows(examples)


def _example_rows(examples: Mapping[str, Mapping[str, str]]) -> str:
    if not examples:
        return ""
    columns = list(dict.fromkeys(c for values in examples.values() for c in values))
    rows = [[index, *(values.get(c, "") for c in columns)] for index, values in examples.items()]
    return html_table(["row", *columns], rows)
