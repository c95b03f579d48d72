"""`python -m mlops_workbench.jobrunner PROJECT JOB`: the process that a job runs in."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    from mlops_workbench.base.imports import skip_iri_grammar

    skip_iri_grammar()
    from mlops_workbench.workbench import Workbench

    root, number = sys.argv[1:]
    sys.exit(0 if Workbench.open(Path(root)).run_job(int(number)) else 1)


if __name__ == "__main__":
    main()
