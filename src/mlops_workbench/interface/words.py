"""The words that a verb's options are typed as: what the sidebar offers to copy, what a job's record shows, and how an
error names them where they are typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.interface.spec import Verb

_OPTION = re.compile(r"\b[Tt]he option '?(?P<name>[a-z_]+)'?")


def line(verb: Verb, options: Mapping[str, Any]) -> str:
    """The line that parses to these options."""
    words = [verb.name]
    for arg in verb.args:
        value = options.get(arg.name)
        if value is None or value is False or value == [] or value == arg.default:
            continue
        for one in value if arg.repeat else [value]:
            text = "=".join(map(str, one)) if isinstance(one, tuple | list) else str(one)
            words += [arg.flag] * bool(arg.flags) + ([] if arg.switch else [shlex.quote(text)])
    return " ".join(words)


def spell(problem: MlopsError, verb: Verb) -> None:
    """Errors say "the option target", as Python and REST name it; where words are typed, as it is typed there."""
    flags = {arg.name: arg.flag for arg in verb.args if arg.flags}

    def flag(found: re.Match[str]) -> str:
        return flags.get(found["name"], found[0])

    problem.message = _OPTION.sub(flag, problem.message)
    problem.next_step = _OPTION.sub(flag, problem.next_step)
    problem.args = (problem.message,)
