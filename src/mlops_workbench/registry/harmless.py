"""What skops does not keep although nothing is lost without it: Python's own types as dtypes, columns as an Index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.track import served_estimator

_DTYPES = ("dtype", "dtype_include", "dtype_exclude")
"""attributes of scikit-learn's estimators in which a type stands for a dtype"""


def plainly(model: Any) -> tuple[Any, str]:
    """The model with its harmless values in a form that skops keeps, and what was changed (empty: nothing).

    The model itself is left as it is; of scikit-learn's own estimators that hold such a value a copy is made.
    """
    changes: dict[str, None] = {}
    return _Plain(changes).of(model), ", ".join(changes)


class _Plain:
    def __init__(self, changes: dict[str, None]) -> None:
        self._changes = changes
        self._known: dict[int, tuple[Any, Any]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, str | bytes | int | float | None):
            return value
        if id(value) not in self._known:
            self._known[id(value)] = (value, value)  # something that holds itself ends here
            self._known[id(value)] = (value, self._made(value))
        return self._known[id(value)][1]

    def _made(self, value: Any) -> Any:
        import pandas as pd

        if isinstance(value, pd.Index | pd.Series):
            self._changes[f"columns given as a pandas {type(value).__name__} as a list"] = None
            return value.tolist()
        if type(value) in (list, tuple):
            made = [self.of(v) for v in value]
            return type(value)(made) if any(a is not b for a, b in zip(made, value, strict=True)) else value
        if type(value) is dict:
            held = {k: self.of(v) for k, v in value.items()}
            return held if any(held[k] is not v for k, v in value.items()) else value
        if type(value).__module__.startswith("sklearn.") and isinstance(
            own := getattr(value, "__dict__", None), dict
        ):
            held = {k: self._attribute(k, v) for k, v in own.items()}
            if any(held[k] is not v for k, v in own.items()):
                copy = object.__new__(type(value))
                copy.__dict__.update(held)
                return copy
        return value

    def _attribute(self, name: str, value: Any) -> Any:
        if name in _DTYPES:
            return self._dtype(value)
        return self._distributions(value) if name == "param_distributions" else self.of(value)

    def _distributions(self, value: Any) -> Any:
        """Of a search; those of SciPy are large, and hold themselves."""
        if isinstance(value, list):
            return [self._distributions(v) for v in value]
        if not isinstance(value, dict) or not any(hasattr(v, "rvs") for v in value.values()):
            return value
        self._changes["the distributions that a search draws from as texts"] = None
        return {k: served_estimator.short(v) if hasattr(v, "rvs") else v for k, v in value.items()}

    def _dtype(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            made = [self._dtype(v) for v in value]
            return type(value)(made) if any(a is not b for a, b in zip(made, value, strict=True)) else value
        known = _numpys()
        if isinstance(value, type) and value in known:
            self._changes[f"the dtype {value.__name__} as NumPy's {known[value].__name__}"] = None
            return known[value]
        return value


def _numpys() -> Mapping[type, type]:
    import numpy as np

    return {object: np.object_, float: np.float64, int: np.int_, bool: np.bool_, str: np.str_}
