"""The last estimator as plain arrays: a header and the numbers of `serving.fast.estimators`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlops_workbench.registry.fastpath import NotCovered

Made = tuple[dict[str, Any], dict[str, Any]]
"""header, arrays"""


def estimator(model: Any, *, sparse: bool) -> Made:
    """Raises NotCovered. `sparse`: whether it is given sparse features, which changes what may be missing."""
    header, arrays = require_known(model)(model)
    if header["kind"] == "trees":
        from sklearn.utils import get_tags

        header["missing"] = bool(get_tags(model).input_tags.allow_nan) and not sparse
    classes = getattr(model, "classes_", None)
    header["classes"] = None if classes is None else classes.tolist()
    if classes is not None and not all(isinstance(c, str | int | float | bool) for c in header["classes"]):
        raise NotCovered("the labels are neither texts nor numbers")
    return header, arrays


def require_known(model: Any) -> Callable[[Any], Made]:
    """What makes arrays of such a model. Raises NotCovered."""
    name = type(model).__name__
    known = _KINDS.get(name)
    if known is None or type(model).__module__.partition(".")[0] != "sklearn":
        raise NotCovered(f"{name} is not covered")
    return known


def _regression(model: Any, link: str = "identity") -> Made:
    coefficients = np.asarray(model.coef_, dtype=np.float64)
    if coefficients.ndim > 1 and coefficients.shape[0] > 1:
        raise NotCovered("it answers several numbers a row")
    coefficients = coefficients.reshape(1, -1)
    return {"kind": "numbers", "link": link, "label": None}, {
        "coef": coefficients,
        "intercept": np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64).ravel(), (1,)).copy(),
    }


def _tweedie(model: Any) -> Made:
    logarithm = model.link == "log" or (model.link == "auto" and model.power > 0)
    return _regression(model, "exp" if logarithm else "identity")


def _classifier(model: Any) -> Made:
    coefficients = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    outputs = len(coefficients)
    link = None
    if hasattr(model, "predict_proba"):
        if type(model).__name__ == "LogisticRegression" or type(model).__name__ == "LogisticRegressionCV":
            link = "two" if outputs == 1 else "softmax"
        elif getattr(model, "loss", "") == "log_loss":
            link = "two" if outputs == 1 else "one_against_rest"
        else:
            raise NotCovered(
                f"{type(model).__name__} with the loss {getattr(model, 'loss', None)!r} is not covered"
            )
    intercept = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64).ravel(), (outputs,)).copy()
    label = "above" if outputs == 1 else "best"
    return {"kind": "linear", "link": link, "label": label}, {"coef": coefficients, "intercept": intercept}


def _one_tree(model: Any) -> Made:
    return _averaged(model, [model])


def _forest(model: Any) -> Made:
    return _averaged(model, model.estimators_)


def _averaged(model: Any, trees: Sequence[Any]) -> Made:
    classes = getattr(model, "classes_", None)
    if model.n_outputs_ != 1:
        raise NotCovered("it answers several values a row")
    header, arrays = _joined([_nodes(t.tree_) for t in trees])
    values = np.concatenate([t.tree_.value[_order(t.tree_), 0, :] for t in trees])
    outputs = 1 if classes is None else len(classes)
    arrays["value"] = values[:, 0].copy() if classes is None or outputs == 1 else values
    arrays["init"] = np.zeros(outputs)
    threads = len(trees) > 1 and getattr(model, "n_jobs", None) not in (None, 1)
    header |= {"outputs": outputs, "mean": True, "scale": 1.0, "float32": True}
    header |= {"margin": 1e-12 if threads and outputs > 1 else 0.0}
    if classes is not None:
        return header | {"link": "identity", "label": "best"}, arrays
    return header | {"link": "identity", "label": None}, arrays


def _boosted(model: Any) -> Made:
    classes = getattr(model, "classes_", None)
    if model.init_ != "zero" and type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotCovered(f"{type(model).__name__} begins with another model")
    trees = [tree.tree_ for stage in model.estimators_ for tree in stage]
    header, arrays = _joined([_nodes(tree) for tree in trees])
    arrays["value"] = np.concatenate([tree.value[_order(tree), 0, 0] for tree in trees])
    outputs = model.estimators_.shape[1]
    arrays["init"] = np.asarray(
        model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))[0], dtype=np.float64
    )
    header |= {
        "outputs": outputs,
        "mean": False,
        "scale": float(model.learning_rate),
        "float32": True,
        "margin": 0.0,
    }
    if outputs > 1:
        arrays["output"] = np.arange(len(trees)) % outputs
    if classes is None:
        return header | {"link": "identity", "label": None}, arrays
    if outputs > 1:
        return header | {"link": "softmax", "label": "best"}, arrays
    return header | {"link": "two_doubled" if model.loss == "exponential" else "two", "label": "from"}, arrays


def _histogram(model: Any) -> Made:
    classes = getattr(model, "classes_", None)
    known, place = model._bin_mapper.make_known_categories_bitsets()
    predictors = [p for stage in model._predictors for p in stage]
    trees = [_histogram_nodes(p, known, place) for p in predictors]
    header, arrays = _joined(trees)
    arrays["value"] = np.concatenate([t["value"] for t in trees])
    outputs = model.n_trees_per_iteration_
    arrays["init"] = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
    if outputs > 1:
        arrays["output"] = np.arange(len(trees)) % outputs
    header |= {"outputs": outputs, "mean": False, "scale": 1.0, "float32": False, "margin": 0.0}
    if classes is None:
        link = {"IdentityLink": "identity", "LogLink": "exp"}.get(type(model._loss.link).__name__)
        if link is None:
            raise NotCovered(f"the loss {model.loss!r} is not covered")
        return header | {"link": link, "label": None}, arrays
    if outputs > 1:
        return header | {"link": "softmax", "label": "best"}, arrays
    return header | {"link": "two", "label": "above"}, arrays


def _order(tree: Any) -> Any:
    """Old positions of the nodes in their new order (see `_renumbered`)."""
    return np.argsort(_renumbered(tree.children_left, tree.children_right))


def _renumbered(left: Any, right: Any) -> Any:
    """New positions in which a right child follows its left one: the k-th inner node's children are 2k+1, 2k+2."""
    inner = np.flatnonzero(left >= 0)
    new = np.zeros(len(left), dtype=np.int64)
    new[left[inner]] = 2 * np.arange(len(inner)) + 1
    new[right[inner]] = 2 * np.arange(len(inner)) + 2
    return new


