"""What `POST /predict` takes and gives, as Pydantic types made from the manifest.

Rows are TypedDicts, not models: column names with spaces, accents or keywords need no aliases, and a valid
request is plain dicts at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired, cast

import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict  # pydantic needs this one below Python 3.12

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.serving.errors import ServingError, shown

_STRICT = ConfigDict(extra="forbid", strict=True)
_LONGEST_ID = 200
_SHOWN_ERRORS = 3

_TAKES = {
    "double": "a finite number",
    "long": "a whole number of 64 bits",
    "string": "a text",
    "boolean": "true or false",
    "datetime": "a time in ISO 8601 (like 2026-03-01T12:00:00Z) between the years 1678 and 2261",
}


def _whole(value: Any) -> Any:
    """3.0 is a whole number: many clients write every number with a point."""
    return int(value) if type(value) is float and value.is_integer() else value


def _time(value: Any) -> datetime:
    """ISO 8601, a date alone being its midnight, within what pandas' nanoseconds in 64 bits can hold."""
    if isinstance(value, str):
        with suppress(ValueError):
            moment = datetime.fromisoformat(value)
            if 1678 <= moment.year <= 2261:
                return moment
    raise ValueError(_TAKES["datetime"])


def _storable_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("a text without NUL characters")
    return value


_TYPES: dict[str, Any] = {
    "double": Annotated[float, pydantic.Field(allow_inf_nan=False)],
    "long": Annotated[int, pydantic.Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(_whole)],
    "string": Annotated[
        str, AfterValidator(_storable_text), WithJsonSchema({"type": "string", "pattern": "^[^\\u0000]*$"})
    ],
    "boolean": bool,
    "datetime": Annotated[datetime, BeforeValidator(_time)],
}

_ID = Annotated[
    str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST_ID, "pattern": "^[!-~]+$"})
]
"""checked by `checked_id`, wherever the id comes from"""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """One valid request. A contract that lets callers say more derives a class of its own."""

    rows: list[dict[str, Any]]
    request_id: str | None = None
    version: str | None = None
    """the version that the caller names, where the contract lets it"""


