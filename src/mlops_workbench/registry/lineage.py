"""Lineage: everything that is known of how a version came to be and what became of it, as a tree."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.values import Value, cell, plain
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry import openlineage
from mlops_workbench.registry.fastpath import summary
from mlops_workbench.registry.gates import KeptReport
from mlops_workbench.registry.origin import Origin, RowsOrigin
from mlops_workbench.track.records import Run

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Lineage(Value):
    """A readable tree; leaves are plain values. `openlineage`: the same as a run event, for other tools."""

    model: str
    version: int
    tree: Tree
    openlineage: Tree

    @property
    def title(self) -> str:
        return f"Lineage of '{self.model}' version {self.version}"

    def to_dict(self) -> dict[str, Any]:
        tree: dict[str, Any] = plain(dict(self.tree))
        head = {"model": self.model, "version": self.version}
        return head | tree | {"openlineage": plain(dict(self.openlineage))}

    def text(self) -> str:
        return "\n".join([self.title, *_lines(self.tree)])

    def _repr_html_(self) -> str:
        return (
            f'<div style="font-weight:600;margin:6px 0 2px">{html.escape(self.title)}</div>'
            f'<div style="font-size:13px;line-height:1.5">{_html(self.tree)}</div>'
        )


def _lines(tree: Tree, indent: str = "") -> list[str]:
    lines = []
    items = list(tree.items())
    width = max((len(k) for k, v in items if not isinstance(v, Mapping)), default=0)
    for place, (key, value) in enumerate(items):
        last = place == len(items) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if isinstance(value, Mapping):
            lines += [f"{indent}{branch}{key}", *_lines(value, indent + below)]
        else:
            lines.append(f"{indent}{branch}{key.ljust(width)}  {cell(value)}")
    return lines


_LEAVES = "border-collapse:collapse;margin:0;font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums"
_CELL = "padding:1px 14px 1px 0;text-align:left;vertical-align:top"


def _time(at: str) -> str:
    return at[:19].replace("T", " ")


def _html(tree: Tree) -> str:
    leaves = "".join(
        '<tr style="background:transparent">'
        f'<td style="{_CELL};white-space:nowrap;opacity:.7">{html.escape(k)}</td>'
        f'<td style="{_CELL};overflow-wrap:anywhere">{html.escape(cell(v))}</td></tr>'
        for k, v in tree.items()
        if not isinstance(v, Mapping)
    )
    branches = "".join(
        f'<details open style="margin:4px 0"><summary style="cursor:pointer;font-weight:600">{html.escape(k)}'
        "</summary>"
        f'<div style="margin-left:16px">{_html(v)}</div></details>'
        for k, v in tree.items()
        if isinstance(v, Mapping)
    )
    return (f'<table style="{_LEAVES}">{leaves}</table>' if leaves else "") + branches


_KEPT = {"converted": "kept with", "local_modules": "modules in the model's file"}


def trace(origin: Origin) -> Lineage:
    """Put the records together; what does not exist is named, not left out."""
    stored, manifest = origin.stored, origin.manifest
    tree: dict[str, Any] = {
        "state": origin.state,
        "registered": stored.created,
        "registered by": stored.facts.registered_by,
        "aliases": stored.aliases or None,
        "sha256": manifest.sha256,
        "reads": [f.name for f in manifest.inputs if f.name not in manifest.unread],
        **({"takes without reading": list(manifest.unread)} if manifest.unread else {}),
        "label": manifest.target,
        "data": {rows.what: _data(rows) for rows in origin.data} or "not recorded",
        "run": _run(origin) if origin.run else "not made in a tracked run",
        "environment": {
            "python": manifest.python,
            "format": manifest.serialization,
            "requirements": list(manifest.requirements),
            **{what: manifest.extra[key] for key, what in _KEPT.items() if key in manifest.extra},
        },
        "answers by": _path(manifest),
        "gate": _gate(origin.gate, origin.later_gate) if origin.gate else "not evaluated",
        "approvals": {
            a.who: f"{_time(a.at)} — {a.why}" + (f" ({a.lacks})" if a.lacks else "") for a in origin.approvals
        }
        or "none",
        "image": origin.image.to_dict() if origin.image else "not built",
        "deployments": {
            d.id: f"{d.kind} {d.url} from {_time(d.at)}" + (f" to {_time(d.ended)}" if d.ended else "")
            for d in origin.deployments
        }
        or "none",
        "decisions": {
            f"entry {e.id}": f"{_time(e.at)}  {e.who}: {e.action}{f' {e.alias}' if e.alias else ''} — {e.why}"
            for e in origin.entries
        }
        or "none",
    }
    return Lineage(stored.name, stored.version, tree, openlineage.event(origin))


def _path(manifest: Manifest) -> dict[str, Any]:
    """What answers when it is served, and what it was tried on."""
    record = manifest.extra.get("fast")
    tree: dict[str, Any] = {"path": summary.sentence(record)}
    if record and record["proven"]:
        tree |= {
            "rows tried": dict(record["rows"]),
            "left to the original": record["left"],
            "tolerance": record["tolerance"],
            "seconds": record["seconds"],
            "plan sha256": record["sha256"],
        }
    return tree


def _data(rows: RowsOrigin) -> dict[str, Any]:
    known = {
        f"snapshot {k.reference}": ", ".join(filter(None, (k.source, k.revision))) or "named by hand"
        for k in rows.known_as
    }
    checks = {
        f"contract {c.contract}": f"{'kept' if c.passed else 'BROKEN'}, {_time(c.at)}, digest {c.digest[:12]}"
        for c in rows.contracts
    }
    return {"name": rows.name, "rows": rows.rows, "sha256": rows.sha256} | known | checks


def _run(origin: Origin) -> dict[str, Any]:
    run = origin.run
    assert run is not None
    return {
        "name": run.name,
        "id": run.id,
        "started": run.started,
        "notebook": run.tags.get("notebook"),
        "job": run.tags.get("job"),
        "git commit": run.tags.get("git.commit"),
        "git branch": run.tags.get("git.branch"),
        "uncommitted changes": run.tags.get("git.dirty"),
        "kept": list(origin.files) or None,
        "contracts": _checked(run) or None,
        "seeds": {k.removeprefix("seed."): v for k, v in run.tags.items() if k.startswith("seed.")} or None,
        "metrics": dict(run.metrics),
        "parameters": dict(run.params),
    }


def _checked(run: Run) -> dict[str, str]:
    """Contracts that data were checked against in the run, or that its rows were before it."""
    names = [
        key[len("contract.") : -len(".verdict")]
        for key in run.tags
        if re.fullmatch(r"contract\..+\.verdict", key)
    ]
    found = {
        name: {k: run.tags.get(f"contract.{name}.{k}", "") for k in ("data", "verdict", "digest")}
        for name in names
    }
    return {name: f"{f['verdict']} by '{f['data']}', digest {f['digest'][:12]}" for name, f in found.items()}


def _gate(seen: KeptReport, later: KeptReport | None) -> dict[str, Any]:
    report = seen.report
    after = {"later report": f"{later.id}, {'passed' if later.passed else 'failed'}"} if later else {}
    return (
        after
        | {
            "report": seen.id,
            "verdict": "passed" if seen.passed else "failed",
            "champion then": seen.champion,
            "digest": seen.digest,
        }
        | {c.name: f"{c.figure} ({c.limit})" for c in report.checks if c.applies}
    )