def _nodes(tree: Any) -> dict[str, Any]:
    missing = getattr(tree, "missing_go_to_left", None)
    return _tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        np.zeros(tree.node_count, dtype=bool) if missing is None else np.asarray(missing, dtype=bool),
        int(tree.max_depth),
    )


def _tree(
    left: Any, right: Any, feature: Any, threshold: Any, missing_left: Any, depth: int
) -> dict[str, Any]:
    new = _renumbered(left, right)
    order = np.argsort(new)
    leaf = (left < 0)[order]
    return {
        # a leaf is its own left child, and everything goes left there
        "left": np.where(leaf, np.arange(len(left)), new[np.maximum(left, 0)][order]),
        "feature": np.where(leaf, 0, np.asarray(feature)[order]),
        "threshold": np.where(leaf, np.inf, np.asarray(threshold, dtype=np.float64)[order]),
        "missing_left": leaf | missing_left[order],
        "depth": depth,
    }


def _histogram_nodes(predictor: Any, known: Any, place: Any) -> dict[str, Any]:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, -1, nodes["left"].astype(np.int64))
    right = np.where(leaf, -1, nodes["right"].astype(np.int64))
    made = _tree(
        left,
        right,
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"],
        nodes["missing_go_to_left"].astype(bool),
        int(nodes["depth"].max()),
    )
    order = np.argsort(_renumbered(left, right))
    made["value"] = nodes["value"][order]
    categorical = nodes["is_categorical"].astype(bool) & ~leaf
    which = np.full(len(nodes), -1)
    sets: list[Any] = []
    for at in np.flatnonzero(categorical):
        node = nodes[at]
        to_left = _bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
        seen = _bits(known[place[node["feature_idx"]]])
        which[at] = len(sets)
        # a category that was never seen goes where missing values go
        sets.append(to_left | (~seen & bool(node["missing_go_to_left"])))
    made["set_of"] = which[order]
    made["sets"] = np.array(sets, dtype=bool).reshape(-1, 256)
    return made


