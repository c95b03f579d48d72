"""Rows that a run was given by name: as they were before the cell, or as the cell made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.config.project import Project
from mlops_workbench.data import dvc, files, forms, frames, snapshots
from mlops_workbench.data.frames import Fingerprint
from mlops_workbench.store.engine import Store


@dataclass(frozen=True)
class KeptRows:
    """Rows and their fingerprint. `snapshot`: the reference that named them; `revision`: what tracks their file.

    `value`: what the variable holds, of which `frame` was made; `form`: its kind, where that is no DataFrame.
    """

    frame: Any
    mark: Fingerprint
    snapshot: str = ""
    revision: str = ""
    value: Any = None
    form: str = ""

    def tags(self, prefix: str) -> dict[str, str]:
        mark = self.mark
        found = {
            "name": mark.name,
            "sha256": mark.sha256,
            "rows": str(mark.rows),
            "columns": str(mark.columns),
            "bytes": str(mark.bytes),
            "snapshot": self.snapshot,
            "revision": self.revision,
            "form": self.form,
        }
        return {f"{prefix}.{key}": value for key, value in found.items() if value}


@dataclass(frozen=True)
class GivenRows:
    """Rows with their label. `label`: its column, where it was apart; `parts`: the variables that they came from;
    `note`: why a label that is apart is not with them."""

    rows: KeptRows | None
    label: str | None
    parts: tuple[str, ...]
    note: str = ""


class Given:
    """What `names` stand for, looked up before the cell runs and again after it."""

    def __init__(self, project: Project, store: Store, names: Sequence[str]) -> None:
        self.project, self.store = project, store
        self.names = tuple(dict.fromkeys(names))
        self._found: dict[str, KeptRows] = {}
        self._variables: dict[str, str] = {}

    def before(self, namespace: MutableMapping[str, Any], named: set[str], assigned: set[str]) -> None:
        """Keep what is there already; a snapshot's rows get a variable. What the cell assigns is looked at later.

        Raises what `snapshots.resolve` raises.
        """
        for name in self.names:
            if name in assigned or (name not in namespace and name in named):
                continue
            found = None
            if name not in namespace and not files.is_table(name):
                found = snapshots.refer(self.project, self.store, name)
            if found is not None:
                variable = identifier(found.name or f"snapshot_{found.sha256[:8]}")
                if variable in self._variables.values():  # two versions of one name
                    variable = f"{variable}_{found.version}"
                namespace[variable] = found.frame
                self._variables[name] = variable
                self._found[name] = replace(self._keep(variable, namespace), snapshot=found.reference)
            elif name in namespace or files.is_table(name):
                self._found[name] = self._keep(name, namespace)

    def known(self, name: str) -> bool:
        return name in self._found

    def after(self, namespace: Mapping[str, Any]) -> tuple[dict[str, KeptRows], str]:
        """All of them, and why some are not recorded. What the cell rebound, or gave new columns, counts as the cell
        left it; any other change in place does not: the rows are those that it was given."""
        notes = []
        for name in self.names:
            variable = self._variables.get(name, name)
            known = self._found.get(name)
            try:
                if known is None:
                    self._found[name] = self._keep(variable, namespace)
                elif variable in namespace:
                    self._found[name] = self._changed(known, variable, namespace)
            except MlopsError as problem:  # the fit is finished: it is not lost for its rows
                self._found.pop(name, None)
                notes.append(f"'{name}' was not recorded: {problem}")
        return {name: self._found[name] for name in self.names if name in self._found}, " ".join(notes)

    def joined(
        self, names: Sequence[str], kept: dict[str, KeptRows], namespace: Mapping[str, Any]
    ) -> GivenRows:
        """The first of these, with its label where that is apart: the second, or `y_train` beside `X_train`, which is
        then kept too."""
        first = kept.get(names[0]) if names else None
        if first is None:
            return GivenRows(None, None, tuple(names))
        beside = names[1] if len(names) > 1 and names[1] in kept else forms.label_beside(names[0], namespace)
        if beside is None:
            return GivenRows(first, None, tuple(names))
        try:
            if beside not in kept:
                kept[beside] = self._keep(beside, namespace)
            label = kept[beside].value
            if not forms.is_label(label, first.value):
                return GivenRows(first, None, tuple(names))
            frame, column = forms.joined(first.frame, label)
            mark = snapshots.keep(self.project, self.store, frame, f"{names[0]} + {beside}")
        except MlopsError as problem:  # the fit is finished: it is not lost for its label
            return GivenRows(first, None, tuple(names), f"'{beside}' was not recorded: {problem}")
        return GivenRows(KeptRows(frame, mark), column, tuple(dict.fromkeys([names[0], beside, *names[1:]])))

    def _changed(self, known: KeptRows, variable: str, namespace: Mapping[str, Any]) -> KeptRows:
        now = namespace[variable]
        if now is not known.value:
            return self._keep(variable, namespace)
        now = known.frame if known.value is known.frame else forms.as_frame(now, variable)
        if frames.fingerprint(now, variable).sha256 == known.mark.sha256:
            return known
        if set(now.columns) > set(known.mark.schema):
            return self._keep(variable, namespace)
        return replace(known, frame=snapshots.find(self.project, known.mark.sha256))

    def _keep(self, name: str, namespace: Mapping[str, Any]) -> KeptRows:
        frame, label = frames.resolve(name, namespace)
        value = namespace.get(name, frame)
        form = forms.form_of(value) or "frame"
        revision = "" if name in namespace else dvc.revision(Path(name).expanduser()) or ""
        mark = snapshots.keep(self.project, self.store, frame, label)
        return KeptRows(frame, mark, revision=revision, value=value, form="" if form == "frame" else form)


def identifier(name: str) -> str:
    """A variable's name for a snapshot's: what Python does not take becomes `_`."""
    made = re.sub(r"\W", "_", name)
    return made if made.isidentifier() else f"_{made}"
