"""The model card: one page about a version, made from its records.

After Mitchell et al. 2019, "Model Cards for Model Reporting".

What no record can know (what the model is for, and for what not) is written by people in `cards/NAME.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.page import page
from mlops_workbench.base.values import Value, cell
from mlops_workbench.registry.checks.result import Check
from mlops_workbench.registry.gate_report import GateReport
from mlops_workbench.registry.gates import KeptReport
from mlops_workbench.registry.origin import Origin

_STYLE = (
    "body{font-size:15px;line-height:1.55;max-width:46rem;margin:2.5rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.6rem 0 1.2rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem 1rem .25rem 0;text-align:left;border-bottom:1px solid #8884;"
    "vertical-align:top;overflow-wrap:anywhere}"
    "h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:1.8rem 0 .3rem}code{font-size:.9em}"
)


@dataclass(frozen=True)
class Card(Value):
    """The card as Markdown; HTML is made of it."""

    model: str
    version: int
    markdown: str

    @property
    def title(self) -> str:
        return f"Model card of '{self.model}' version {self.version}"

    def text(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        return f'<div style="max-width:46rem">{_html(self.markdown)}</div>'

    def page(self) -> str:
        """A whole page, for a browser or an archive."""
        return page(self.title, _html(self.markdown), _STYLE)


def _html(markdown: str) -> str:
    import mistune

    class Renderer(mistune.HTMLRenderer):
        """A picture would be fetched from wherever it is: its text stands there instead."""

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return text

    made = mistune.create_markdown(renderer=Renderer(escape=True), plugins=["table"])(markdown)
    assert isinstance(made, str), "the HTML renderer gives text"
    return made


def card(origin: Origin, notes: str) -> Card:
    """`notes`: what people wrote about the model, in Markdown."""
    stored, manifest = origin.stored, origin.manifest
    parts = [
        f"# {stored.name}, version {stored.version}",
        f"{manifest.task.capitalize()} model, {origin.state}, registered {stored.created:%Y-%m-%d %H:%M} UTC"
        + (f" by {_text(stored.facts.registered_by)}." if stored.facts.registered_by else "."),
        "## Intended use",
        _notes(notes) or f"Not written yet: put it into `cards/{stored.name}.md`.",
        "## What it reads and answers",
        _table(
            ["input", "type"],
            [[f.name, f.kind + (", not read" if f.name in manifest.unread else "")] for f in manifest.inputs],
        ),
        _answers(origin),
        "## Data",
        *_data(origin),
        "## How good it is",
        *_figures(origin),
        "## How it was made",
        _made(origin),
        "## Who let it in",
        *_decisions(origin),
    ]
    return Card(stored.name, stored.version, "\n\n".join(p for p in parts if p) + "\n")


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def line(values: Sequence[Any]) -> str:
        return "| " + " | ".join(_text(v) for v in values) + " |"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, rows)])


def _notes(markdown: str) -> str:
    """What people wrote: Markdown, of which no HTML is taken; a comment that is left open would hide what follows."""
    return re.sub(r"<(?!https?://)", r"\\<", markdown.strip())


def _text(value: Any) -> str:
    """A value as it stands in Markdown: nothing in it is a link, a picture, a heading or HTML."""
    return re.sub(r"([\\`*\[\]<>|~!])", r"\\\1", " ".join(cell(value).split()))


def _code(value: Any) -> str:
    """A value as code, in more backticks than it holds."""
    text = " ".join(str(value).split())
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (max(map(len, re.findall("`+", text))) + 1)
    return f"{fence} {text} {fence}"


def _answers(origin: Origin) -> str:
    manifest = origin.manifest
    label = f" of the label {_code(manifest.target)}" if manifest.target else ""
    flavour = manifest.extra.get("flavour")
    how = f" It is an MLflow model of the flavour {_code(flavour)}, served through pyfunc." if flavour else ""
    if manifest.classes:
        positive = (
            ""
            if manifest.positive_class is None
            else f" The positive class is {_code(manifest.positive_class)}."
        )
        classes = ", ".join(_code(c) for c in manifest.classes)
        return f"It answers with one of the classes{label}: {classes}.{positive}{how}"
    if manifest.task == "other" and manifest.expected:
        return f"It answers its first sample row with {_code(manifest.expected[0])}.{how}"
    return f"It answers with one number{label}.{how}"


def _data(origin: Origin) -> list[str]:
    if not origin.data:
        return ["Not recorded."]
    rows = [[r.what, r.name, f"{r.rows:,}", r.sha256[:12]] for r in origin.data]
    found = [_table(["", "name", "rows", "sha256"], rows)]
    checks = [
        [r.what, c.contract, "kept" if c.passed else "broken", c.at[:10]]
        for r in origin.data
        for c in r.contracts
    ]
    return found + ([_table(["", "contract", "verdict", "checked"], checks)] if checks else [])


def _figures(origin: Origin) -> list[str]:
    if origin.gate is None:
        return ["The gate has not judged it."]
    report = origin.gate.report
    verdict = "passed" if origin.gate.passed else "did not pass"
    found = [
        f"It {verdict} the gate (report {origin.gate.id}{_when(report)}) on {report.rows:,} held-out rows.",
        _table(["metric", "figure"], report.metrics.items()) if report.metrics else "",
        _table(
            ["check", "verdict", "figure", "limit"],
            [[c.name, _verdict(c), c.figure, c.limit] for c in report.checks],
        ),
    ]
    for check in report.checks:
        if (
            check.evidence.get("groups")
            and check.applies
            and isinstance(check.evidence["groups"], list | tuple)
        ):
            found += _groups(check)
    if (later := origin.later_gate) is not None:
        found.insert(1, _later(later))
    uses = sorted(report.importance.items(), key=lambda pair: -pair[1])[:10]
    if uses:
        spread = report.importance_spread
        found += [
            f"What it uses most ({report.importance_of or 'permutation importance'}):",
            _table(
                ["input", "share", "±"],
                [[name, f"{v:.1%}", f"{spread[name]:.1%}" if name in spread else ""] for name, v in uses],
            ),
        ]
    return found


def _groups(check: Check) -> list[str]:
    """Fairness: each group's figures."""
    groups = check.evidence["groups"]
    heads = list(dict.fromkeys(head for one in groups for head in one))
    return [
        f"### {_text(check.name.capitalize())}",
        _text(f"{check.figure} (limit {check.limit}): {_verdict(check)}."),
        _table(heads, [[one.get(head) for head in heads] for one in groups]),
    ]


