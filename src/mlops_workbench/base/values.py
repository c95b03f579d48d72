"""What verbs return: frozen values that know how to be a dict, a text and a small piece of HTML.

One table renderer serves all of them, so that a notebook, a terminal and the sidebar show the same columns.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any


def plain(value: Any) -> Any:
    """JSON-ready: dataclasses to dicts, tuples to lists, times to ISO 8601, paths to text, NumPy's to Python's."""
    if isinstance(value, Value):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None  # JSON has no NaN and no infinity
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return plain(value.item())
    return value


AS_NUMBER = "a number in JSON"
VersionText = Annotated[str, AS_NUMBER]
"""A version as the serving contracts write it, "3". Verbs answer with the number, as the registry has it."""


def version_number(text: str | None) -> int | str | None:
    return int(text) if text and text.isdigit() else text or None


def _fields(value: Any) -> dict[str, Any]:
    return {
        f.name: version_number(getattr(value, f.name))
        if "VersionText" in str(f.type)
        else plain(getattr(value, f.name))
        for f in fields(value)
    }


@dataclass(frozen=True)
class Value:
    """Base of every verb's result. Subclasses give `table()` (and `title`), or override `text` and `_repr_html_`."""

    names_verbs = True
    """whether a verb between backticks in its text is one, to be spelled as it is typed there"""

    def to_dict(self) -> dict[str, Any]:
        return _fields(self)

    @property
    def title(self) -> str:
        return ""

    @property
    def exit_code(self) -> int:
        """What a command line ends with."""
        return 0

    def page_of_pictures(self) -> str:
        """An HTML page of what a terminal cannot show; empty where there is nothing."""
        return ""

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Column heads and rows. Default: field and value."""
        return ("", ""), [(f.name, getattr(self, f.name)) for f in fields(self)]

    def text(self) -> str:
        heads, rows = self.table()
        body = text_table(heads, rows)
        return f"{self.title}\n{body}" if self.title else body

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        heads, rows = self.table()
        return html_table(heads, rows, title=self.title)


def cell(value: Any) -> str:
    """How one value is written in a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, list | tuple):
        return ", ".join(cell(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}={cell(v)}" for k, v in value.items())
    return str(value)


def when(moment: datetime) -> str:
    """UTC to the second, as people read it in a table."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def is_number(value: Any) -> bool:
    """Of Python's own kinds; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns: numbers right, the rest left; no frame."""
    if not rows:
        return "(none)"
    grid = [[cell(v) for v in row] for row in rows]
    right = [all(is_number(row[i]) or row[i] is None for row in rows) for i in range(len(heads))]
    lines = ([list(heads)] if any(heads) else []) + grid
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


_TABLE = (
    "border-collapse:collapse;margin:4px 0;font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums"
)
_LINE = "border-bottom:1px solid rgba(128,128,128,.25)"
_WORDS = 28
"""up to so many characters a cell keeps in one line: times, names, digests"""


def html_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> str:
    """A calm table that reads in light and dark themes (colours are inherited). Values are escaped."""
    caption = f'<div style="font-weight:600;margin:6px 0 2px">{html.escape(title)}</div>' if title else ""
    if not rows:
        none = "" if title and not any(heads) else '<div style="font-size:13px;opacity:.6">(none)</div>'
        return f'<div class="mlops-table">{caption}{none}</div>'
    right = [all(is_number(row[i]) or row[i] is None for row in rows) for i in range(len(heads))]

    def line(values: Sequence[Any], tag: str, styles: Sequence[str]) -> str:
        cells = "".join(
            f'<{tag} style="padding:3px 14px 3px 0;text-align:{"right" if r else "left"};vertical-align:top;'
            f'{style}{_wrapping(v)}">{_inside(v)}</{tag}>'
            for v, r, style in zip(values, right, styles, strict=True)
        )
        return f'<tr style="{_LINE};background:transparent">{cells}</tr>'

    plainly = [""] * len(heads)
    head = line(heads, "th", ["font-weight:600;opacity:.7;"] * len(heads)) if any(heads) else ""
    # field and value: the field is quiet, as column heads are
    styles = plainly if any(heads) or len(heads) != 2 else ["opacity:.7;", ""]
    body = "".join(line(row, "td", styles) for row in rows)
    return f'<div class="mlops-table">{caption}<table style="{_TABLE}">{head}{body}</table></div>'


def _inside(value: Any) -> str:
    if isinstance(value, Html):
        return value
    text = html.escape(cell(value))
    if isinstance(value, str) and re.fullmatch(r"https?://\S+", value):
        return f'<a href="{text}" target="_blank" rel="noopener noreferrer">{text}</a>'
    return text


def _wrapping(value: Any) -> str:
    return "" if isinstance(value, Html) or len(cell(value)) > _WORDS else "white-space:nowrap"


class Html(str):
    """A cell that is HTML already (escaped by its maker)."""

    __slots__ = ()
