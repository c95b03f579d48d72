"""What `%load_ext mlops_workbench` adds to a kernel: seconds and modules, each in a fresh process, medians of runs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

RUNS = 7
CODE = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
import ipykernel.kernelapp  # what a kernel has loaded anyway
shell = InteractiveShell()
before = set(sys.modules)
start = time.perf_counter()
shell.run_line_magic("load_ext", "mlops_workbench")
print(json.dumps([time.perf_counter() - start, len(set(sys.modules) - before)]))
"""


def main() -> None:
    found = []
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    seconds, modules = statistics.median(f[0] for f in found), found[0][1]
    print(
        f"%load_ext mlops_workbench: {seconds * 1000:.0f} ms, {modules} modules (median of {RUNS} processes)"
    )


if __name__ == "__main__":
    main()
