"""The workbench in JupyterLab: a Jupyter Server extension, and the built sidebar beside it."""

from __future__ import annotations

from typing import Any


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "mlops-workbench"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from mlops_jupyter.extension import MlopsExtension

    return [{"module": "mlops_jupyter", "app": MlopsExtension}]
