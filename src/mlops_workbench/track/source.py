"""Which code made a run: the git state and the models that a cell made or fitted."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def git_state(folder: Path) -> dict[str, str]:
    """Commit, branch and whether files differ from it; empty outside a repository or without git."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return {}
    branch = git("rev-parse", "--abbrev-ref", "HEAD") or ""
    dirty = "yes" if git("status", "--porcelain", "--untracked-files=no") else "no"
    return {"git.commit": commit, "git.branch": branch, "git.dirty": dirty}


def names_in(source: str) -> set[str]:
    """Names that occur in a piece of Python; empty if it does not parse."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def is_fitted_model(value: Any) -> bool:
    """Whether it predicts, and has attributes that only fitting sets (scikit-learn's `x_` convention)."""
    if isinstance(value, type) or not callable(getattr(value, "predict", None)):
        return False
    if not callable(getattr(value, "fit", None)):
        return False
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(value)
    except (NotFittedError, TypeError):
        return False
    return True


def models_made(source: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Fitted models that the source names, by variable; parts of a pipeline that is itself named are left out."""
    found = {n: namespace[n] for n in sorted(names_in(source)) if n in namespace and is_fitted_model(namespace[n])}
    inner = {id(part) for model in found.values() for part in _parts(model)}
    return {n: m for n, m in found.items() if id(m) not in inner}


def _parts(model: Any) -> list[Any]:
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    return [value for value in params.values() if hasattr(value, "predict")]


def scalar_params(model: Any) -> dict[str, Any]:
    """The estimator's parameters that are plain values and differ from the defaults of its class, nested ones too."""
    if not hasattr(model, "get_params"):
        return {}
    plain = (str, int, float, bool, type(None))
    params = {k: v for k, v in model.get_params(deep=True).items() if isinstance(v, plain)}
    keep = {k: v for k, v in params.items() if v is not None}
    return {"estimator": type(model).__name__} | dict(list(keep.items())[:90])
