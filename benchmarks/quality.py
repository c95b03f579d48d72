"""`quality` over a million labelled rows by day and ten segments, from SQLite to the report.

    python benchmarks/quality.py [rows] [days]

Rows have request ids of their own and the labels come in another order, as the runtime and `label` leave them. What is
timed is everything but the imports: reading, joining, metrics with intervals.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.monitor import judging_windows
from mlops_workbench.monitor.inference import labels_table
from mlops_workbench.serving.tables import predictions_table

START = 1_767_225_600.0


def main(rows: int = 1_000_000, days: int = 30) -> None:
    manifest = Manifest(
        name="m",
        task="classification",
        inputs=(Field("amount", "double"), Field("segment", "string")),
        model_file="",
        serialization="skops",
        trusted=(),
        sha256="",
        python="3.11",
        requirements=(),
        classes=(0, 1),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inference.db"
        fill(path, manifest, rows, days)
        now = datetime.fromtimestamp(START + days * 86_400, UTC)
        for by in ((), ("segment",)):
            request = judging_windows.QualityRequest(manifest, "1", now, by=by)
            took = []
            for _ in range(3):
                wall, cpu = time.perf_counter(), time.process_time()
                report = judging_windows.report(f"sqlite:///{path}", request)
                took.append((time.perf_counter() - wall, time.process_time() - cpu))
            wall, cpu = min(took)
            cells = len(report.windows) + len(report.segments)
            print(f"{rows:,} rows, {cells} cells, by {', '.join(by) or 'day'}: {wall:.1f} s, {cpu:.1f} CPU s")


def fill(path: Path, manifest: Manifest, rows: int, days: int) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    predictions_table(sa.MetaData(), manifest, "m").create(engine)
    labels_table("m", sa.Double()).create(engine)
    engine.dispose()
    rng = np.random.default_rng(0)
    score = rng.random(rows)
    label = (rng.random(rows) < score).astype(float)
    at = START + np.arange(rows) * days * 86_400 / rows
    segment = rng.integers(0, 10, rows)
    ids = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(rows)]
    columns = (
        "request_id, row_index, at, model_version, role, latency_ms, prediction, score, x_amount, x_segment"
    )
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executemany(
            f"INSERT INTO predictions_m ({columns}) VALUES (?, 0, ?, '1', 'champion', 1.0, ?, ?, 1.0, ?)",
            ((ids[i], at[i], float(score[i] > 0.5), float(score[i]), f"s{segment[i]}") for i in range(rows)),
        )
        connection.executemany(
            "INSERT INTO labels_m (request_id, row_index, label, at) VALUES (?, 0, ?, ?)",
            ((ids[i], float(label[i]), at[i] + 86_400) for i in rng.permutation(rows).tolist()),
        )
    connection.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
