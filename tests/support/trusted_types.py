"""Writes the list of what skops files may hold: what scikit-learn's estimators are made of when they are fitted.

Every estimator is fitted on a few rows and walked through; what only some parameters bring (metrics, kernels,
splitters, losses) is added by name. A name that an older scikit-learn had stays: versions of then are still served.
"""

from __future__ import annotations

import io
import json
import warnings
from collections import defaultdict
from collections.abc import Iterator
from inspect import isclass, isfunction
from typing import Any
from zipfile import ZipFile

import numpy as np

from mlops_workbench.serving import skops_file

Names = dict[str, dict[str, list[str]]]

PLAIN = {
    "BytesNode": ["builtins.bytes"],
    "BytearrayNode": ["builtins.bytearray"],
    "DTypeNode": ["numpy.dtype"],
    "DefaultDictNode": ["collections.defaultdict"],
    "DictNode": [
        "builtins.dict",
        "collections.OrderedDict",
        "collections.Counter",
        "sklearn.utils._bunch.Bunch",
    ],
    "ListNode": ["builtins.list"],
    "MaskedArrayNode": ["numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"],
    "PartialNode": ["functools.partial"],
    "RandomGeneratorNode": ["numpy.random._generator.Generator"],
    "RandomStateNode": ["numpy.random.mtrand.RandomState"],
    "SetNode": ["builtins.set", "builtins.frozenset"],
    "SliceNode": ["builtins.slice"],
    "TupleNode": ["builtins.tuple"],
}
SPARSE = ("csr", "csc", "coo", "bsr", "dia")
SCALARS = (
    *("bool", "bytes_", "str_", "object_", "datetime64", "timedelta64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong", "ulonglong"),
    *("float16", "float32", "float64", "longdouble", "complex64", "complex128"),
)
ARRAY_FUNCTIONS = (
    *(
        "all",
        "amax",
        "amin",
        "angle",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "around",
        "atleast_1d",
        "atleast_2d",
    ),
    *(
        "average",
        "clip",
        "concatenate",
        "cumprod",
        "cumsum",
        "diff",
        "expand_dims",
        "fabs",
        "fix",
        "flip",
        "hstack",
    ),
    *("i0", "imag", "max", "mean", "median", "min", "nan_to_num", "nanmax", "nanmean", "nanmedian", "nanmin"),
    *(
        "nanstd",
        "nansum",
        "percentile",
        "prod",
        "ptp",
        "quantile",
        "ravel",
        "real",
        "repeat",
        "reshape",
        "roll",
    ),
    *(
        "round",
        "sinc",
        "sort",
        "squeeze",
        "std",
        "sum",
        "take",
        "tile",
        "transpose",
        "unique",
        "unwrap",
        "var",
    ),
    *("vstack", "where"),
)
"""of NumPy, that are no ufuncs, read no file and call nothing that they are given"""
MODULES = (
    "sklearn.metrics",
    "sklearn.metrics.pairwise",
    "sklearn.feature_selection",
    "sklearn.preprocessing",
)
"""their public functions are parameters: what a search maximizes, a filter scores by, a kernel is"""