def _bits(words: Any) -> Any:
    """256 booleans of eight 32-bit words."""
    return np.unpackbits(np.asarray(words, dtype="<u4").view(np.uint8), bitorder="little").astype(bool)


def _joined(trees: Sequence[dict[str, Any]]) -> Made:
    """All trees in one table, and where each begins."""
    sizes = np.array([len(t["left"]) for t in trees])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    arrays = {
        "left": np.concatenate([t["left"] + s for t, s in zip(trees, starts, strict=True)]).astype(np.int32),
        "feature": np.concatenate([t["feature"] for t in trees]).astype(np.int32),
        "threshold": np.concatenate([t["threshold"] for t in trees]),
        "missing_left": np.concatenate([t["missing_left"] for t in trees]),
        "roots": starts.astype(np.int32),
    }
    if any(len(t.get("sets", ())) for t in trees):
        before = np.concatenate([[0], np.cumsum([len(t["sets"]) for t in trees])[:-1]])
        arrays["sets"] = np.concatenate([t["sets"] for t in trees])
        arrays["set_of"] = np.concatenate(
            [np.where(t["set_of"] < 0, -1, t["set_of"] + b) for t, b in zip(trees, before, strict=True)]
        ).astype(np.int32)
    return {"kind": "trees", "depth": max(t["depth"] for t in trees)}, arrays


def _dummy_classifier(model: Any) -> Made:
    if model.strategy not in ("prior", "most_frequent", "constant") or model.n_outputs_ != 1:
        raise NotCovered(f"DummyClassifier with the strategy {model.strategy!r} is not covered")
    row = np.zeros((1, getattr(model, "n_features_in_", 1)))
    scores = np.asarray(model.predict_proba(row)[0], dtype=np.float64)
    if model.classes_[scores.argmax()] != model.predict(row)[0]:
        raise NotCovered("DummyClassifier answers another label than its likeliest")
    return {"kind": "constant", "link": "identity", "label": "best"}, {"scores": scores}


def _dummy_regressor(model: Any) -> Made:
    if model.n_outputs_ != 1:
        raise NotCovered("it answers several numbers a row")
    return {"kind": "constant", "link": "identity", "label": None}, {
        "scores": np.asarray(model.constant_, dtype=np.float64).ravel()
    }


_PLAIN = (
    *(
        "LinearRegression",
        "Ridge",
        "RidgeCV",
        "Lasso",
        "LassoCV",
        "ElasticNet",
        "ElasticNetCV",
        "Lars",
        "LassoLars",
    ),
    *("LarsCV", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit", "BayesianRidge", "ARDRegression"),
    *("HuberRegressor", "TheilSenRegressor", "QuantileRegressor", "SGDRegressor", "LinearSVR"),
    *("PassiveAggressiveRegressor",),
)
_SORTED = (
    *("LogisticRegression", "LogisticRegressionCV", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier"),
    *("LinearSVC", "Perceptron", "PassiveAggressiveClassifier"),
)
_AVERAGED = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
_KINDS: dict[str, Callable[[Any], Made]] = {
    **dict.fromkeys(_PLAIN, _regression),
    **{name: lambda model: _regression(model, "exp") for name in ("PoissonRegressor", "GammaRegressor")},
    "TweedieRegressor": _tweedie,
    **dict.fromkeys(_SORTED, _classifier),
    **dict.fromkeys(_SINGLE, _one_tree),
    **dict.fromkeys(_AVERAGED, _forest),
    **dict.fromkeys(("GradientBoostingClassifier", "GradientBoostingRegressor"), _boosted),
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), _histogram),
    "DummyClassifier": _dummy_classifier,
    "DummyRegressor": _dummy_regressor,
}
