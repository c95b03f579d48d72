"""`jupyter_ext/src/generated/verbs.ts`: what each verb is given, and what it does, as the front end's types."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_workbench.interface.spec import Arg, Verb

_NUMBERS = {"number", "version", "port", "positive", "share", "float", "cpus"}


def module(verbs: Mapping[str, Verb]) -> str:
    """The TypeScript source."""
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


def _comment(arg: Arg) -> str:
    return arg.help.replace("*/", "* /")


def _mark(arg: Arg) -> str:
    return "" if arg.required else "?"


def _type(arg: Arg) -> str:
    if arg.switch:
        one = "boolean"
    elif arg.choices:
        one = " | ".join(f"'{choice}'" for choice in arg.choices)
    else:
        one = "number" if arg.kind in _NUMBERS else "string"
    return f"{one if ' ' not in one else f'({one})'}[]" if arg.repeat else one
