"""Completion of `%mlops`: verbs, options and names, read from the one list of verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import MlopsError

if TYPE_CHECKING:
    from mlops_workbench.interface.spec import Arg, Verb
    from mlops_workbench.workbench import Workbench


def complete(
    line: str, symbol: str, namespace: Mapping[str, Any], workbench: Callable[[], Workbench]
) -> list[str]:
    """What may stand at the end of the line; `symbol` is the part of the word that was typed."""
    from mlops_workbench.workbench import verbs

    words = line.split()
    typed = words[1:] if line.endswith((" ", "\t")) else words[1:-1]
    if not typed:
        return _starting(verbs(), symbol)
    verb = verbs().get(typed[0])
    if verb is None:
        return []
    if symbol.startswith("-"):
        given = set(typed)
        flags = [
            max(a.flags, key=len) for a in verb.args if a.flags and (a.repeat or not given & set(a.flags))
        ]
        return _starting([*flags, "--help"], symbol)
    arg = _expected(verb, typed[1:])
    return _starting(_offers(arg, namespace, workbench, typed), symbol) if arg else []


def _starting(words: Any, symbol: str) -> list[str]:
    return [w for w in words if w.startswith(symbol)]


def _expected(verb: Verb, typed: list[str]) -> Arg | None:
    """The argument that the next word belongs to."""
    by_flag = {flag: arg for arg in verb.args for flag in arg.flags}
    if typed and typed[-1] in by_flag and not by_flag[typed[-1]].switch:
        return by_flag[typed[-1]]
    positionals = [a for a in verb.args if not a.flags]
    taken, skip = 0, False
    for word in typed:
        if skip:
            skip = False
        elif word in by_flag:
            skip = not by_flag[word].switch
        else:
            taken += 1
    return positionals[taken] if taken < len(positionals) else None


def _offers(
    arg: Arg, namespace: Mapping[str, Any], workbench: Callable[[], Workbench], typed: list[str]
) -> list[str]:
    if arg.choices:
        return list(arg.choices)
    from mlops_workbench.data.files import is_table
    from mlops_workbench.data.frames import is_frame

    if arg.offer == "variable":
        own = {k: v for k, v in namespace.items() if not k.startswith("_")}
        if arg.name == "model":
            return sorted(k for k, v in own.items() if callable(getattr(v, "predict", None)))
        frames = sorted(k for k, v in own.items() if is_frame(v))
        return frames + sorted(str(p) for p in Path.cwd().iterdir() if is_table(p))
    if arg.offer == "export":
        from mlops_workbench import plugins

        return sorted(plugins.found("exports"))
    if arg.offer == "file":
        return sorted(p.name for p in Path.cwd().iterdir() if not p.name.startswith("."))
    try:
        return _recorded(arg, workbench(), typed)
    except MlopsError:
        return []  # no project yet: nothing to offer, and completion is no place for errors


def _recorded(arg: Arg, workbench: Workbench, typed: list[str]) -> list[str]:
    if arg.offer == "model":
        return sorted({v.name for v in workbench.models().models})
    if arg.offer == "version":
        return [str(v.version) for v in workbench.models().models if v.name in typed]
    if arg.offer == "run":
        return list(dict.fromkeys(r.name for r in workbench.runs().runs))
    if arg.offer == "job":
        return [str(j.id) for j in workbench.jobs().jobs]
    if arg.offer == "contract":
        return sorted(p.stem for p in (workbench.project.root / "contracts").glob("*.yaml"))
    return []
