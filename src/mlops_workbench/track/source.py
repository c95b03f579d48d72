"""Which code made a run: the git state and the models that a cell made or fitted."""

from __future__ import annotations

import ast
import contextlib
import inspect
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlops_workbench.track import served_estimator

MOST_PARAMS = 90
_STEP_RECORDS = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "oob_scores_")
LARGEST_DIFF = 5_000_000
LARGEST_UNTRACKED = 200_000
MOST_UNTRACKED = 100


def git_state(folder: Path) -> dict[str, str]:
    """Commit, branch and whether files differ from it; empty outside a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD").strip()
    if not commit:
        return {}
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip()
    dirty = "yes" if _git(folder, "status", "--porcelain").strip() else "no"
    return {"git.commit": commit, "git.branch": branch, "git.dirty": dirty}


_AS_APPLY_TAKES_IT = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
"""whatever the user's configuration says, such as diff.noprefix"""
_BYTES = "surrogateescape"
"""a patch keeps the bytes of files in other encodings"""


def changes(folder: Path) -> tuple[str, list[str]]:
    """What differs from the commit in this folder, as a patch that `git apply` takes there; empty when nothing does.

    Bytes that are no UTF-8 are in it as Python's surrogates.

    New text files are in it. Second: what it leaves out, in words: large and binary new files, changes of the
    same repository outside of the folder. A patch above 5 MB is cut, and says so at its head.
    """
    if not _git(folder, "rev-parse", "HEAD").strip():
        return "", []
    tracked = _git(folder, "diff", "HEAD", "--relative", "--binary", *_AS_APPLY_TAKES_IT, errors=_BYTES)
    patches, left_out, size = [tracked], _outside(folder), len(tracked)
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    for place, name in enumerate(filter(None, new)):
        patch = _patch_of_new(folder, name) if place < MOST_UNTRACKED and size < LARGEST_DIFF else ""
        if patch:
            patches.append(patch)
            size += len(patch)
        else:
            left_out.append(f"new: {name}")
    patch = "".join(patches)
    if len(patch) > LARGEST_DIFF:
        head = f"# cut at {LARGEST_DIFF:,} of {size:,} characters: this patch is not complete\n"
        patch = head + patch[:LARGEST_DIFF].rpartition("\n")[0] + "\n"
    return patch, left_out


def _outside(folder: Path) -> list[str]:
    prefix = _git(folder, "rev-parse", "--show-prefix").strip()
    changed = _git(folder, "diff", "HEAD", "--name-only", "-z").split("\0") if prefix else []
    return [f"outside: {name}" for name in changed if name and not name.startswith(prefix)]


def _patch_of_new(root: Path, name: str) -> str:
    try:
        if (root / name).stat().st_size > LARGEST_UNTRACKED or b"\0" in (root / name).read_bytes():
            return ""
    except OSError:
        return ""
    words = ("diff", "--no-index", *_AS_APPLY_TAKES_IT, "--", "/dev/null", name)
    return _git(root, *words, good=(0, 1), errors=_BYTES)  # 1: they differ


def _git(folder: Path, *words: str, good: tuple[int, ...] = (0,), errors: str = "replace") -> str:
    """What git says; empty when it is not there or refuses. `errors`: of what is no UTF-8."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors) if done.returncode in good else ""


def names_in(source: str) -> set[str]:
    """Names that occur in a piece of Python, and in the code that it hands to magics (`%time model = …`).

    Empty if it does not parse.
    """
    return {node.id for tree in _trees(source) for node in ast.walk(tree) if isinstance(node, ast.Name)}


def assigned_in(source: str) -> set[str]:
    """Those of them that are rebound."""
    return {
        node.id
        for tree in _trees(source)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _trees(source: str) -> Iterator[ast.AST]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    yield tree
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("run_line_magic", "run_cell_magic")
            and isinstance(node.args[-1], ast.Constant)
        ):
            yield from _trees(str(node.args[-1].value))


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


def models_in(names: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Fitted models among these names, by variable, each once; parts of a pipeline that is named itself are not."""
    found = {n: namespace[n] for n in sorted(names) if n in namespace and is_fitted_model(namespace[n])}
    inner = {id(part) for model in found.values() for part in _parts(model)}
    once = {id(model): name for name, model in reversed(found.items()) if id(model) not in inner}
    return {name: model for name, model in found.items() if once.get(id(model)) == name}


