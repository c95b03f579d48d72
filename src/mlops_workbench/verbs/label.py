from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import InvalidData, NotFound, closest
from mlops_workbench.interface import parsers
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, Model
from mlops_workbench.manifest import Kind, kind_of_labels

if TYPE_CHECKING:
    from mlops_workbench.monitor.labels import LabelReceipt
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="kernel", example="label flights arrived")
def label(
    session: Session,
    name: Model,
    data: Annotated[Data, Opt("DataFrame with request_id, row_index and the label")],
    *,
    column: Annotated[str | None, Opt("label column (default: the model's target)")] = None,
    mapping: Annotated[
        Sequence[tuple[str, str]],
        Opt("what a label stands for", flags=("--map",), parse=parsers.setting, metavar="LABEL=CLASS"),
    ] = (),
) -> LabelReceipt:
    """Add what really happened to logged predictions, by request_id and row_index.

    Raises `InvalidData` for labels that are no class of the model, or that no prediction is logged for.
    """
    from mlops_workbench.monitor import labels

    session.tracking.require_model(name)
    url = session.project.inference_url
    classes = _classes(session, name, url)
    targets = (v.facts.target for v in session.tracking.versions(name))
    chosen = column or next(iter(targets), None)
    kinds: dict[str, Kind] = {chosen: kind_of_labels(classes)} if chosen and not mapping else {}
    frame, called = session.frame(data, kinds | {"request_id": "string"})
    if "request_id" not in frame.columns:
        raise InvalidData(f"'{called}' has no column 'request_id'.", "Take it from the answers of predict.")
    if chosen and chosen not in frame.columns:
        raise InvalidData(f"'{called}' has no label column '{chosen}'.", closest(chosen, frame.columns))
    wanted = [c for c in ("request_id", "row_index", chosen) if c in frame.columns]
    form = labels.LabelForm(chosen or None, classes, dict(mapping))
    return labels.write_labels(url, name, frame[wanted], form, now=session.clock.now())


def _classes(session: Session, name: str, url: str) -> list[Any]:
    """Those of all versions that have answered, in their order; none of a model that predicts numbers."""
    from mlops_workbench.monitor import inference
    from mlops_workbench.registry.versions import recorded

    try:
        answered = inference.versions(url, name)
    except NotFound:  # what is wrong with the labels is said first
        return []
    found = [v for v in session.tracking.versions(name) if str(v.version) in answered]
    classes = [c for version in found for c in recorded(session.tracking, version)[1].classes]
    return list(dict.fromkeys(classes))
