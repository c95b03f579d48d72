"""What a process of ours imports, and what not."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "start",
    [
        "from mlops_workbench import cli; cli.main(['--version'])",
        "from mlops_workbench import jobrunner; sys.argv[1:] = ['/none', '1']; jobrunner.main()",
    ],
    ids=["cli", "jobrunner"],
)
def test_papermill_comes_without_the_parsers_of_a_format_that_no_notebook_has(start: str) -> None:
    code = f"""
import contextlib, sys
with contextlib.suppress(Exception):
    {start}
import papermill, jsonschema
assert sys.modules["rfc3987_syntax"] is None
assert "iri" not in jsonschema.FormatChecker.checkers
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
