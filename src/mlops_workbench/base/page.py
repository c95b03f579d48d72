"""An HTML page of its own, as a file: no script runs in it and nothing is fetched, whatever its content says."""

from __future__ import annotations

import html

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em}"
)


def page(title: str, body: str, style: str = "") -> str:
    """`title` is text, `body` is HTML whose values are escaped already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}{style}</style></head><body>\n{body}\n</body></html>\n"
    )
