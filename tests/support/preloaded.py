"""What the fork server of `forks.py` imports before it forks; imported nowhere else.

The libraries start threads of their own as they are imported (jemalloc's, one of polars), which wait for work and
need none of their locks at a fork; OpenBLAS ends its threads at a fork and starts others. Ours must not have begun any.
"""

from __future__ import annotations

import os
import pkgutil
import threading
import warnings
from importlib import import_module

os.environ.pop("PYTHONPATH", None)  # it was for this import; the processes' own children are as any other

import mlops_workbench

# what MLflow and the runtime import when they are first asked
LAZY = (
    "mlflow.sklearn",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "psycopg",
    "projects",
    "serving_kit",
    "skops.io",
    "uvicorn.protocols.http.httptools_impl",
)

RUN_BY_IMPORT = ("__main__", ".asgi")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name in LAZY:
        import_module(name)
    for found in pkgutil.walk_packages(mlops_workbench.__path__, "mlops_workbench."):
        if not found.name.endswith(RUN_BY_IMPORT) and ".migrations." not in found.name:
            import_module(found.name)

assert threading.active_count() == 1, threading.enumerate()
