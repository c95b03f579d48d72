"""What the fork server of `forks.py` imports before it forks; imported nowhere else."""

from __future__ import annotations

import os
import pkgutil
import warnings
from importlib import import_module

os.environ.pop("PYTHONPATH", None)  # it was for this import; the processes' own children are as any other

import mlops_workbench

# what MLflow imports when it is first asked
LAZY = (
    "mlflow.sklearn",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.tracking",
    "psycopg",
    "papermill",
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

    from mlflow.utils import requirements_utils

    requirements_utils._init_packages_to_modules_map()  # reads every installed distribution: a second
