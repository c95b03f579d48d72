from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import InvalidData, closest
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, Model

if TYPE_CHECKING:
    from mlops_workbench.monitor.inference import LabelReceipt
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="kernel", example="label flights arrived")
def label(
    session: Session,
    name: Model,
    data: Annotated[Data, Opt("DataFrame with request_id, row_index and the label")],
    *,
    column: Annotated[str | None, Opt("label column (default: the model's target)")] = None,
) -> LabelReceipt:
    """Add what really happened to logged predictions, by request_id and row_index."""
    from mlops_workbench.monitor import inference

    session.tracking.require_model(name)
    frame, called = session.frame(data)
    targets = (v.facts.target for v in session.tracking.versions(name))
    chosen = column or next(iter(targets), None)
    if "request_id" not in frame.columns:
        raise InvalidData(f"'{called}' has no column 'request_id'.", "Take it from the answers of predict.")
    if chosen and chosen not in frame.columns:
        raise InvalidData(f"'{called}' has no label column '{chosen}'.", closest(chosen, frame.columns))
    wanted = [c for c in ("request_id", "row_index", chosen) if c in frame.columns]
    url = session.project.inference_url
    return inference.write_labels(url, name, frame[wanted], column=chosen or None, now=session.clock.now())
