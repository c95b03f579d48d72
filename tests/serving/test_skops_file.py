"""A hand-made skops file: whatever kind of node it uses, nothing of it is called; the refusal names what it holds."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_folders
import numpy as np
import pytest
import skops.io
import trusted_types
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skops.io._audit import NODE_TYPE_MAPPING

from mlops_workbench.base.errors import InvalidModel
from mlops_workbench.manifest import file_sha256
from mlops_workbench.serving import skops_file
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.skops_file import Untrusted
from mlops_workbench.workbench import Workbench

Node = dict[str, Any]

EXEC = "numpy.testing._private.utils.runstring"
RUN = "sklearn.utils._testing.check_output"
ESTIMATOR = "sklearn.linear_model._base.LinearRegression"


def node(loader: str, name: str, **more: Any) -> Node:
    module, _, cls = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": cls, **more}


def value(plain: Any) -> Node:
    return node("JsonNode", "builtins.str", content=json.dumps(plain), is_json=True)


def items(values: list[Node], loader: str = "ListNode", name: str = "builtins.list") -> Node:
    return node(loader, name, content=values)


def arguments(*values: Node) -> Node:
    return items([*values], "TupleNode", "builtins.tuple")


def mapping(values: dict[str, Node], keys: list[Node] | None = None, name: str = "builtins.dict") -> Node:
    keys = [node("TypeNode", "builtins.str")] * len(values) if keys is None else keys
    return node("DictNode", name, content=values, key_types=items(keys))


def thing(name: str, **attributes: Node) -> Node:
    return node("ObjectNode", name, content=mapping(attributes))


def partial(function: Node, *values: Node) -> Node:
    parts = {"func": function, "args": arguments(*values), "kwds": mapping({}), "namespace": value(None)}
    return node("PartialNode", "functools.partial", content=parts)


def array(content: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, content)
    return out.getvalue()


def file(root: Node, protocol: int = 2, **files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", json.dumps({**root, "protocol": protocol}))
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def words(code: str) -> list[Node]:
    return [value(sys.executable), value("-c"), value(code)]


FUNCTION = node("FunctionNode", EXEC)
RUNS: dict[str, Callable[[str], tuple[Node, str]]] = {
    # kind → code → (a node that runs it when it is made, the name that is refused)
    "ConstructorFromReduceNode": lambda code: (
        node("ConstructorFromReduceNode", EXEC, content=arguments(value(code), mapping({}))),
        EXEC,
    ),
    "ListNode": lambda code: (items(words(code), name=RUN), RUN),
    "SetNode": lambda code: (items(words(code), "SetNode", RUN), RUN),
    "DictNode": lambda code: (
        mapping({code: value(1)}, [node("TypeNode", "builtins.exec")]),
        "builtins.exec",
    ),
    "NdArrayNode": lambda code: (node("NdArrayNode", RUN, type="numpy", file="words"), RUN),
    "ObjectNode": lambda code: (
        thing(
            "scipy.stats._distn_infrastructure.rv_continuous",
            _parse_arg_template=value(code),
            _ctor_param=arguments(),
        ),
        "scipy.stats._distn_infrastructure.rv_continuous",
    ),
    "LossNode": lambda code: (
        node("LossNode", EXEC, content=mapping({}), __reduce__={"args": arguments(value(code), mapping({}))}),
        EXEC,
    ),
}
HOLDS: dict[str, tuple[Node, str]] = {
    # kind → (a node that makes or holds what would run later, the name that is refused)
    "FunctionNode": (FUNCTION, EXEC),
    "TypeNode": (node("TypeNode", "numpy.testing._private.utils.runstring"), EXEC),
    "PartialNode": (partial(FUNCTION, value("1")), EXEC),
    "MethodNode": (
        node("MethodNode", ESTIMATOR, content={"func": "fit", "obj": thing(ESTIMATOR)}),
        f"{ESTIMATOR}.fit",
    ),
    "OperatorFuncNode": (
        node("OperatorFuncNode", "operator.methodcaller", attrs=arguments(value("fit"))),
        "operator.methodcaller",
    ),
    "DefaultDictNode": (
        node(
            "DefaultDictNode",
            "collections.defaultdict",
            content={"main": mapping({}), "default_factory": partial(node("FunctionNode", "numpy.clip"))},
        ),
        "functools.partial as default_factory",
    ),
    "TupleNode": (arguments() | {"__module__": "sys", "__class__": "exit"}, "sys.exit"),
    "SliceNode": (
        node("SliceNode", "numpy.load", content={"start": None, "stop": None, "step": None}),
        "numpy.load",
    ),
    "BytesNode": (node("BytesNode", "numpy.load", file="words"), "numpy.load"),
    "BytearrayNode": (node("BytearrayNode", "numpy.load", file="words"), "numpy.load"),
    "DTypeNode": (node("DTypeNode", "numpy.dtype", content=thing(ESTIMATOR)), f"{ESTIMATOR} as dtype"),
    "MaskedArrayNode": (
        node("MaskedArrayNode", "numpy.load", content={"data": value(1), "mask": value(1)}),
        "numpy.load",
    ),
    "SparseMatrixNode": (node("SparseMatrixNode", "scipy.io.loadmat", type="scipy", file="words"), "scipy.io.loadmat"),
    "RandomStateNode": (node("RandomStateNode", "numpy.random.seed", content=mapping({})), "numpy.random.seed"),
    "RandomGeneratorNode": (
        node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": mapping({"bit_generator": value("seed")}), "seed_seq": mapping({})},
        ),
        "numpy.random.seed",
    ),
    "TreeNode": (
        node("TreeNode", "sklearn.tree._tree.Other", content=mapping({}), __reduce__={"args": arguments()}),
        "sklearn.tree._tree.Other",
    ),
    # a class of the list is no function of it: called with arguments of the file, its constructor would run
    "ConstructorFromReduceNode": (
        node("ConstructorFromReduceNode", ESTIMATOR, content=arguments(value(1))),
        f"{ESTIMATOR} as ConstructorFromReduceNode",
    ),
    "ListNode": (items([], name=ESTIMATOR), f"{ESTIMATOR} as ListNode"),
    "ObjectNode": (thing("builtins.dict"), "builtins.dict as ObjectNode"),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNS)
def test_a_file_that_runs_code_when_skops_loads_it_is_refused_before(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"import pathlib; pathlib.Path({str(marker)!r}).touch()"
    root, name = RUNS[kind](code)
    data = file(root, words=array(np.array([sys.executable, "-c", code])))
    with pytest.raises(Untrusted, match=name.replace(".", r"\.")) as refused:
        skops_file.load(data)
    assert name in refused.value.names
    assert skops_file.untrusted(data) == refused.value.names
    assert not marker.exists()
    with suppress(Exception):  # that it is no harmless file: trusted as it asks for
        skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert marker.exists()


@pytest.mark.parametrize("kind", HOLDS)
def test_a_file_that_holds_what_would_run_later_is_refused(kind: str) -> None:
    root, name = HOLDS[kind]
    data = file(thing(ESTIMATOR, predict=root), words=array(np.zeros(1)))
    with pytest.raises(Untrusted) as refused:
        skops_file.load(data)
    assert name in refused.value.names


def test_every_kind_of_node_has_its_gadget() -> None:
    quiet = {"JsonNode", "CachedNode", "QuantileForestNode"}  # what JSON says; another node; not installed
    assert {kind for kind, _ in NODE_TYPE_MAPPING} == {*RUNS, *HOLDS} | quiet


def test_a_node_that_pretends_to_be_another_is_seen_as_what_it_is() -> None:
    """skops makes what it met first under an id, whatever a later mention says."""
    hidden = partial(node("FunctionNode", "numpy.clip")) | {"__id__": 7}
    key = node("TypeNode", "builtins.str", __id__=7)
    data = file(thing(ESTIMATOR, first=hidden, second=mapping({"a": value(1)}, [key])))
    assert skops_file.untrusted(data) == ["builtins.dict with keys of no type"]


def test_files_of_the_first_protocol_are_not_read() -> None:
    """There a function is named in another place than the one that is audited."""
    root = node("FunctionNode", "numpy.exp", content={"module_path": "os", "function": "getcwd"})
    with pytest.raises(ValueError, match="protocol 0"):
        skops_file.load(file(root, protocol=0))


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()),
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=StratifiedKFold(2), scoring="roc_auc"),
        KNeighborsClassifier(3, algorithm="ball_tree"),
    ],
)
def test_real_models_are_loaded(model: Any) -> None:
    rows, labels = np.abs(np.random.default_rng(0).normal(size=(40, 2))), np.array([0, 1] * 20)
    fitted = model.fit(rows, labels)
    assert skops_file.load(skops.io.dumps(fitted)).predict(rows).tolist() == fitted.predict(rows).tolist()


def test_the_list_holds_exact_names_that_only_calculate() -> None:
    trusted = skops_file.trusted()
    for name in trusted["FunctionNode"]:
        module, _, function = name.rpartition(".")
        assert module == "numpy" or module.startswith(("sklearn.", "scipy._lib.array_api_compat.numpy")), name
        assert not {"load", "save", "run", "exec", "open", "import", "file", "text"} & {
            *function.split("_")
        }, name
    names = {name for names in trusted.values() for name in names}
    assert not [n for n in names if n.startswith(("scipy.stats", "numpy.testing", "sklearn.utils._testing"))]


@pytest.mark.slow
def test_the_list_is_what_fitted_estimators_hold() -> None:
    """`make generated` writes it again, with what an older scikit-learn had."""
    assert skops_file.FILE.read_text("utf-8") == trusted_types.made()


def gadget(marker: Path) -> bytes:
    return file(RUNS["ConstructorFromReduceNode"](f"open({str(marker)!r}, 'w').close()")[0])


def test_a_hand_made_file_is_not_registered(workbench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(gadget(tmp_path / "ran"))
    with pytest.raises(InvalidModel, match=r"holds numpy\.testing.*runstring") as refused:
        workbench.register(str(path), name="m")
    assert "cloudpickle" in (refused.value.next_step or "")
    assert not (tmp_path / "ran").exists()


def test_a_manifest_that_trusts_a_hand_made_file_is_not_believed(tmp_path: Path) -> None:
    manifest = model_folders.save(tmp_path / "m", model_folders.classifier())
    path = tmp_path / "m" / manifest.model_file
    path.write_bytes(gadget(tmp_path / "ran"))
    replace(manifest, sha256=file_sha256(path), trusted=(EXEC, "builtins.dict")).dump(tmp_path / "m")
    with pytest.raises(ModelRefused, match="runstring"):
        DataPlane.load(tmp_path / "m", name="m", version="1", fast=False)
    assert not (tmp_path / "ran").exists()


def _bomb(nested: bool) -> bytes:
    """A model's file with a member of 600 MB of zeros: 600 kB, or, as an archive in it, a few kB."""
    model = io.BytesIO(skops.io.dumps(LogisticRegression()))
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        inner = io.BytesIO()
        target = zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) if nested else archive
        with target.open("zeros.npy", "w", force_zip64=True) as member:
            for _ in range(600):
                member.write(bytes(1 << 20))
        if nested:
            target.close()
            archive.writestr("matrix.npz", inner.getvalue())
    return model.getvalue()


@pytest.mark.parametrize("nested", [False, True])
def test_a_file_that_expands_beyond_measure(workbench: Workbench, tmp_path: Path, nested: bool) -> None:
    """It is refused by what its list of members says, before one is expanded; honest ones of its size are not."""
    bomb = tmp_path / "bomb.skops"
    bomb.write_bytes(_bomb(nested))
    assert bomb.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(InvalidModel, match=r"it expands to 60\d MB, more than the 512 MB"):
        workbench.register(str(bomb), name="bomb", data="train", target="late")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
    assert workbench.models().models == ()
    zeros = LogisticRegression().fit(np.zeros((2, 2)), [0, 1])
    zeros.coef_ = np.zeros((1, 4_000_000))
    assert skops_file.load(skops.io.dumps(zeros, compression=zipfile.ZIP_DEFLATED)).coef_.shape == (
        1,
        4_000_000,
    )
