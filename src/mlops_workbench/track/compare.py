"""`compare`: in what two runs differ — metrics, parameters, data, seeds, code, notebook and environment."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.values import Value, html_table, text_table
from mlops_workbench.track import drawing, notebook
from mlops_workbench.track.records import CHANGES, ENVIRONMENT, NOTEBOOK, SOURCE, Run
from mlops_workbench.track.tracking import Tracking

_DATA_TAGS = (("fitted on", "data"), ("held out", "evaluate"))
_LONGEST_DIFF = 2000
"""lines of a diff that are shown"""


@dataclass(frozen=True)
class RunDifference:
    """One thing that differs. None: this run does not have it."""

    what: str
    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Comparison(Value):
    """Two runs side by side: all metrics, and whatever else differs.

    Unified diffs: `code` of what ran, `notebook` of the cells executed before it, `changes` of what differed
    from the commit.
    """

    first: Run
    second: Run
    metrics: tuple[RunDifference, ...]
    differences: tuple[RunDifference, ...]
    code: str
    notebook: str = ""
    changes: str = ""
    comparable: bool = True
    """whether the metrics are of the same held-out rows"""
    defaults: tuple[RunDifference, ...] = ()
    """parameters that differ, but that nobody chose in either"""

    @property
    def title(self) -> str:
        count = len(self.differences) + sum(map(bool, self._diffs().values()))
        shown = f"{count} difference{'s' * (count != 1)}" if count else "no difference beside their metrics"
        found = f"Run '{self.first.name}' beside run '{self.second.name}': {shown}."
        if self.comparable:
            return found
        return f"{found} Their metrics are of different held-out rows, so no change is shown."

    def _metric_rows(self) -> list[list[Any]]:
        return [
            [
                m.name,
                m.first,
                m.second,
                m.second - m.first if self.comparable and None not in (m.first, m.second) else None,
            ]
            for m in self.metrics
        ]

    def _diffs(self) -> dict[str, str]:
        found = {"code": self.code, "cells before": self.notebook, "uncommitted changes": self.changes}
        return {what: diff for what, diff in found.items() if diff}

    def _heads(self) -> list[str]:
        return [self.first.name, self.second.name]

    def text(self) -> str:
        parts = [self.title]
        if self.metrics:
            parts += ["", text_table(["metric", *self._heads(), "change"], self._metric_rows())]
        if self.differences:
            rows = [[d.what, d.name, d.first, d.second] for d in self.differences]
            parts += ["", text_table(["", "", *self._heads()], rows)]
        if self.defaults:
            parts += ["", f"and {len(self.defaults)} parameters that are defaults in both"]
        for what, diff in self._diffs().items():
            parts += ["", f"{what}:", diff.rstrip()]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [html_table(["metric", *self._heads(), "change"], self._metric_rows(), title=self.title)]
        if len(self.metrics) > 1:
            bars = [(m.name, m.first, m.second) for m in self.metrics[:12]]
            parts.append(drawing.pairs((self.first.name, self.second.name), bars))
        if rows := [[d.what, d.name, d.first, d.second] for d in self.differences]:
            parts.append(html_table(["", "", *self._heads()], rows))
        if self.defaults:
            table = html_table(["", *self._heads()], [[d.name, d.first, d.second] for d in self.defaults])
            parts.append(_folded(f"{len(self.defaults)} parameters that are defaults in both", table))
        for what, diff in self._diffs().items():
            pre = f'<pre style="font-size:12px;line-height:1.4">{_coloured(diff)}</pre>'
            parts.append(_folded(what, pre, opened=what == "code"))
        return "".join(parts)


def _folded(title: str, content: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    summary = f'<summary style="cursor:pointer">{title}</summary>'
    return f'<details{state} style="margin:6px 0">{summary}{content}</details>'


def _coloured(diff: str) -> str:
    colours = {"+": "#2e8540", "-": "#d1383d", "@": "#6a737d"}
    return "\n".join(
        f'<span style="color:{colours.get(line[:1], "inherit")}">{html.escape(line)}</span>'
        for line in diff.splitlines()
    )


def compare(tracking: Tracking, first: Run, second: Run) -> Comparison:
    """Read what both runs recorded. A run that recorded no code or environment differs in that it has none."""
    metrics = _differences("metric", first.metrics, second.metrics, all_of_them=True)
    parameters = _differences("parameter", first.params, second.params)
    chosen = {*first.chosen, *second.chosen}
    differences = [
        *_differences("data", _data(first), _data(second)),
        *(d for d in parameters if d.name in chosen),
        *_differences("seed", _seeds(first), _seeds(second)),
        *_differences("git", _git(first), _git(second)),
        *_differences(
            "package",
            _pins(tracking.text(first.id, ENVIRONMENT)),
            _pins(tracking.text(second.id, ENVIRONMENT)),
        ),
    ]
    names = (first.name, second.name)

    def differ(file: str, read: Callable[[str], str] = str) -> str:
        return _diff(names, *(read(tracking.text(run.id, file)) for run in (first, second)))

    code = differ(SOURCE)
    cells = differ(NOTEBOOK, lambda text: notebook.as_text(notebook.read(text)[:-1]))
    marks = [run.judged_on.sha256 if run.judged_on else None for run in (first, second)]
    return Comparison(
        first,
        second,
        metrics,
        tuple(differences),
        code,
        cells,
        differ(CHANGES),
        comparable=marks[0] == marks[1],
        defaults=tuple(d for d in parameters if d.name not in chosen),
    )


def _diff(names: tuple[str, str], before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm=""))
    if len(lines) > _LONGEST_DIFF:
        lines = [*lines[:_LONGEST_DIFF], f"… and {len(lines) - _LONGEST_DIFF:,} more lines"]
    return "\n".join(lines)


def _differences(
    what: str, first: Mapping[str, Any], second: Mapping[str, Any], *, all_of_them: bool = False
) -> tuple[RunDifference, ...]:
    names = dict.fromkeys([*first, *second])
    return tuple(
        RunDifference(what, name, first.get(name), second.get(name))
        for name in names
        if all_of_them or first.get(name) != second.get(name)
    )


def _data(run: Run) -> dict[str, str]:
    also = [m[1] for tag in run.tags if (m := re.fullmatch(r"data\.(.+)\.sha256", tag))]
    found = {}
    for what, tag in (*_DATA_TAGS, *((f"data {name}", f"data.{name}") for name in also)):
        if sha256 := run.tags.get(f"{tag}.sha256"):
            shown = f"{run.tags[f'{tag}.name']}: {int(run.tags[f'{tag}.rows']):,} rows"
            shown += f" × {run.tags[f'{tag}.columns']} columns, sha256 {sha256[:12]}"
            beside = [run.tags[key] for key in (f"{tag}.snapshot", f"{tag}.revision") if key in run.tags]
            found[what] = ", ".join([shown, *beside])
    return found


def _seeds(run: Run) -> dict[str, str]:
    return {k.removeprefix("seed."): v for k, v in run.tags.items() if k.startswith("seed.")}


def _git(run: Run) -> dict[str, str]:
    names = {"git.commit": "commit", "git.branch": "branch", "git.dirty": "uncommitted changes"}
    return {name: run.tags[tag] for tag, name in names.items() if tag in run.tags}


def _pins(text: str) -> dict[str, str]:
    return dict(line.split("==", 1) for line in text.splitlines() if "==" in line)
