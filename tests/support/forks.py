"""Processes of their own that begin where a project's imports are done: a server does them once and forks.

Importing MLflow, scikit-learn and the stores takes 8 CPU seconds a process; here it is paid once a test worker.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_environment: dict[str, str] = {}


def use(environment: Mapping[str, str]) -> None:
    """What the server begins with: the environment before any test changed it."""
    _environment.update(environment)


@cache
def context() -> ForkServerContext:
    """`multiprocessing` with a fork server that has imported what `preloaded.py` imports."""
    multiprocessing.set_forkserver_preload(["preloaded"])
    now = dict(os.environ)
    # Python 3.11's server imports with a path of its own, and passes over what it does not find there:
    # https://github.com/python/cpython/issues/117378
    search = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        os.environ.clear()
        os.environ.update(_environment | search)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(now)
    return multiprocessing.get_context("forkserver")
