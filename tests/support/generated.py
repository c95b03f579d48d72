"""Every file that is made from the code: `make generated` writes them, tests compare them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_workbench.alerts.records import Alert
from mlops_workbench.config import describing
from mlops_workbench.interface import payloads, reference, typescript
from mlops_workbench.jobs.queue import Job
from mlops_workbench.registry.model_list import Version
from mlops_workbench.rollout.records import Live
from mlops_workbench.serving import skops_file
from mlops_workbench.track.records import Run
from mlops_workbench.verbs.status import ProjectStatus
from mlops_workbench.workbench import verbs

ROOT = Path(__file__).parents[2]
FRONT = ROOT / "jupyter_ext" / "src" / "generated"
FIXTURES = FRONT / "fixtures.json"
"""made from a project that is made for it, so it takes seconds, and only its shape can be compared"""


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


EXACT: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "verbs.md": lambda: reference.reference(verbs()),
    ROOT / "docs" / "settings.md": describing.reference,
    FRONT / "verbs.ts": lambda: typescript.module(verbs()),
    FRONT / "verbs.json": lambda: as_json([payloads.describe(verb) for verb in verbs().values()]),
    FRONT / "records.ts": lambda: typescript.records(
        (ProjectStatus, Version, Run, Live, Job, Alert), merged={Live: "deployment"}
    ),
}


def write() -> None:
    import tempfile

    import front_records
    import trusted_types

    FRONT.mkdir(exist_ok=True)
    for path, made in EXACT.items():
        path.write_text(made())
    with tempfile.TemporaryDirectory() as folder:
        FIXTURES.write_text(as_json(front_records.fixed(front_records.made(Path(folder)))))
    skops_file.FILE.write_text(trusted_types.made(), "utf-8")


if __name__ == "__main__":
    write()
