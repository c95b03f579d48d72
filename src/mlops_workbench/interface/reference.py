"""`docs/verbs.md`, made from the verbs."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_workbench.interface.spec import Verb


def reference(verbs: Mapping[str, Verb]) -> str:
    """`docs/verbs.md`: every verb and option, as Markdown."""
    parts = [
        "# Verbs",
        "",
        "Made from the verbs' signatures by `make docs`; a test compares. The same words follow `%mlops` in a notebook",
        "and `mlops` on a command line. The keywords of `Workbench` methods, and of the JSON of",
        "`POST /mlops/api/verbs/VERB`, are the options' long names with `_` for `-`; where it is another one, it",
        "stands behind the option.",
    ]
    stage = ""
    for verb in verbs.values():
        if verb.stage != stage:
            stage = verb.stage
            parts += ["", f"## {stage}"]
        positionals = " ".join(
            a.name.upper() if a.required else f"[{a.name.upper()}]" for a in verb.args if not a.flags
        )
        parts += ["", f"### {verb.name}", "", f"`{verb.name} {positionals}`".replace(" `", "`"), ""]
        parts += [f"{verb.summary[:1].upper()}{verb.summary[1:]}."]
        if verb.args:
            parts += ["", "| option | meaning |", "|---|---|"]
        for arg in verb.args:
            name = ", ".join(f"`{f}`" for f in arg.flags) or f"`{arg.name.upper()}`"
            notes = " (required)" if arg.required else " (may be repeated)" if arg.repeat else ""
            if arg.flags and "--" + arg.name.replace("_", "-") not in arg.flags:
                notes += f" (keyword `{arg.name}`)"
            if arg.flags and arg.default not in (None, False, ()):
                notes += f" (default {arg.default})"
            parts.append(f"| {name} | {arg.help.replace('|', chr(92) + '|')}{notes} |")
        if verb.example:
            parts += ["", f"    %mlops {verb.example}"]
    return "\n".join(parts) + "\n"