class PredictSchema:
    """Parses `{"rows": [{column: value, …}, …], "request_id"?: text}` and describes it for OpenAPI."""

    def __init__(self, inputs: Sequence[Field], *, max_rows: int) -> None:
        self.max_rows = max_rows
        self._kinds = {f.name: f.kind for f in inputs}
        row = _typed_dict("Row", {f.name: _column(f) for f in inputs})
        rows = Annotated[list[row], pydantic.Field(min_length=1, max_length=max_rows)]  # type: ignore[valid-type]
        self._body = TypeAdapter[Any](
            _typed_dict("PredictRequest", {"rows": rows, "request_id": NotRequired[_ID | None]})
        )

    def parse(self, raw: bytes, header_id: str | None = None) -> ParsedRequest:
        """A body's rows and its request id (the body's before the header's).

        Raises ServingError: InvalidJson, or InvalidData with a sentence that names row and column.
        """
        try:
            body = self._body.validate_json(raw)
        except pydantic.ValidationError as error:
            raise self._refusal(error) from None
        return ParsedRequest(body["rows"], checked_id(body.get("request_id") or header_id))

    def check(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows that came in another form than `parse` reads, as the model takes them. Raises InvalidData."""
        try:
            valid: list[dict[str, Any]] = self._body.validate_python({"rows": rows})["rows"]
        except pydantic.ValidationError as error:
            raise self._refusal(error) from None
        return valid

    def _refusal(self, error: pydantic.ValidationError) -> ServingError:
        errors = error.errors(include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            reason = errors[0]["msg"].removeprefix("Invalid JSON: ")
            return ServingError("InvalidJson", f"The body is not JSON: {reason}.", "Send a JSON object.")
        sentences = [self._sentence(cast(dict[str, Any], e)) for e in errors[:_SHOWN_ERRORS]]
        if len(errors) > _SHOWN_ERRORS:
            sentences.append(f"And {len(errors) - _SHOWN_ERRORS} more.")
        return ServingError(
            "InvalidData", " ".join(sentences), "The columns and their types are listed at GET / and /docs."
        )

    def _sentence(self, error: dict[str, Any]) -> str:
        got = error.get("input")
        match tuple(error["loc"]), error["type"]:
            case (), _:
                return 'The body must be an object {"rows": […]}.'
            case ("rows",), "missing":
                return "The body has no 'rows'."
            case ("rows",), "too_short":
                return "'rows' is empty; at least one row is needed."
            case ("rows",), "too_long":
                return f"'rows' holds more than {self.max_rows} rows; send them in several requests."
            case ("rows",), _:
                return f"'rows' must be a list of objects. Got {shown(got)} instead."
            case (str(key),), "extra_forbidden":
                return f"The body has '{key}', but only 'rows' and 'request_id' are known."
            case (str(key), *_), _ if key != "rows":
                return f"'{key}' must be a text. Got {shown(got)} instead."
            case (_, int(row)), _:
                return f"Row {row} must be an object {{column: value}}. Got {shown(got)} instead."
            case (_, int(row), column, *_), "missing":
                return f"Row {row} has no '{column}', which must have a value."
            case (_, int(row), column, *_), "extra_forbidden":
                near = difflib.get_close_matches(str(column), self._kinds, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                return f"Row {row} has the column '{column}', which this model does not take.{hint}"
            case (_, int(row), column, *_), _:
                takes = _TAKES[self._kinds[str(column)]]
                if error["type"] == "value_error":
                    takes = error["msg"].removeprefix("Value error, ")
                return f"Row {row}: the column '{column}' must be {takes}. Got {shown(got)} instead."
        return str(error["msg"])

    def request_schema(self, sample: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """JSON schema of the body, with sample rows as its example."""
        schema = self._body.json_schema(ref_template="#/components/schemas/{model}")
        if sample:
            schema["examples"] = [{"rows": [dict(row) for row in sample[:2]]}]
        return schema

    @staticmethod
    def response_schema(manifest: Manifest) -> dict[str, Any]:
        value = {"type": _label_type(manifest)} if _label_type(manifest) else {}
        classes: dict[str, Any] = {"type": "array", "items": value}
        if manifest.classes:
            classes["enum"] = [list(manifest.classes)]
        nothing = {"type": "null"}
        probabilities = {"type": "array", "items": {"type": ["number", "null"], "minimum": 0, "maximum": 1}}
        properties = {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "request_id": {"type": "string"},
            "predictions": {"type": "array", "items": value, "description": "one a row, in the rows' order"},
            "probabilities": {
                "anyOf": [{"type": "array", "items": probabilities}, nothing],
                "description": "one list a row, in the order of `classes`",
            },
            "classes": {"anyOf": [classes, nothing]},
        }
        return {
            "title": "PredictResponse",
            "type": "object",
            "properties": properties,
            "required": [*properties],
        }


ERROR_SCHEMA: dict[str, Any] = {
    "title": "Error",
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "the kind"},
        "message": {"type": "string", "description": "a sentence"},
        "next_step": {"type": "string"},
    },
    "required": ["error", "message", "next_step"],
}


def checked_id(request_id: str | None) -> str | None:
    """Request ids are log keys and travel in headers: 1 to 200 visible ASCII characters."""
    if request_id is None:
        return None
    if len(request_id) > _LONGEST_ID or not all("!" <= c <= "~" for c in request_id):
        raise ServingError(
            "InvalidData",
            f"The request id {shown(request_id)} must be 1 to {_LONGEST_ID} visible ASCII characters.",
            "Send a shorter, plain id such as a UUID, or none.",
        )
    return request_id


def _column(field: Field) -> Any:
    kind = _TYPES[field.kind]
    return NotRequired[kind | None] if field.nullable else kind


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    make: Any = TypedDict  # a type checker knows only literal calls of it
    made = make(name, fields)
    made.__pydantic_config__ = _STRICT
    return made


def _label_type(manifest: Manifest) -> str | None:
    labels = manifest.classes or manifest.expected
    if labels and all(isinstance(v, str) for v in labels):
        return "string"
    if labels and all(isinstance(v, bool) for v in labels):
        return "boolean"
    return "number" if labels and all(isinstance(v, int | float) for v in labels) else None


def as_text(moment: datetime) -> str:
    """A time as the log keeps it: ISO 8601, turned to UTC if it has a zone."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()
