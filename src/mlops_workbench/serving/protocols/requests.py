"""From a body to a request, for every contract: pure functions of the body and the version's form.

The server and its parsing processes both import this module: nothing of the web, the log or the model is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.serving.errors import shown
from mlops_workbench.serving.form import Body, RequestForm
from mlops_workbench.serving.protocols import rows as forms
from mlops_workbench.serving.protocols.rows import object_of, refuse
from mlops_workbench.serving.schema import ParsedRequest

CSV = "text/csv"
PARQUET = ("application/x-parquet", "application/vnd.apache.parquet")
HEADER_LENGTH = "Inference-Header-Content-Length"
LABEL, PROBABILITIES = "predict", "predict_proba"
_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass(frozen=True, slots=True)
class InvocationRequest(ParsedRequest):
    probabilities: bool = False
    """whether they are to be answered instead of labels"""


@dataclass(frozen=True, slots=True)
class InferRequest(ParsedRequest):
    outputs: dict[str, bool] = field(default_factory=dict)
    """name → whether its data is to come as binary"""


def predict(body: Body, form: RequestForm) -> ParsedRequest:
    return form.schema.parse(body.data)


def invocations(body: Body, form: RequestForm) -> InvocationRequest:
    params: Any = {}
    if body.kind == CSV:
        header = body.parameters.get("header") != "absent"
        rows = forms.from_csv(body.data, form.inputs, header=header)
    elif body.kind in PARQUET:
        rows = forms.from_parquet(
            body.data, form.inputs, most_rows=form.most_rows, most_bytes=form.most_bytes
        )
    else:
        payload = object_of(body.data)
        params = payload.pop("params", None) or {}
        rows = _from_json(payload, form.columns)
    valid = form.schema.check(rows)
    return InvocationRequest(valid, probabilities=_probabilities_wanted(params, form))


def _from_json(payload: dict[str, Any], columns: list[str]) -> forms.ParsedRows:
    if len(payload) != 1 or next(iter(payload)) not in _KEYS:
        got = ", ".join(f"'{key[:40]}'" for key in list(payload)[:5]) or "nothing"
        refuse(f"The body must have exactly one of {', '.join(_KEYS)}, and may have params. Got {got}.")
    key, value = next(iter(payload.items()))
    if key == "dataframe_split":
        return forms.from_split(value, columns)
    if isinstance(value, dict) and key in ("inputs", "instances"):
        return forms.from_columns(value)
    return forms.from_items(value, columns, key)


def vertex(body: Body, form: RequestForm) -> InvocationRequest:
    payload = object_of(body.data)
    if not {"instances"} <= set(payload) <= {"instances", "parameters"}:
        refuse("The body must have 'instances', and may have 'parameters', nothing else.")
    rows = forms.from_items(payload["instances"], form.columns, "instances")
    valid = form.schema.check(rows)
    probabilities = _probabilities_wanted(payload.get("parameters") or {}, form)
    return InvocationRequest(valid, probabilities=probabilities)


def _probabilities_wanted(params: Any, form: RequestForm) -> bool:
    """`{"probabilities": true}` is the one parameter there is."""
    if not isinstance(params, dict) or not set(params) <= {"probabilities"}:
        refuse("The only parameter known is 'probabilities', true or false.", "Leave the others out.")
    wanted = params.get("probabilities", False)
    if not isinstance(wanted, bool):
        refuse("The parameter 'probabilities' must be true or false.", "Leave it out for labels.")
    if wanted and not form.gives_probabilities:
        refuse("This model has no probabilities.", "Leave the parameter out.")
    return wanted


def infer(body: Body, form: RequestForm) -> InferRequest:
    """`context`: `length` of the JSON before binary data, and the `version` of the path."""
    from mlops_workbench.serving.protocols import tensors

    payload, binary = _parts(body.data, body.context.get("length"))
    inputs = payload.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        refuse(f"The request must have 'inputs', a list of tensors. Got {shown(inputs)} instead.")
    request_id = payload.get("id")
    if request_id is not None and not isinstance(request_id, str):
        refuse(f"'id' must be a text. Got {shown(request_id)} instead.", "Leave it out to have one made.")
    if len(inputs) > len(form.inputs):
        refuse(f"The request has {len(inputs)} inputs; the model takes {len(form.inputs)}.")
    found, at = [], 0
    for described in inputs:
        tensor, at = tensors.read(described, binary, at, max(form.most_rows, len(form.inputs)))
        found.append(tensor)
    if at != len(binary):
        refuse(f"{len(binary) - at} bytes after the inputs' binary data belong to no input.")
    rows = form.schema.check(tensors.columns(found, form.inputs))
    return InferRequest(
        rows, request_id or None, version=body.context.get("version"), outputs=_outputs(payload, form)
    )


def _parts(raw: bytes, header: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON, and the binary data after it."""
    if header is None:
        return object_of(raw), memoryview(b"")
    if not header.isascii() or not header.isdigit() or len(header) > 12 or int(header) > len(raw):
        refuse(f"{HEADER_LENGTH} must be the length of the JSON in bytes. Got {shown(header)} instead.")
    return object_of(raw[: int(header)]), memoryview(raw)[int(header) :]


def _outputs(payload: dict[str, Any], form: RequestForm) -> dict[str, bool]:
    offered = [LABEL, PROBABILITIES] if form.gives_probabilities else [LABEL]
    binary = _parameters(payload).get("binary_data_output") is True
    wanted = payload.get("outputs")
    if not wanted:
        return dict.fromkeys(offered, binary)
    found = {}
    for output in wanted if isinstance(wanted, list) else [wanted]:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in offered:
            refuse(f"An output is one of {', '.join(offered)}. Got {shown(name)} instead.")
        parameters = _parameters(output)
        if refused := {"classification", "shared_memory_region"} & set(parameters):
            refuse(f"The output parameter '{refused.pop()}' is not offered.", "Leave it out.")
        found[name] = parameters.get("binary_data", binary) is True
    return found


def _parameters(payload: dict[str, Any]) -> dict[str, Any]:
    """Others than those that are asked for, such as `content_type`, say nothing here."""
    given = payload.get("parameters")
    return given if isinstance(given, dict) else {}


PARSERS: Mapping[str, Callable[[Body, RequestForm], ParsedRequest]] = {
    "predict": predict,
    "invocations": invocations,
    "vertex": vertex,
    "infer": infer,
}
"""by the name that a parsing process is asked with"""
REQUESTS: Mapping[str, type[ParsedRequest]] = {
    "predict": ParsedRequest,
    "invocations": InvocationRequest,
    "vertex": InvocationRequest,
    "infer": InferRequest,
}
