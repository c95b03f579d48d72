"""The logged requests of a model as one frame: features, answers, and labels where they have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import NotFound
from mlops_workbench.base.values import Value, plain, version_number
from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import inference
from mlops_workbench.monitor.inference import LogSelection

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


@dataclass(frozen=True)
class LoggedFrame(Value):
    """`frame`: a row a logged row, oldest first: the features, then request_id, row_index, at (UTC), model_version,
    prediction, score and label. What a feature is called as well has `logged.` before its name. `labelled`: how many
    have a label."""

    model: str
    version: str | None
    rows: int
    labelled: int
    frame: pd.DataFrame = field(repr=False, compare=False)

    @property
    def title(self) -> str:
        of = f"version {self.version} of '{self.model}'" if self.version else f"'{self.model}'"
        return f"{self.rows:,} logged rows of {of}, {self.labelled:,} with a label."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        head = self.frame.tail(_SHOWN)
        return list(head.columns), [plain(row) for row in head.itertuples(index=False, name=None)]

    def to_dict(self) -> dict[str, Any]:
        names = list(self.frame.columns)
        return {
            "model": self.model,
            "version": version_number(self.version),
            "rows": self.rows,
            "labelled": self.labelled,
            "log": [
                plain(dict(zip(names, row, strict=True)))
                for row in self.frame.itertuples(index=False, name=None)
            ],
        }


def frame(
    url: str, manifest: Manifest, version: str | None, *, last: int | None, labelled: bool
) -> LoggedFrame:
    """Of all versions, or of one. `labelled`: only rows that have a label. Raises `NotFound` when there are none."""
    import pandas as pd

    found = inference.read(
        url,
        manifest.name,
        LogSelection(None if version is None else [version], labelled=labelled),
        features=manifest.columns,
        limit=last,
        datetimes=[f.name for f in manifest.inputs if f.kind == "datetime"],
    )
    if not len(found):
        raise nothing(manifest.name, version, labelled=labelled)
    features = found.features
    for one in manifest.inputs:
        if one.kind == "boolean":
            # of a database's 0 and 1, or its own truth values
            features[one.name] = [
                None if v is None or v != v else bool(v) for v in features[one.name].tolist()
            ]
    classes = {float(c): c for c in manifest.classes if isinstance(c, bool | int)}
    if classes and len(classes) == len(manifest.classes):  # stored as numbers
        for name in ("prediction", "label"):
            found.facts[name] = [classes.get(v, v) if v == v else None for v in found.facts[name].tolist()]
    facts = found.facts.rename(
        columns={name: f"logged.{name}" for name in found.facts.columns if name in features.columns}
    )
    return LoggedFrame(
        manifest.name,
        version,
        len(found),
        int(found.facts["label"].notna().sum()),
        pd.concat([features, facts], axis=1),
    )


def together(manifests: Sequence[Manifest]) -> Manifest:
    """The first, newest one with the columns of all."""
    columns = {field.name: field for manifest in reversed(manifests) for field in manifest.inputs}
    first = [field.name for manifest in manifests for field in manifest.inputs]
    return replace(manifests[0], inputs=tuple(columns[name] for name in dict.fromkeys(first)))


def nothing(model: str, version: str | None, *, labelled: bool = False) -> NotFound:
    """That there is no such row."""
    of = f"version {version} of '{model}'" if version else f"'{model}'"
    if labelled:
        return NotFound(f"No logged row of {of} has a label yet.", "Add labels with label, or leave it out.")
    return NotFound(f"No prediction of {of} is logged.", "Serve it and send requests first.")
