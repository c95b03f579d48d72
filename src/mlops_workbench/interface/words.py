"""The words that a verb's options are typed as: what the sidebar offers to copy, and what a job's record shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from mlops_workbench.interface.spec import Verb


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
