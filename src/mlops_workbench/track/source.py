"""Which code made a run: the git state and the models that a cell made or fitted."""

from __future__ import annotations

import ast
import inspect
import subprocess
from collections.abc import Iterable, Mapping
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
    """Names that occur in a piece of Python, and in the code that it hands to magics (`%time model = …`).

    Empty if it does not parse.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("run_line_magic", "run_cell_magic")
            and isinstance(node.args[-1], ast.Constant)
        ):
            names |= names_in(str(node.args[-1].value))
    return names


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
    except AttributeError:  # no scikit-learn estimator: the convention is all there is to go by
        return any(name.endswith("_") and not name.startswith("_") for name in getattr(value, "__dict__", {}))
    return True


def models_made(names: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Fitted models among these names, by variable; parts of a pipeline that is itself named are left out."""
    found = {n: namespace[n] for n in sorted(names) if n in namespace and is_fitted_model(namespace[n])}
    inner = {id(part) for model in found.values() for part in _parts(model)}
    return {n: m for n, m in found.items() if id(m) not in inner}


def _parts(model: Any) -> list[Any]:
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    return [value for value in params.values() if hasattr(value, "predict")]


def scalar_params(model: Any) -> dict[str, Any]:
    """The estimator's class, and each plain parameter, its parts' too, that is not the default of its class."""
    if not hasattr(model, "get_params"):
        return {}
    params: dict[str, Any] = {"estimator": type(model).__name__}
    owners = {"": model} | {k: v for k, v in model.get_params(deep=True).items() if hasattr(v, "get_params")}
    for owner, part in owners.items():
        defaults = inspect.signature(type(part)).parameters
        for name, value in part.get_params(deep=False).items():
            known = name in defaults and defaults[name].default is not inspect.Parameter.empty
            if isinstance(value, str | int | float | bool) and not (
                known and value == defaults[name].default
            ):
                params[f"{owner}__{name}" if owner else name] = value
    return dict(list(params.items())[:90])
