"""Evidently's full report as a file. The only module that imports evidently (7 s, so inside the function).

Its HTML is megabytes and is never shown inside a notebook; `drift.compare` is what is shown.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.monitor.columns import Categories, NumericValues, columns_of, read, series

MOST_ROWS = 50_000
"""rows of each side that are reported on; more are sampled (with a fixed seed)"""

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:"
)
CHUNK = 25
"""columns of one report: 50,000 × 100 at once take 25 s, without a word and without a way to stop"""


def evidently_report(
    reference: Any,
    current: Any,
    *,
    path: Path,
    columns: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Path:
    """Writes Evidently's data drift report of two frames as one HTML file that works offline.

    With more than 25 columns, further files lie beside it (`report-2.html` …), linked at the first one's end.
    Columns that Evidently refuses a whole report for (empty, dates, lists) are left out and named there.
    Raises InvalidData if no column is left or a frame has no rows.
    """
    progress("loading Evidently", 0.0)
    os.environ.setdefault("DO_NOT_TRACK", "1")
    wanted, left_out = _usable(reference, current, columns)
    frames = [_sampled(frame, wanted) for frame in (current, reference)]
    parts = [wanted[i : i + CHUNK] for i in range(0, len(wanted), CHUNK)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path, *(path.with_stem(f"{path.stem}-{i}") for i in range(2, len(parts) + 1))]
    for i, (part, target) in enumerate(zip(parts, paths, strict=True)):
        progress(f"columns {i * CHUNK + 1} to {i * CHUNK + len(part)} of {len(wanted)}", i / len(parts))
        _write(frames, part, target)
    _add_notes(path, paths[1:], left_out)
    progress("written", 1.0)
    return path


def _usable(reference: Any, current: Any, columns: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    known, given = columns_of(reference), columns_of(current)
    for frame, side in ((reference, "reference"), (current, "current")):
        if len(frame) == 0:
            raise InvalidData(f"The {side} data has no rows.", "Choose a longer period, or check the filter.")
    wanted, left_out = [], {}
    for name in dict.fromkeys(columns if columns is not None else known):
        if known.count(name) != 1 or given.count(name) != 1:
            left_out[name] = "not once in both frames"
            continue
        both = [
            read(series(frame, names.index(name))) for frame, names in ((reference, known), (current, given))
        ]
        kinds = {type(column) for column in both}
        if kinds not in ({NumericValues}, {Categories}):
            notes = [getattr(column, "note", "") for column in both]
            left_out[name] = next((n for n in notes if n), "numbers in one frame, text in the other")
            continue
        wanted.append(name)
    if not wanted:
        raise InvalidData(
            f"No column of {len(left_out)} can be reported on.",
            "; ".join(f"{k}: {v}" for k, v in left_out.items()),
        )
    return wanted, left_out


def _sampled(frame: Any, wanted: Sequence[str]) -> pd.DataFrame:
    names = columns_of(frame)
    found = pd.DataFrame({name: series(frame, names.index(name)) for name in wanted})
    if len(found) > MOST_ROWS:
        found = found.sample(MOST_ROWS, random_state=0)
    found.columns = pd.Index([_harmless(str(name)) for name in wanted])
    for name in found.columns:  # plain types: evidently does not know pandas' extension types
        column = found[name]
        if not isinstance(read(column), NumericValues):
            found[name] = column.astype(object).map(lambda v: _harmless(str(v)), na_action="ignore")
        elif not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "iuf":
            found[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return found.reset_index(drop=True)


def _harmless(text: str) -> str:
    """Evidently writes names and values into a script of its page: what could end it is written with look-alikes."""
    return text.translate({ord("<"): "‹", ord(">"): "›", ord("&"): "＆", 0x2028: " ", 0x2029: " "})


def _write(frames: Sequence[pd.DataFrame], columns: Sequence[str], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies and of divisions; none helps the user
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        names = [_harmless(name) for name in columns]
        # said, not guessed: of a few rows Evidently takes a column of categories for one of prose, and fails
        texts = [name for name in names if not pd.api.types.is_numeric_dtype(frames[0][name])]
        numbers = [name for name in names if name not in texts]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)
        current, reference = (
            Dataset.from_pandas(frame[names], data_definition=definition) for frame in frames
        )
        Report([DataDriftPreset(columns=names)]).run(current, reference).save_html(str(path))
    # what it needs is in it: scripts and styles of its own, and nothing is fetched or sent
    text = path.read_text(encoding="utf-8")
    if "<head>" not in text:
        raise RuntimeError("Evidently's page has another form than this release knows.")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    path.write_text(text.replace("<head>", f"<head>{meta}", 1), encoding="utf-8")


def _add_notes(path: Path, further: Sequence[Path], left_out: dict[str, str]) -> None:
    import html

    lines = [f'<a href="{html.escape(p.name)}">{html.escape(p.name)}</a>' for p in further]
    lines += [f"Left out: {html.escape(name)} ({html.escape(why)})" for name, why in left_out.items()]
    if lines:
        notes = "".join(f"<div>{line}</div>" for line in lines)
        with path.open("a", encoding="utf-8") as file:
            file.write(f'<div style="font-family:sans-serif;padding:16px">{notes}</div>')
