"""Lineage: everything that is known of how a version came to be and what became of it, as a tree."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.ledger import Entry
from mlops_workbench.track.tracking import Run, Stored
from mlops_workbench.values import Value, cell, plain

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Lineage(Value):
    """A readable tree; leaves are plain values."""

    model: str
    version: int
    tree: Tree

    @property
    def title(self) -> str:
        return f"Lineage of '{self.model}' version {self.version}"

    def to_dict(self) -> dict[str, Any]:
        tree: dict[str, Any] = plain(dict(self.tree))
        return {"model": self.model, "version": self.version} | tree

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


def trace(
    stored: Stored,
    manifest: Manifest,
    run: Run | None,
    gate: Mapping[str, Any] | None,
    entries: tuple[Entry, ...],
    image: Mapping[str, Any] | None,
    deployments: list[Mapping[str, Any]],
) -> Lineage:
    """Put the records together; what does not exist is said, not left out."""
    tags = stored.tags
    tree: dict[str, Any] = {
        "registered": stored.created,
        "aliases": stored.aliases or None,
        "sha256": manifest.sha256,
        "reads": [f.name for f in manifest.inputs],
        "label": manifest.target,
    }
    tree["data"] = {
        what: {key: tags.get(f"{tag}.{key}") for key in ("name", "rows", "sha256")}
        for what, tag in (("fitted on", "data"), ("held out", "evaluate"))
        if f"{tag}.sha256" in tags
    } or "not recorded"
    if run is None:
        tree["run"] = "not made in a tracked run"
    else:
        tree["run"] = {
            "name": run.name,
            "id": run.id,
            "started": run.started,
            "notebook": run.tags.get("notebook"),
            "job": run.tags.get("job"),
            "git commit": run.tags.get("git.commit"),
            "git branch": run.tags.get("git.branch"),
            "uncommitted changes": run.tags.get("git.dirty"),
            "metrics": dict(run.metrics),
            "parameters": dict(run.params),
        }
    tree["environment"] = {
        "python": manifest.python,
        "format": manifest.serialization,
        "requirements": list(manifest.requirements),
    }
    if gate is None:
        tree["gate"] = "not evaluated"
    else:
        report = gate["report"]
        tree["gate"] = {
            "report": gate["id"],
            "verdict": "passed" if gate["passed"] else "failed",
            "champion then": gate["champion"],
            "digest": gate["digest"],
        } | {c["name"]: f"{c['figure']} ({c['limit']})" for c in report["checks"] if c["applies"]}
    tree["image"] = dict(image) if image else "not built"
    tree["deployments"] = {
        d["id"]: f"{d['kind']} {d['url']} from {_time(d['at'])}" for d in deployments
    } or "none"
    tree["decisions"] = {
        f"entry {e.id}": f"{_time(e.at)}  {e.who}: {e.action} — {e.why}" for e in entries
    } or "none"
    return Lineage(stored.name, stored.version, tree)