class FittedBefore:
    """Models as they were before a cell ran: one that the cell only mentions is not made by it."""

    def __init__(self, models: Iterable[Any]) -> None:
        # the models and what they hold are kept, so that no other object gets their identity meanwhile
        self._states = {id(model): (model, _attributes(model), _content(model)) for model in models}

    def same(self, model: Any) -> bool:
        """Whether it was there, and neither fitted again nor changed in place (`partial_fit`, a network's training)."""
        if id(model) not in self._states:
            return False
        _, attributes, content = self._states[id(model)]
        now = _attributes(model)
        if now.keys() != attributes.keys() or any(now[key] is not attributes[key] for key in now):
            return False
        return content == _content(model)


def _attributes(model: Any) -> dict[tuple[int, str], Any]:
    """Every attribute of the model and its parts."""
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    parts = [model, *(value for value in params.values() if hasattr(value, "get_params"))]
    return {(id(p), name): value for p in parts for name, value in getattr(p, "__dict__", {}).items()}


def content_of(model: Any) -> str:
    """A hash of what answers: two fits that came to the same have one. Of a search the estimator that it chose; empty
    for what cannot be hashed."""
    return _content(getattr(model, "best_estimator_", model))


def _content(model: Any) -> str:
    """A hash of all that it holds; empty for what cannot be pickled."""
    import joblib

    try:
        return str(joblib.hash(model))
    except Exception:  # each kind of model has its own way to refuse
        return ""


def _parts(model: Any) -> list[Any]:
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    return [value for value in params.values() if hasattr(value, "predict")]


def scalar_params(model: Any) -> dict[str, Any]:
    """The estimator's class and each plain parameter, its parts' too: what autologging would record.

    Of a model with more than `MOST_PARAMS`, those that are not the default of their class.
    """
    every, chosen = _params(model)
    return every if len(every) <= MOST_PARAMS else dict(list(chosen.items())[:MOST_PARAMS])


def chosen_params(model: Any) -> list[str]:
    """Which of `scalar_params` are not the default of their class."""
    return list(_params(model)[1])[:MOST_PARAMS]


def _params(model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All, and those that are not the default of their class."""
    if not hasattr(model, "get_params"):
        return {}, {}
    every: dict[str, Any] = {"estimator": type(served_estimator.served(model)).__name__}
    if searched := served_estimator.search_of(model):
        every |= searched.params
    chosen = dict(every)
    for owner, part in served_estimator.parts(model).items():
        defaults = inspect.signature(type(part)).parameters
        for name, value in part.get_params(deep=False).items():
            if not _plain(value):
                continue
            full = f"{owner}__{name}" if owner else name
            every[full] = value
            default = defaults[name].default if name in defaults else inspect.Parameter.empty
            equal = value == default or (value != value and default != default)  # missing values are NaN
            if not (type(value) is type(default) and equal):
                chosen[full] = value
    return every, chosen


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) <= 10 and all(v is None or isinstance(v, str | int | float | bool) for v in value)
    return value is None or isinstance(value, str | int | float | bool)


def step_records(model: Any) -> dict[str, list[float]]:
    """What an estimator kept of its own training, step by step: `loss_curve_`, `train_score_`, `evals_result_`."""
    while hasattr(model, "steps") and model.steps:  # a pipeline's last step is what is fitted
        model = model.steps[-1][1]
    found = {name.rstrip("_"): getattr(model, name, None) for name in _STEP_RECORDS}
    evals = getattr(model, "evals_result_", None)  # LightGBM's; XGBoost has a function
    if evals is None and callable(getattr(model, "evals_result", None)):
        with contextlib.suppress(
            Exception
        ):  # each library has its own error for "there was no evaluation set"
            evals = model.evals_result()
    for of, curves in evals.items() if isinstance(evals, dict) else ():
        found |= {f"{of}.{name}": curve for name, curve in curves.items()} if isinstance(curves, dict) else {}
    curves_found = {name: _curve(values) for name, values in found.items()}
    return {name: curve for name, curve in curves_found.items() if curve}


def _curve(values: Any) -> list[float]:
    import numpy as np

    try:
        curve = np.asarray([] if values is None else values, dtype=float)
    except (TypeError, ValueError):
        return []
    return [float(v) for v in curve] if curve.ndim == 1 and np.isfinite(curve).all() else []
