from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError, closest
from mlops_workbench.interface import parsers
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, Model
from mlops_workbench.manifest import Kind, Manifest, kind_of_labels

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.monitor.labels import LabelReceipt
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="kernel", example="label flights arrived")
def label(
    session: Session,
    name: Model,
    data: Annotated[Data, Opt("DataFrame, file or with --sql a query: request_id, row_index and the label")],
    *,
    column: Annotated[str | None, Opt("label column (default: the model's target)")] = None,
    key: Annotated[str | None, Opt("find predictions by this logged feature instead of request_id")] = None,
    at: Annotated[str | None, Opt("with key: column of the labels' time")] = None,
    tolerance: Annotated[
        str | None,
        Opt("with key: how long before the label it was predicted at most, such as 7d", metavar="TIME"),
    ] = None,
    wait: Annotated[bool, Opt("keep the labels also if none of their predictions is logged yet")] = False,
    sql: Annotated[
        str | None,
        Opt("database that DATA is a query of, as secret://env/NAME of its URL, or a URL", metavar="URL"),
    ] = None,
    mapping: Annotated[
        Sequence[tuple[str, str]],
        Opt("what a label stands for", flags=("--map",), parse=parsers.setting, metavar="LABEL=CLASS"),
    ] = (),
) -> LabelReceipt:
    """Add what really happened to logged predictions, by request_id and row_index, or by a key and a time.

    By a key, a label belongs to the logged row with that key whose answer's time is nearest at or before the label's
    time, and at most the tolerance before it (default: any time). Labels may come before their predictions, again,
    corrected and in any order: what waits is kept and matched later, and the value before a correction is kept.

    Raises `InvalidData` for labels that are no class of the model, or when no prediction is logged for any of them.
    """
    from mlops_workbench.monitor import keyed, labels, periods

    if key is None and (at or tolerance):
        raise UsageError(
            "Labels by request_id need no time.", "Say the option key, or leave at and tolerance out."
        )
    if key is not None and at is None:
        raise UsageError("Labels by a key need their time.", "Name its column with the option at.")
    seconds = None if tolerance is None else periods.length(tolerance)
    session.tracking.require_model(name)
    url = session.project.inference_url
    manifests = _manifests(session, name, url)
    classes = list(dict.fromkeys(c for one in manifests for c in one.classes))
    targets = (v.facts.target for v in session.tracking.versions(name))
    chosen = column or next(iter(targets), None)
    kinds: dict[str, Kind] = {chosen: kind_of_labels(classes)} if chosen and not mapping else {}
    own: list[str] = ["request_id", "row_index"]
    if key is not None and at is not None:
        own = [key, at]
        _require_plain(session, key)
        kinds.update({n: kind for one in manifests for n, kind in one.kinds.items() if n == key})
    else:
        kinds |= {"request_id": "string"}
    frame, called = _frame(session, data, sql, kinds)
    if key is None and "request_id" not in frame.columns:
        raise InvalidData(f"'{called}' has no column 'request_id'.", "Take it from the answers of predict.")
    if chosen and chosen not in frame.columns:
        raise InvalidData(f"'{called}' has no label column '{chosen}'.", closest(chosen, frame.columns))
    wanted = [c for c in (*own, chosen) if c in frame.columns]
    form = labels.LabelForm(chosen or None, classes, dict(mapping), wait)
    if key is not None and at is not None:
        by = keyed.EntityKey(key, at, seconds)
        return keyed.write_keyed_labels(url, name, frame[wanted], by, form, now=session.clock.now())
    return labels.write_labels(url, name, frame[wanted], form, now=session.clock.now())


def _frame(
    session: Session, data: Any, sql: str | None, kinds: Mapping[str, Kind]
) -> tuple[pd.DataFrame, str]:
    if sql is None:
        return session.frame(data, kinds)
    from mlops_workbench.data import queries

    if not isinstance(data, str):
        raise UsageError("Of a database, the data is a query.", "Leave the option sql out.")
    return queries.query(sql, data, kinds), "The answer of the database"


def _require_plain(session: Session, key: str) -> None:
    policy = session.project.policy.serving
    for names, how in ((policy.log_exclude, "log_exclude"), (policy.log_hash, "log_hash")):
        if key in names:
            raise InvalidData(
                f"The log does not hold '{key}' as it was sent: {how} of [serving] names it.",
                "Give labels by request_id, or by another feature.",
            )


def _manifests(session: Session, name: str, url: str) -> list[Manifest]:
    """Of all versions that have answered, in their order; of all there are while none has."""
    from mlops_workbench.monitor import inference
    from mlops_workbench.registry.versions import recorded

    versions = session.tracking.versions(name)
    try:
        answered = inference.versions(url, name)
    except NotFound:
        answered = {str(v.version) for v in versions}
    return [recorded(session.tracking, v)[1] for v in versions if str(v.version) in answered]
