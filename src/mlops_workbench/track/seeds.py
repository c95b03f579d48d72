"""Random seeds that code sets, read from the code: which call, and what value it was given."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

SETTERS = frozenset(
    {
        *("seed", "default_rng", "RandomState", "SeedSequence", "manual_seed", "manual_seed_all", "set_seed"),
        *("seed_everything", "set_random_seed", "PRNGKey"),
    }
)
"""functions whose first argument is a seed: of random, NumPy, PyTorch, TensorFlow, Keras, JAX and Lightning"""
KEYWORDS = frozenset({"random_state", "seed", "random_seed"})


def seeds_in(source: str, earlier: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, str]:
    """Seeds by the call that sets them (`np.random.seed`, `train_test_split.random_state`).

    Of `earlier` code, only what seeds a generator for all that follows. A seed given by a variable's name counts
    with the value it has now; one that is computed in place is not known and is left out.
    """
    found: dict[str, list[str]] = {}
    for code in earlier:
        _collect(code, namespace, found, keywords=False)
    _collect(source, namespace, found, keywords=True)
    return {name: ", ".join(dict.fromkeys(values)) for name, values in found.items()}


def _collect(
    source: str, namespace: Mapping[str, Any], found: dict[str, list[str]], *, keywords: bool
) -> None:
    for node in _calls(source):
        name = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
        tail = name.rpartition(".")[2]
        if tail in SETTERS:
            given = node.args[:1] or [k.value for k in node.keywords if k.arg in {"seed", "a"}]
            _note(found, name, given, namespace)
        elif keywords and name:
            for keyword in node.keywords:
                if keyword.arg in KEYWORDS:
                    _note(found, f"{tail}.{keyword.arg}", [keyword.value], namespace)


def _calls(source: str) -> list[ast.Call]:
    try:
        tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.M))  # lines of magics are no Python
    except (SyntaxError, ValueError):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _note(
    found: dict[str, list[str]], name: str, given: Sequence[ast.expr], namespace: Mapping[str, Any]
) -> None:
    if not given:
        return
    value: Any = None
    if isinstance(given[0], ast.Name):
        value = namespace.get(given[0].id)
    else:
        try:
            value = ast.literal_eval(given[0])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if whole or isinstance(value, str):
        found.setdefault(name[:200], []).append(str(value)[:100])
