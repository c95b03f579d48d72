"""Processes that tests fork: a server that imported nothing would only be slow, and nobody would notice."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

import forks
import pytest


def say(answers: Connection) -> None:
    answers.send(({*sys.modules}, os.environ.get("PYTHONPATH"), os.environ.get("MLOPS_SET_BY_A_TEST")))


def test_a_forked_process_has_its_imports_and_the_first_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SET_BY_A_TEST", "1")
    answers, theirs = forks.context().Pipe()
    process = forks.context().Process(target=say, args=(theirs,))
    process.start()
    imported, path, leaked = answers.recv()
    process.join(60)
    assert {"mlflow.sklearn", "projects", "mlops_workbench.verbs.promote"} <= imported
    assert (path, leaked) == (None, None)
