"""`jupyter_ext/src/generated/`: what each verb is given and does, and the records it answers with, as types."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mlops_workbench.base.values import AS_NUMBER, Value
from mlops_workbench.interface.spec import Arg, Verb

_NUMBERS = {"number", "version", "port", "positive", "share", "float", "cpus"}


def module(verbs: Mapping[str, Verb]) -> str:
    """`verbs.ts`."""
    parts = [
        "/* Made from the verbs' signatures by `make generated`; a test compares. */",
        "",
        "/** What each verb is given. The server checks it again with the same types as a typed line. */",
        "export interface IVerbOptions {",
        *(_options(verb) for verb in verbs.values()),
        "}",
        "",
        "export type VerbName = keyof IVerbOptions;",
        "",
        "/** `reads`: GET may ask; `writes`: changes records; `kernel`: acts on a notebook's variable, or a file. */",
        "export const EFFECTS: Readonly<Record<VerbName, 'reads' | 'writes' | 'kernel'>> = {",
        ",\n".join(f"  {name}: '{verb.effect}'" for name, verb in verbs.items()),
        "};",
        "",
        "/** Options (or these of their values) with which a reading verb changes something, so that it needs POST. */",
        "export const WRITING: {",
        "  readonly [verb in VerbName]?: Readonly<Record<string, true | readonly string[]>>;",
        "} = {",
        ",\n".join(filter(None, map(_writing, verbs.values()))),
        "};",
        "",
        "/** Verbs that become a job: they are answered with it, and `jobs` says how far it is. */",
        "export const LONG: ReadonlySet<VerbName> = new Set<VerbName>([",
        ",\n".join(f"  '{name}'" for name, verb in verbs.items() if verb.long),
        "]);",
    ]
    return "\n".join(parts) + "\n"


def _options(verb: Verb) -> str:
    if not verb.args:
        return f"  {verb.name}: Record<string, never>;"
    lines = [f"    /** {_comment(arg)} */\n    {arg.name}{_mark(arg)}: {_type(arg)};" for arg in verb.args]
    return "\n".join([f"  {verb.name}: {{", *lines, "  };"])


def _writing(verb: Verb) -> str:
    """Empty when there are none, or the verb changes something anyway."""
    options = [arg for arg in verb.args if arg.writes]
    if verb.effect != "reads" or not options:
        return ""
    return f"  {verb.name}: {{ {', '.join(f'{arg.name}: {_when(arg.writes)}' for arg in options)} }}"


def _when(values: bool | Sequence[str]) -> str:
    return "true" if isinstance(values, bool) else f"[{_words(values)}]"


def _words(choices: Iterable[str], between: str = ", ") -> str:
    return between.join(f"'{choice}'" for choice in choices)


def _comment(arg: Arg) -> str:
    return arg.help.replace("*/", "* /")


def _mark(arg: Arg) -> str:
    return "" if arg.required else "?"


def _type(arg: Arg) -> str:
    if arg.switch:
        one = "boolean"
    elif arg.choices:
        one = _words(arg.choices, " | ")
    else:
        one = "number" if arg.kind in _NUMBERS else "string"
    return f"{one if ' ' not in one else f'({one})'}[]" if arg.repeat else one


def records(classes: Iterable[type], merged: Mapping[type, str]) -> str:
    """`records.ts`: what `to_dict()` of these dataclasses, and of those in their fields, looks like as JSON.

    `merged`: the field whose own fields stand beside the others of its class.
    """
    interfaces: dict[type, str] = {}
    for one in classes:
        _interface(one, merged, interfaces)
    head = "/* Made from the records' dataclasses by `make generated`; a test compares. */"
    return "\n\n".join([head, *interfaces.values()]) + "\n"


def _interface(one: type, merged: Mapping[type, str], known: dict[type, str]) -> str:
    """Its name; it is added to `known`, after those that it needs."""
    if one not in known:
        flat = merged.get(one)
        own_form = getattr(one, "to_dict", Value.to_dict) is not Value.to_dict
        assert not own_form or flat, f"{one.__name__}.to_dict says otherwise than its fields"
        hints = get_type_hints(one, include_extras=True)
        base = f" extends {_interface(hints.pop(flat), merged, known)}" if flat else ""
        lines = [f"  {name}: {_json(hint, merged, known)};" for name, hint in hints.items()]
        doc = " ".join((one.__doc__ or "").partition("\n\n")[0].split())
        known[one] = "\n".join([f"/** {doc} */", f"export interface I{one.__name__}{base} {{", *lines, "}"])
    return f"I{one.__name__}"


_JSON = {str: "string", int: "number", float: "number", bool: "boolean", types.NoneType: "null"}


def _json(hint: Any, merged: Mapping[type, str], known: dict[type, str]) -> str:
    """The type of a value of this annotation, as `base.values.plain` writes it."""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        return "number" if AS_NUMBER in notes else _json(hint, merged, known)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " | ".join(_json(one, merged, known) for one in inner)
    if origin is Literal:
        return _words(inner, " | ")
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"Record<string, {_json(inner[1], merged, known)}>"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"{_json(inner[0], merged, known)}[]"
    if is_dataclass(hint) and isinstance(hint, type):
        return _interface(hint, merged, known)
    if hint is Any:
        return "unknown"
    return "string" if hint is datetime else _JSON[hint]
