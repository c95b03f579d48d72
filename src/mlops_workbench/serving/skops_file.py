"""A skops file, loaded only if everything that it makes is on a list of exact names, kind by kind.

skops asks which names a file holds, and calls what they name with arguments of the file: a list may be of any class, a
key of a dictionary is made by any callable. So a name is trusted only where real models hold it: a class of the list
may be an object, never a call. What is looked at is skops' own tree, which is what it makes the objects from.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

FILE = Path(__file__).with_name("trusted_types.json")
"""kind of node → module → names; written by `tests/support/trusted_types.py` from fitted models"""

_FUNCTIONS, _SCALARS, _LOSSES = "FunctionNode", "TypeNode", "LossNode"
_CONSTRUCTED = ("LossNode", "TreeNode")
"""skops calls the class that such a node names; its `constructor` says the same name again"""
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


_EXPANDED_BYTES = 512 << 20
_EXPANDED_TIMES = 20
"""of its own size, what a file may expand to, and the bytes above as well"""
_ZIP = b"PK"


class TooLarge(ValueError):
    """A file that expands to more than a model of its size does."""


class Untrusted(Exception):
    """A file holds what is on no list. `names`: of the functions and types, sorted."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = sorted(names)
        super().__init__(
            f"it holds {', '.join(self.names[:6])}, which is on no list of what models are made of "
            f"({FILE.name})"
        )


def load(data: bytes, listed: Collection[str] | None = None) -> Any:
    """The object in a skops file. `listed`: names that skops need not know by itself; None: all that are trusted here.

    Raises `Untrusted` before anything is made, or whatever skops raises for what is no such file.
    """
    from skops.io._audit import audit_tree

    tree = _tree(data)
    if names := {*_foreign(tree)}:
        raise Untrusted(names)
    if listed is not None:
        audit_tree(tree, [*listed])
    return tree.construct()


def untrusted(data: bytes) -> list[str]:
    """Names in a skops file that would not be loaded, sorted. Nothing of the file is made or imported."""
    return sorted({*_foreign(_tree(data))})


@cache
def trusted() -> Mapping[str, frozenset[str]]:
    """Kind of node → full names."""
    kinds: dict[str, dict[str, list[str]]] = json.loads(FILE.read_text("utf-8"))
    return {
        kind: frozenset(f"{module}.{name}" for module, names in modules.items() for name in names)
        for kind, modules in kinds.items()
    }


def _tree(data: bytes) -> Any:
    from skops.io._audit import get_tree
    from skops.io._utils import read_schema

    with ZipFile(io.BytesIO(data)) as archive:
        _require_bounded(archive, max(_EXPANDED_BYTES, _EXPANDED_TIMES * len(data)))
        schema, context = read_schema(archive)
        if context.protocol < 1:  # there a function's name is not where it is looked for
            raise ValueError("the file is of skops' protocol 0, which is not read")
        return get_tree(schema, context, trusted=None)


def _require_bounded(archive: ZipFile, most: int) -> None:
    """Raises `TooLarge` before anything is expanded: no member gives more than the archive's list says of it. A sparse
    matrix is an archive in the archive."""
    total = sum(member.file_size for member in archive.infolist())
    if total <= most:
        for member in archive.infolist():
            with archive.open(member) as opened:
                if opened.read(len(_ZIP)) != _ZIP:
                    continue
            with ZipFile(io.BytesIO(archive.read(member))) as inner:
                total += sum(one.file_size for one in inner.infolist())
    if total > most:
        raise TooLarge(
            f"it expands to {total / (1 << 20):,.0f} MB, more than the {most >> 20:,} MB that a file of its size may"
        )


def _foreign(tree: Any) -> Iterator[str]:
    """Names in the tree that are not trusted where they stand."""
    waiting, seen = [tree], {id(tree)}
    while waiting:
        node = waiting.pop()
        yield from _wrong(node)
        for child in _children(node):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _children(node: Any) -> Iterator[Any]:
    """All nodes that an attribute holds: skops makes its objects from these, not from `children` alone."""
    from skops.io._audit import Node

    own = node.constructor if _kind(node) in _CONSTRUCTED else None
    for value in vars(node).values():
        inner = (
            value.values()
            if isinstance(value, dict)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        yield from (v for v in inner if isinstance(v, Node) and v is not own)


def _wrong(node: Any) -> Iterator[str]:
    kind, name = _kind(node), f"{node.module_name}.{node.class_name}"
    if kind in ("CachedNode", "JsonNode"):  # another node again; what JSON can say, whatever it is called
        return
    known = trusted()
    if name not in known.get(kind, ()) and not (kind == _FUNCTIONS and _is_ufunc(node)):
        if kind == "MethodNode":
            name += f".{node.func}"
        elsewhere = any(name in names for names in known.values())
        yield f"{name} as {kind}" if elsewhere else name
    yield from _misplaced(node, kind)


def _misplaced(node: Any, kind: str) -> Iterator[str]:
    """What is called when the node is made, or by what it makes: harmless names only."""
    match kind:
        case "DictNode":
            keys = getattr(node.key_types, "content", None)
            if _kind(node.key_types) != "ListNode" or not all(_kind(k) == _SCALARS for k in keys or ()):
                yield f"{node.module_name}.{node.class_name} with keys of no type"
        case "DefaultDictNode" if _kind(node.default_factory) not in (_SCALARS, "JsonNode"):
            yield f"{_name(node.default_factory)} as default_factory"
        case "PartialNode" if _kind(node.func) != _FUNCTIONS or _kind(node.namespace) != "JsonNode":
            yield f"functools.partial of {_name(node.func)}"
        case "RandomGeneratorNode" if node.bit_generator_name not in _BIT_GENERATORS:
            yield f"numpy.random.{node.bit_generator_name}"
        case "DTypeNode" if _kind(node.content) != "NdArrayNode":
            yield f"{_name(node.content)} as dtype"


def _kind(node: Any) -> str:
    return type(node).__name__


def _name(node: Any) -> str:
    return f"{getattr(node, 'module_name', '')}.{getattr(node, 'class_name', '')}"


def _is_ufunc(node: Any) -> bool:
    """Whether it names a universal function of NumPy or SciPy, which only calculates.

    Such a function does not know its module: skops writes the first that holds it. No module is imported for the
    question but those that trusted names are in.
    """
    import numpy as np

    modules = {name.rpartition(".")[0] for names in trusted().values() for name in names}
    module = sys.modules.get(node.module_name)
    if module is None and node.module_name in {*modules, "scipy.special", "scipy.special._ufuncs"}:
        module = import_module(node.module_name)
    # of `vars`: a module may do anything when it is asked for a name that it has not
    return isinstance(vars(module).get(node.class_name) if module else None, np.ufunc)
