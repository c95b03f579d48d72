"""Which distributions a model needs where it is served, at the versions that are installed here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlops_workbench.base.errors import InvalidModel, NotFound

FAST_RUNTIME = (
    "fastapi",
    "httptools",
    "numpy",
    "orjson",
    "prometheus-client",
    "pydantic",
    "sqlalchemy",
    "typing-extensions",
    "uvicorn",
    *(() if sys.platform == "win32" else ("uvloop",)),
)
"""what `mlops_workbench.serving` imports to answer by a fast path alone"""

RUNTIME = (*FAST_RUNTIME, "arro3-core", "arro3-io", "pandas", "scikit-learn", "skops")
"""what `mlops_workbench.serving` imports"""

WORKSHOP = frozenset(
    {
        *("anywidget", "evidently", "ipykernel", "ipython", "ipywidgets", "jupyter-client", "jupyter-core"),
        *("jupyter-server", "jupyterlab", "mlflow", "mlflow-skinny", "mlflow-tracing", "mlops-workbench"),
        *("nbclient", "nbformat", "notebook", "papermill", "whylogs"),
    }
)
"""what a notebook imports and a served model does not: never locked as a model's own"""


def locked(distributions: Iterable[str]) -> list[str]:
    """`name==version` of these distributions and of all that they need here, sorted by name.

    A distribution may ask for extras (`"psycopg[binary]"`). Environment markers are evaluated for this
    interpreter. Raises NotFound if one of them, or something they need, is not installed.
    """
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()
    waiting = [(Requirement(name), "") for name in distributions]
    while waiting:
        wanted, needed_by = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name not in found:
            found[name] = _installed(name, needed_by)
        # "" stands for the requirements without an extra
        for extra in {"", *wanted.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                waiting += [(r, name) for r in _needs(found[name], extra)]
    return [f"{name}=={found[name].version}" for name in sorted(found)]


def for_model(modules: Iterable[str], *, also: Iterable[str] = ()) -> tuple[str, ...]:
    """The locked closure of what a model's modules and the serving runtime need.

    `modules` are top-level import names (`{"sklearn", "xgboost"}`); those of the standard library and of the
    notebook's own tools are left out. `also` names further distributions, such as the driver of a
    log that is not SQLite. Raises NotFound for a module that belongs to no installed distribution.
    """
    return _for_model(frozenset(modules), frozenset(also), _installation())


def distributions_of(modules: Iterable[str]) -> list[str]:
    """`name==version` of the installed distributions that these modules belong to. Raises NotFound for one of none."""
    owners = metadata.packages_distributions()
    tops = {m.partition(".")[0] for m in modules} - {"mlops_workbench"}
    found = {
        canonicalize_name(o) for m in tops if m not in sys.stdlib_module_names for o in _owners(m, owners)
    }
    return [f"{name}=={metadata.version(name)}" for name in sorted(found - WORKSHOP)]


def for_mlflow_model(lines: Iterable[str], label: str) -> tuple[str, ...]:
    """The locked closure of what an MLflow model's own requirements name, of the runtime, and of `mlflow-skinny`.

    MLflow itself counts as `mlflow-skinny`, which loads every flavour. Raises InvalidModel for a line that is no
    distribution's, or asks for another version than the one that is installed here, with which it was proven.
    """
    wanted = {*RUNTIME, "mlflow-skinny"}
    for line in lines:
        if line.startswith(("-c", "--constraint")):
            continue
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            raise InvalidModel(
                f"'{label}' requires '{line}', which is no distribution's name and version.",
                "Log it with pip_requirements of that form.",
            ) from None
        if canonicalize_name(asked.name) in WORKSHOP or (asked.marker and not asked.marker.evaluate()):
            continue
        there = _installed(asked.name, label).version
        if not asked.specifier.contains(there, prereleases=True):
            raise InvalidModel(
                f"'{label}' requires {asked.name}{asked.specifier}; {there} is installed here.",
                "Install that version and register again, or log the model again.",
            )
        wanted.add(f"{asked.name}[{','.join(sorted(asked.extras))}]" if asked.extras else asked.name)
    return tuple(locked(sorted(wanted)))


def installed() -> tuple[str, ...]:
    """Every distribution of this environment as `name==version`, sorted."""
    return _installed_now(_installation())


@lru_cache(maxsize=4)
def _installed_now(_installation: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    found = {}
    for distribution in metadata.distributions():
        # one that is just being installed or removed has no metadata for a moment
        with contextlib.suppress(FileNotFoundError, AttributeError, KeyError, TypeError):
            found[canonicalize_name(distribution.name)] = distribution.version
    return tuple(f"{name}=={found[name]}" for name in sorted(found))


def _installation() -> tuple[tuple[str, int], ...]:
    """Changes whenever something is installed or removed: the folders of the import path and their times."""
    return tuple((p, Path(p).stat().st_mtime_ns) for p in sys.path if p and Path(p).is_dir())


@lru_cache(maxsize=16)  # reading the files of 200 distributions takes longer than all else in `register`
def _for_model(
    modules: frozenset[str], also: frozenset[str], _installation: tuple[tuple[str, int], ...]
) -> tuple[str, ...]:
    owners = metadata.packages_distributions()
    wanted = {*RUNTIME, *also}
    for module in sorted({m.partition(".")[0] for m in modules}):
        if module in sys.stdlib_module_names or module == "mlops_workbench":
            continue
        wanted |= {o for o in _owners(module, owners) if canonicalize_name(o) not in WORKSHOP}
    return tuple(locked(sorted(wanted)))


def _owners(module: str, owners: Mapping[str, list[str]]) -> set[str]:
    if module not in owners:
        raise NotFound(
            f"The module '{module}' belongs to no installed distribution: it cannot go into an image.",
            "Install it as a package, or leave it out of the model.",
        )
    return set(owners[module])


def _installed(name: str, needed_by: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        why = f", which '{needed_by}' needs," if needed_by else ""
        raise NotFound(
            f"The distribution '{name}'{why} is not installed here.", "Install it and register again."
        ) from None


def _needs(distribution: metadata.Distribution, extra: str) -> list[Requirement]:
    """What it needs here for this extra ("" for none)."""
    needs = []
    for line in distribution.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        plain = marker is None or marker.evaluate({"extra": ""})
        if (not extra and plain) or (extra and not plain and marker and marker.evaluate({"extra": extra})):
            needs.append(requirement)
    return needs
