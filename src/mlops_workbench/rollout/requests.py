"""`predict`: rows to a served model over HTTP, a batch a request."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, closest
from mlops_workbench.base.progress import Progress
from mlops_workbench.base.values import Value, plain, version_number
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Manifest
from mlops_workbench.rollout.runtime import client
from mlops_workbench.rollout.runtime.deployment import Deployment

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Predictions(Value):
    """The answers. `frame`: one row a row sent, with request_id, row_index, prediction and score (or None).

    The index of `frame` is the index of what was sent, so that labels can be joined later.
    """

    model: str
    version: str
    url: str
    requests: int
    seconds: float
    frame: Any

    @property
    def title(self) -> str:
        rate = len(self.frame) / self.seconds if self.seconds else 0.0
        return (
            f"Version {self.version} of '{self.model}' answered {len(self.frame):,} rows "
            f"in {self.requests} requests ({self.seconds:.1f} s, {rate:,.0f} rows/s); all are logged."
        )

    def table(self) -> tuple[list[str], list[list[Any]]]:
        head = self.frame.head(5)
        return list(head.columns), [plain(row) for row in head.itertuples(index=False, name=None)]

    def to_dict(self) -> dict[str, Any]:
        rows = [
            plain(dict(zip(self.frame.columns, r, strict=True))) for r in self.frame.itertuples(index=False)
        ]
        return {
            "model": self.model,
            "version": version_number(self.version),
            "url": self.url,
            "requests": self.requests,
            "seconds": self.seconds,
            "predictions": rows,
        }


def send(
    deployment: Deployment,
    manifest: Manifest,
    frame: pd.DataFrame,
    label: str,
    *,
    batch: int,
    key: str | None = None,
    progress: Progress,
) -> Predictions:
    """Raises `InvalidData` when columns do not fit, and what the served model answers otherwise."""
    import pandas as pd

    columns = manifest.taken_from(frame.columns)
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise InvalidData(
            f"'{label}' has no column '{missing[0]}', which the model reads.",
            closest(missing[0], frame.columns),
        )
    rows = to_rows(frame[columns], manifest.inputs)
    parts: list[pd.DataFrame] = []
    started = time.perf_counter()
    version = deployment.version
    for first in range(0, len(rows), batch):
        progress(f"{first:,} of {len(rows):,} rows", first / len(rows))
        answer = client.predict(deployment, rows[first : first + batch], uuid.uuid4().hex, key=key)
        version = answer["version"]
        parts.append(_part(answer))
    found = pd.concat(parts, ignore_index=True)
    found.index = frame.index
    return Predictions(
        deployment.model, version, deployment.url, len(parts), time.perf_counter() - started, found
    )


def _part(answer: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    probabilities = answer.get("probabilities")
    classes = answer.get("classes") or []
    if not probabilities:
        scores: list[float | None] = [None] * len(answer["predictions"])
    elif len(classes) == 2:
        scores = [p[-1] for p in probabilities]
    else:
        scores = [max(p) for p in probabilities]
    return pd.DataFrame(
        {
            "request_id": answer["request_id"],
            "row_index": range(len(answer["predictions"])),
            "prediction": answer["predictions"],
            "score": scores,
        }
    )