def _when(report: GateReport) -> str:
    return f" of {report.at[:10]}" if report.at else ""


def _later(later: KeptReport) -> str:
    """What a report newer than the one that decided says."""
    report = later.report
    if later.passed:
        return f"A later report ({later.id}{_when(report)}) on {report.rows:,} rows passed as well."
    failed = _text(", ".join(f"{c.name} {c.figure} (limit {c.limit})" for c in report.failures))
    return f"**A later report ({later.id}{_when(report)}) on {report.rows:,} rows did not pass:** {failed}."


def _verdict(check: Check) -> str:
    if not check.applies:
        return "does not apply"
    return {True: "passed", False: "failed", None: "not evaluated"}[check.passed]


def _made(origin: Origin) -> str:
    run, manifest = origin.run, origin.manifest
    rows: list[list[Any]] = [["Python", manifest.python], ["model file", f"sha256 {manifest.sha256[:12]}"]]
    if run is not None:
        rows += [["run", f"{run.name} ({run.id})"], ["notebook", run.tags.get("notebook")]]
        rows += [
            ["git commit", run.tags.get("git.commit")],
            ["uncommitted changes", run.tags.get("git.dirty")],
        ]
        rows += [[name, value] for name, value in sorted(run.chosen.items())]
        if defaults := len(run.params) - len(run.chosen):
            rows += [["defaults", f"{defaults} further parameters, in the run"]]
    return _table(["", ""], [row for row in rows if row[1] is not None])


def _decisions(origin: Origin) -> list[str]:
    rows = [[e.id, e.at[:16].replace("T", " "), e.who, e.action, e.why] for e in origin.entries]
    return [_table(["entry", "when", "who", "what", "why"], rows)] if rows else ["Nobody yet."]
