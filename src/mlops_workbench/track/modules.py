"""Modules that a model needs where it is loaded: found by walking what it holds, and what its functions refer to.

A local module (one of no installed distribution: beside the notebook, below the project) is found nowhere else. What a
model uses of it is written into the model's own file (`shipped`), by value, as cloudpickle does with what is defined in
the notebook itself: it is then covered by the version's digest, and loaded wherever the version is.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib.util
import site
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidModel

_MOST = 2_000
"""elements of one list or dictionary that are looked at"""
_OUTPUTS = "_sklearn_output_config"
"""where scikit-learn keeps what `set_output` was given"""


@dataclass(frozen=True)
class Needed:
    """`installed`: top-level names of modules of distributions; `local`: of modules that lie elsewhere; `late`: local
    ones that a function imports when it runs, which no file holds."""

    installed: frozenset[str]
    local: frozenset[str]
    late: frozenset[str] = frozenset()


def needed(model: Any) -> Needed:
    """What a model needs: the homes of its classes and functions, and what those of the notebook and of local modules
    refer to; pandas or polars, where `set_output` asks for it."""
    found: set[str] = set()
    late: set[str] = set()
    seen: dict[int, Any] = {}  # kept, so that no identity is used twice
    waiting: list[Any] = [model]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | int | float | None):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, types.ModuleType):
            found.add(thing.__name__)
            # written down by value, a module goes along with all its names
            waiting += vars(thing).values() if _is_local(thing.__name__) else ()
        elif isinstance(thing, type | types.FunctionType):
            home = getattr(thing, "__module__", None) or ""
            found.add(home)
            if home == "__main__" or _is_local(home):
                named, imported = _named_in(thing)
                waiting += named
                late |= {name for name in imported if _is_local(name)}
                found |= imported
        elif isinstance(thing, functools.partial):
            waiting += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, types.MethodType):
            waiting += [thing.__func__, thing.__self__]
        elif isinstance(thing, list | tuple | set | frozenset | dict):
            waiting += [*(thing.values() if isinstance(thing, dict) else thing)][:_MOST]
        else:
            waiting.append(type(thing))
            held = getattr(thing, "__dict__", {})
            found |= {str(library) for library in (held.get(_OUTPUTS) or {}).values() if library != "default"}
            waiting += held.values()
    tops = {name.partition(".")[0] for name in found} - {"", "__main__", "__mp_main__"}
    tops -= {*sys.stdlib_module_names, "mlops_workbench"}
    tops = {name for name in tops if _paths_of(name)}
    local = {name for name in tops if _is_local(name)}
    return Needed(frozenset(tops - local), frozenset(local), frozenset(late))


@contextlib.contextmanager
def shipped(needs: Needed, label: str) -> Iterator[None]:
    """While it lasts, cloudpickle writes down local modules by value. Raises `InvalidModel` for what it cannot."""
    import cloudpickle  # type: ignore[import-untyped]

    if needs.late:
        name = min(needs.late)
        raise InvalidModel(
            f"'{label}' uses a function that imports the local module '{name}' when it runs; '{name}' is not "
            "installed, so it would not be found where the model is served.",
            f"Import '{name}' at the top of its module or in a cell, or install it as a package.",
        )
    before = set(cloudpickle.list_registry_pickle_by_value())
    modules = [sys.modules[name] for name in needs.local if name in sys.modules and name not in before]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    except (RecursionError, TypeError, AttributeError, ValueError) as problem:
        if not modules:
            raise
        raise InvalidModel(
            f"'{label}' uses {_listed(needs.local)}, which is not installed and cannot be kept with the model: "
            f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}.",
            "Install it as a package.",
        ) from None
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _listed(names: Iterable[str]) -> str:
    found = [f"'{name}'" for name in sorted(names)]
    return ", ".join(found[:3]) + (" and others" if len(found) > 3 else "")


def _is_local(name: str) -> bool:
    """Whether a module has a file that belongs to no installation: neither Python's own nor a site folder's."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("", "__main__", "mlops_workbench"):
        return False
    paths = _paths_of(top)
    return bool(paths) and not any(_installed(path) for path in paths)


def _paths_of(top: str) -> list[str]:
    """Where a module lies; empty for one that has no file, such as those that Cython names its types after."""
    try:
        spec = getattr(sys.modules.get(top), "__spec__", None) or importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a module that was made by hand
        spec = None
    origin = getattr(sys.modules.get(top), "__file__", None) or (spec.origin if spec else None)
    folders = (
        list(spec.submodule_search_locations or ()) if spec else []
    )  # without __init__.py it has no file
    return [origin] if origin and origin not in ("built-in", "frozen") else [str(f) for f in folders]


@lru_cache(maxsize=1_000)
def _installed(path: str) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in _site_folders())


@lru_cache(maxsize=1)
def _site_folders() -> tuple[str, ...]:
    named = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    named |= {*site.getsitepackages(), site.getusersitepackages()}
    named |= {p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")}
    return tuple(named | {str(Path(folder).resolve()) for folder in named})


def _named_in(thing: Any) -> tuple[list[Any], set[str]]:
    """What the code of a class or function refers to, and the modules that it imports when it runs."""
    if isinstance(thing, type):
        own = [v for v in vars(thing).values() if not isinstance(v, str)]
        return [*thing.__bases__, *(_plain(v) for v in own)], set()
    found: list[Any] = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    for cell in thing.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty one
            found.append(cell.cell_contents)
    imported: set[str] = set()
    codes = [thing.__code__]
    while codes:
        code = codes.pop()
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        found += [thing.__globals__[n] for n in code.co_names if n in thing.__globals__]
        steps = list(dis.get_instructions(code))
        for at, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                relative = at >= 2 and steps[at - 2].argval  # `from . import x`: the level goes before it
                imported.add(str(thing.__module__ if relative else step.argval))
    return found, imported


def _plain(value: Any) -> Any:
    """The function below a static method, a class method or a property."""
    return getattr(value, "__func__", None) or getattr(value, "fget", None) or value
