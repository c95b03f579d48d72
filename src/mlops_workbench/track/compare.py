"""`compare`: in what two runs differ — metrics, parameters, data, code and environment."""

from __future__ import annotations

import difflib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.track.runs import ENVIRONMENT, SOURCE
from mlops_workbench.track.tracking import Run, Tracking
from mlops_workbench.values import Value, html_table, text_table

_DATA_TAGS = (("fitted on", "data"), ("held out", "evaluate"))


@dataclass(frozen=True)
class Difference:
    """One thing that differs. None: this run does not have it."""

    what: str
    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Comparison(Value):
    """Two runs beside each other: all metrics, and whatever else differs. `code`: a unified diff."""

    first: Run
    second: Run
    metrics: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    code: str

    @property
    def title(self) -> str:
        count = len(self.differences) + bool(self.code)
        told = f"{count} difference{'s' * (count != 1)}" if count else "no difference beside their metrics"
        return f"Run '{self.first.name}' beside run '{self.second.name}': {told}."

    def _metric_rows(self) -> list[list[Any]]:
        return [
            [
                m.name,
                m.first,
                m.second,
                m.second - m.first if m.first is not None and m.second is not None else None,
            ]
            for m in self.metrics
        ]

    def _heads(self) -> list[str]:
        return [self.first.name, self.second.name]

    def text(self) -> str:
        parts = [self.title]
        if self.metrics:
            parts += ["", text_table(["metric", *self._heads(), "change"], self._metric_rows())]
        if self.differences:
            rows = [[d.what, d.name, d.first, d.second] for d in self.differences]
            parts += ["", text_table(["", "", *self._heads()], rows)]
        if self.code:
            parts += ["", self.code.rstrip()]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [html_table(["metric", *self._heads(), "change"], self._metric_rows(), title=self.title)]
        if self.differences:
            rows = [[d.what, d.name, d.first, d.second] for d in self.differences]
            parts.append(html_table(["", "", *self._heads()], rows))
        if self.code:
            parts.append(f"<details><summary>code</summary><pre>{_coloured(self.code)}</pre></details>")
        return "".join(parts)


def _coloured(diff: str) -> str:
    colours = {"+": "#2e8540", "-": "#d1383d", "@": "#6a737d"}
    return "\n".join(
        f'<span style="color:{colours.get(line[:1], "inherit")}">{html.escape(line)}</span>'
        for line in diff.splitlines()
    )


def compare(tracking: Tracking, first: Run, second: Run) -> Comparison:
    """Read what both runs recorded. A run that recorded no code or environment differs in that it has none."""
    metrics = _differences("metric", first.metrics, second.metrics, all_of_them=True)
    differences = [
        *_differences("data", _data(first), _data(second)),
        *_differences("parameter", first.params, second.params),
        *_differences("git", _git(first), _git(second)),
        *_differences(
            "package",
            _pins(tracking.text(first.id, ENVIRONMENT)),
            _pins(tracking.text(second.id, ENVIRONMENT)),
        ),
    ]
    before, after = (tracking.text(run.id, SOURCE).splitlines() for run in (first, second))
    code = "\n".join(difflib.unified_diff(before, after, first.name, second.name, lineterm=""))
    return Comparison(first, second, metrics, tuple(differences), code)


def _differences(
    what: str, first: Mapping[str, Any], second: Mapping[str, Any], *, all_of_them: bool = False
) -> tuple[Difference, ...]:
    names = dict.fromkeys([*first, *second])
    return tuple(
        Difference(what, name, first.get(name), second.get(name))
        for name in names
        if all_of_them or first.get(name) != second.get(name)
    )


def _data(run: Run) -> dict[str, str]:
    found = {}
    for what, tag in _DATA_TAGS:
        if sha256 := run.tags.get(f"{tag}.sha256"):
            rows = int(run.tags[f"{tag}.rows"])
            found[what] = f"{run.tags[f'{tag}.name']}: {rows:,} rows, sha256 {sha256[:12]}"
    return found


def _git(run: Run) -> dict[str, str]:
    names = {"git.commit": "commit", "git.branch": "branch", "git.dirty": "uncommitted changes"}
    return {name: run.tags[tag] for tag, name in names.items() if tag in run.tags}


def _pins(text: str) -> dict[str, str]:
    return dict(line.split("==", 1) for line in text.splitlines() if "==" in line)
