"""The last step of a plan: features → raw scores → labels or numbers, and probabilities.

Sums run in scikit-learn's order where an order exists (trees). Where it does not (a dot product), the rows whose
label or digits could depend on it are named, and the original answers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

TOLERANCE = 1e-12
_EPSILON = float(np.finfo(np.float64).eps)
_CELLS = 1 << 18
"""rows × trees that are walked at once"""


class Linear:
    """scores = features · coefficients + intercept"""

    allows_missing = False

    def __init__(self, arrays: dict[str, Any], _said: dict[str, Any]) -> None:
        self._coef = np.ascontiguousarray(arrays["coef"].T)
        self._intercept = arrays["intercept"]
        self._size = np.abs(self._coef)
        # how far two orders of summation can be apart, per unit of the summed sizes
        self._error = 2 * _EPSILON * (len(self._coef) + 2)

    def scores(self, features: Floats) -> tuple[Floats, Mask]:
        """Raw scores (rows × outputs), and the rows whose digits the order of summation may decide."""
        scores = features @ self._coef + self._intercept
        bound = self._error * (np.abs(features) @ self._size + np.abs(self._intercept))
        doubtful = bound > TOLERANCE * np.maximum(1.0, np.abs(scores))
        if scores.shape[1] == 1:
            doubtful |= np.abs(scores) <= bound
        else:
            best = np.partition(scores, -2, axis=1)
            doubtful |= (best[:, -1:] - best[:, -2:-1]) <= 2 * bound.max(axis=1, keepdims=True)
        return scores, doubtful.any(axis=1)


class Numbers(Linear):
    """A linear regression: only the digits matter, not the sign."""

    def scores(self, features: Floats) -> tuple[Floats, Mask]:
        scores = features @ self._coef + self._intercept
        bound = self._error * (np.abs(features) @ self._size + np.abs(self._intercept))
        return scores, (bound > TOLERANCE * np.maximum(1.0, np.abs(scores))).any(axis=1)


class Trees:
    """All trees of an ensemble in one table of nodes; a node's right child follows its left one, and a leaf is its
    own left child with an infinite threshold. So a step down is `left[node] + (x > threshold[node])`."""

    def __init__(self, arrays: dict[str, Any], spec: dict[str, Any]) -> None:
        self.allows_missing = bool(spec["missing"])
        self._left = arrays["left"].astype(np.intp)
        self._feature = arrays["feature"].astype(np.intp)
        self._threshold = arrays["threshold"]
        self._missing_left = arrays["missing_left"]
        self._value = arrays["value"]
        self._roots = arrays["roots"].astype(np.intp)
        self._output = arrays.get("output")
        self._outputs = int(spec["outputs"])
        self._init = arrays["init"]
        self._scale = float(spec["scale"])
        self._depth = int(spec["depth"])
        self._mean = bool(spec["mean"])
        self._float32 = bool(spec["float32"])
        self._margin = float(spec["margin"])
        self._sets = arrays.get("sets")
        self._set_of = arrays["set_of"].astype(np.intp) if "set_of" in arrays else None

    def scores(self, features: Floats) -> tuple[Floats, Mask]:
        rows = len(features)
        doubtful = np.zeros(rows, dtype=bool)
        if self._float32:
            with np.errstate(over="ignore"):
                features = features.astype(np.float32).astype(np.float64)
            doubtful |= np.isinf(features).any(axis=1)
        chunk = max(1, _CELLS // len(self._roots))
        if rows <= chunk:
            scores = self._some(features)
        else:
            scores = np.concatenate([self._some(features[at : at + chunk]) for at in range(0, rows, chunk)])
        if self._margin:
            # Fitted to sum in threads, in any order: a tie is the original's to break.
            best = np.partition(scores, -2, axis=1)
            doubtful |= best[:, -1] - best[:, -2] <= self._margin
        return scores, doubtful

    def _some(self, features: Floats) -> Floats:
        values = self._value[self._leaves(features)]  # rows × trees, or rows × trees × outputs
        if self._output is None and self._outputs == 1:
            total = self._summed(values * self._scale if self._scale != 1.0 else values, self._init[0])
            return total[:, None] / len(self._roots) if self._mean else total[:, None]
        if self._output is None:
            total = np.cumsum(values, axis=1)[:, -1]  # one after the other, as scikit-learn does
            return total / len(self._roots) if self._mean else total
        scores = np.empty((len(features), self._outputs))
        for output in range(self._outputs):
            own = values[:, output :: self._outputs]
            scores[:, output] = self._summed(
                own * self._scale if self._scale != 1.0 else own, self._init[output]
            )
        return scores

    def _summed(self, values: Floats, start: float) -> Floats:
        """From the start, one tree after the other: the order that scikit-learn has."""
        terms = np.empty((len(values), values.shape[1] + 1))
        terms[:, 0] = start
        terms[:, 1:] = values
        total: Floats = np.cumsum(terms, axis=1)[:, -1]
        return total

    def _leaves(self, features: Floats) -> NDArray[np.intp]:
        rows, width = features.shape
        node = np.broadcast_to(self._roots, (rows, len(self._roots)))
        flat = np.ascontiguousarray(features).ravel()
        first = (np.arange(rows, dtype=np.intp) * width)[:, None]
        plain = self._sets is None and not np.isnan(flat).any()
        for _ in range(self._depth):
            x = flat.take(self._feature.take(node) + first)
            right = x > self._threshold.take(node) if plain else self._right(node, x)
            node = self._left.take(node) + right
        return node

    def _right(self, node: NDArray[np.intp], x: Floats) -> Mask:
        missing = np.isnan(x)
        right = x > self._threshold.take(node)
        if self._sets is not None and self._set_of is not None:
            which = self._set_of.take(node)
            chosen = which >= 0
            # a category below zero is missing to scikit-learn; above 255 there is none
            code = np.where(missing, -1.0, x)[chosen]
            missing[chosen] |= code < 0
            right[chosen] = ~self._sets[which[chosen], np.clip(code, 0, 255).astype(np.intp)]
        turned: Mask = np.where(missing, ~self._missing_left.take(node), right)
        return turned


class Constant:
    """A dummy: the same scores for every row."""

    allows_missing = True

    def __init__(self, arrays: dict[str, Any], _said: dict[str, Any]) -> None:
        self._scores = arrays["scores"]

    def scores(self, features: Floats) -> tuple[Floats, Mask]:
        rows = len(features)
        return np.repeat(self._scores[None, :], rows, axis=0), np.zeros(rows, dtype=bool)


KINDS: dict[str, Any] = {"linear": Linear, "numbers": Numbers, "trees": Trees, "constant": Constant}


def expit(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        probabilities: Floats = 1.0 / (1.0 + np.exp(-x))
    return probabilities


def softmax(x: Floats) -> Floats:
    x = np.exp(x - x.max(axis=1, keepdims=True))
    x /= x.sum(axis=1, keepdims=True)
    return x


def one_against_rest(x: Floats) -> Floats:
    probabilities = expit(x)
    total = probabilities.sum(axis=1, keepdims=True)
    nothing = total[:, 0] == 0
    probabilities[nothing] = 1.0
    total[nothing] = probabilities.shape[1]
    probabilities /= total
    return probabilities


def two(x: Floats) -> Floats:
    """Both probabilities of a binary classifier, from its single score."""
    probabilities = np.empty((len(x), 2))
    probabilities[:, 1] = expit(x[:, 0])
    probabilities[:, 0] = 1.0 - probabilities[:, 1]
    return probabilities


LINKS: dict[str, Any] = {
    "identity": lambda x: x,
    "exp": np.exp,
    "two": two,
    "two_doubled": lambda x: two(2.0 * x),
    "two_softmax": lambda x: softmax(np.concatenate([-x, x], axis=1)),
    "softmax": softmax,
    "one_against_rest": one_against_rest,
}


LABELS: dict[str, Any] = {
    "above": lambda x: (x[:, 0] > 0).astype(np.intp),
    "from": lambda x: (x[:, 0] >= 0).astype(np.intp),
    "best": lambda x: x.argmax(axis=1),
}
"""which class a row's scores mean: the two signs differ in what exactly zero is"""