def made() -> str:
    """The file's text."""
    np.random.seed(0)  # of estimators that have no seed
    found: dict[str, set[str]] = defaultdict(set)
    for kind, names in PLAIN.items():
        found[kind] |= {*names}
    found["NdArrayNode"] |= {"numpy.ndarray", *_scalars()}
    found["TypeNode"] |= {*_scalars(), *(f"builtins.{n}" for n in ("bool", "int", "float", "str", "object"))}
    found["TypeNode"] |= {f"builtins.{n}" for n in ("list", "dict", "set", "tuple")}
    kinds = [f"{name}_{kind}" for name in SPARSE for kind in ("matrix", "array")]
    found["SparseMatrixNode"] |= {f"scipy.sparse._{n[:3]}.{n}" for n in kinds}
    found["FunctionNode"] |= {f"numpy.{name}" for name in ARRAY_FUNCTIONS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _functions():
            found["FunctionNode"].add(name)
        found["ObjectNode"] |= {*_classes()}
        found["LossNode"] |= {*_losses()}
        for model in _fitted():
            for kind, name in _held(model):
                if kind not in ("CachedNode", "JsonNode", "TypeNode"):
                    found[kind].add(name)
    return _text(found)


def _text(found: dict[str, set[str]]) -> str:
    """One line for each module, with the names that are in the file already."""
    known = skops_file.trusted() if skops_file.FILE.exists() else {}
    lines = []
    for kind in sorted({*found, *known}):
        modules: dict[str, list[str]] = defaultdict(list)
        for name in sorted({*found[kind], *known.get(kind, ())}):
            modules[name.rpartition(".")[0]].append(name.rpartition(".")[2])
        rows = ",\n".join(f'  "{module}": {json.dumps(names)}' for module, names in sorted(modules.items()))
        lines.append(f' "{kind}": {{\n{rows}\n }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _scalars() -> Iterator[str]:
    return (f"numpy.{getattr(np, name).__name__}" for name in SCALARS)


def _named(value: Any) -> str:
    return f"{value.__module__}.{value.__name__}"


def _functions() -> Iterator[str]:
    from importlib import import_module

    for name in MODULES:
        module = import_module(name)
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        values = (getattr(module, n) for n in public)
        yield from (_named(v) for v in values if isfunction(v) and _is_measure(v, name))


def _is_measure(function: Any, place: str) -> bool:
    module: str = function.__module__
    return module.startswith(place) and module != "sklearn.metrics._scorer"


def _classes() -> Iterator[str]:
    """Classes that are parameters, or parts that only some data bring."""
    from importlib import import_module

    from sklearn.compose import make_column_selector
    from sklearn.frozen import FrozenEstimator
    from sklearn.utils import all_estimators

    yield from (_named(c) for _, c in all_estimators())
    yield from (_named(make_column_selector), _named(FrozenEstimator))
    for place, base in (
        ("sklearn.gaussian_process.kernels", "Kernel"),
        ("sklearn.model_selection._split", "object"),
        ("sklearn._loss.loss", "BaseLoss"),
        ("sklearn._loss.link", "object"),
        ("sklearn.metrics._dist_metrics", "object"),
        ("sklearn.neighbors._ball_tree", "object"),
        ("sklearn.neighbors._kd_tree", "object"),
        ("sklearn.neural_network._stochastic_optimizers", "BaseOptimizer"),
        ("sklearn.metrics._scorer", "object"),
    ):
        module = import_module(place)
        root = getattr(module, base, object)
        own = [
            v for v in vars(module).values() if isclass(v) and v.__module__ == place and issubclass(v, root)
        ]
        yield from (_named(c) for c in own if base != "object" or _is_part(c))


def _is_part(kind: type) -> bool:
    """Of modules that hold more: splitters, links, metrics of distance, trees of neighbours, scorers."""
    wanted = ("split", "inverse", "get_metric", "query_radius", "_score")
    return any(hasattr(kind, name) for name in wanted) or kind.__name__ == "Interval"


def _losses() -> Iterator[str]:
    from skops.io._sklearn import ALLOWED_LOSSES

    return (_named(loss) for loss in ALLOWED_LOSSES)


def _held(model: Any) -> Iterator[tuple[str, str]]:
    import skops.io
    from skops.io._audit import get_tree
    from skops.io._utils import read_schema

    with ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        schema, context = read_schema(archive)
        waiting = [get_tree(schema, context, trusted=None)]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield type(node).__name__, f"{node.module_name}.{node.class_name}"
            waiting += skops_file._children(node)


def _fitted() -> Iterator[Any]:
    """Every estimator as scikit-learn's own tests make it, fitted on the first of these data that it takes."""
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
    from sklearn.utils import all_estimators
    from sklearn.utils._test_common.instance_generator import _construct_instances
    from skops.io.exceptions import UnsupportedTypeException

    yield from _special()
    for _, kind in all_estimators():
        try:
            estimators = [*_construct_instances(kind)]
        except BaseException:  # a SkipTest is none: it needs another estimator
            continue
        for estimator in estimators:
            for rows, labels in _data():
                try:
                    estimator.fit(rows, labels) if labels is not None else estimator.fit(rows)
                except Exception:
                    continue
                try:
                    yield from ([estimator] if [*_held(estimator)] else [])
                except UnsupportedTypeException:
                    break


def _special() -> Iterator[Any]:
    """Fitted with parameters, or on data, that bring other parts than the usual ones."""
    import pandas as pd
    from sklearn import ensemble, linear_model, neighbors, neural_network, svm
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.isotonic import IsotonicRegression
    from sklearn.model_selection import GridSearchCV, KFold, TunedThresholdClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

    (rows, three), (_, number), *_ = _data()
    two = (three > 0).astype(int)
    named = pd.DataFrame(rows[:, :2], columns=["a", "b"]).assign(c=[*"xyz"] * 10)
    for categories in ([0], "from_dtype"):
        typed = named.astype({"c": "category"})[["c", "a", "b"]]
        yield ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=categories).fit(
            typed, three
        )
    for loss in ("absolute_error", "gamma", "poisson", "quantile"):
        yield ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=2, quantile=0.5).fit(rows, number)
    for loss in ("huber", "quantile", "absolute_error"):
        yield ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2).fit(rows, number)
    yield ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=2).fit(rows, two)
    for loss in ("log_loss", "modified_huber", "squared_hinge", "perceptron", "huber", "epsilon_insensitive"):
        yield linear_model.SGDClassifier(loss=loss).fit(rows, two)
    for penalty in ("l1", "elasticnet"):
        yield linear_model.SGDRegressor(penalty=penalty, learning_rate="adaptive").fit(rows, number)
    yield linear_model.TweedieRegressor(power=1.5).fit(rows, number)
    yield neural_network.MLPClassifier(solver="sgd", max_iter=3).fit(rows, three)
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        yield neighbors.KNeighborsClassifier(algorithm=algorithm, metric="manhattan").fit(rows, three)
    for method in ("isotonic", "sigmoid", "temperature"):
        yield CalibratedClassifierCV(linear_model.LogisticRegression(), method=method, cv=2).fit(rows, three)
    yield IsotonicRegression(out_of_bounds="clip").fit(number, number)
    yield svm.SVC(probability=True).fit(rows, three)
    yield TunedThresholdClassifierCV(linear_model.LogisticRegression(), cv=2).fit(rows, two)
    yield GridSearchCV(linear_model.Ridge(), {"alpha": [1, 2]}, cv=KFold(2), scoring=["r2"], refit="r2").fit(
        rows, number
    )
    selected = make_column_transformer(
        (OneHotEncoder(min_frequency=2), make_column_selector(dtype_include=object)),
        (TargetEncoder(cv=2), ["c"]),
        (StandardScaler(), ["a"]),
        remainder="passthrough",
    )
    yield make_pipeline(selected, ensemble.RandomForestClassifier(2)).fit(named, three)


def _data() -> Iterator[tuple[Any, Any]]:
    rows = np.abs(np.random.default_rng(0).normal(size=(30, 4)))
    three, number = np.array([0, 1, 2] * 10), rows[:, 0] * 2 + 0.2
    yield rows, three
    yield rows, number
    yield rows, np.c_[three > 0, three > 1].astype(int)
    yield rows, np.c_[number, number]
    yield number, number
    yield np.array([*"abc"] * 10), None
    yield [{"a": 1.0, "b": "x"}] * 30, None
    yield ["some text here"] * 30, three
    yield [("a", "b")] * 30, None
    yield rows, None
