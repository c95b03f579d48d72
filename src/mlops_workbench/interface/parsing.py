"""Typed words to the options of a verb, by argparse: the same for magics and command line."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mlops_workbench.base.errors import UsageError, closest
from mlops_workbench.interface.checking import checked
from mlops_workbench.interface.spec import Arg, Verb

_WORD = re.compile(r"""\s+|(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*')+|.""", re.DOTALL)


def _without_comment(line: str) -> str:
    """The line up to a word that begins with `#`, as in a shell; in quotes it is no comment."""
    return next((line[: word.start()] for word in _WORD.finditer(line) if word[0].startswith("#")), line)


CODE_FILES = (".py", ".ipynb")
"""what ends a list of several values: the script after `--data X_train y_train`"""


class HelpRequested(Exception):
    """`--help` was among the words; `text` is what to show. Not an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class VerbParser(argparse.ArgumentParser):
    """argparse that raises our errors instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message[:1].lower()}{message[1:].rstrip('.')}.", f"Usage: {self.usage_line()}"
        )

    def usage_line(self) -> str:
        return " ".join(self.format_usage().split()).removeprefix("usage: ")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError((message or "").strip() or f"{self.prog} ended with status {status}.")

    def print_help(self, file: Any = None) -> NoReturn:
        raise HelpRequested(self.format_help())


def verb_parser(verb: Verb, prog: str) -> VerbParser:
    """The parser of one verb; `prog` is how this face calls it, for example `%mlops gate`."""
    parser = VerbParser(
        prog=prog,
        description=verb.summary[:1].upper() + verb.summary[1:] + ".",
        epilog=f"Example: {prog.rsplit(' ', 1)[0]} {verb.example}" if verb.example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for arg in verb.args:
        options: dict[str, Any] = {"help": _help(arg)}
        if arg.switch:
            options["action"] = "store_true"
        else:
            options["metavar"] = arg.metavar or (f"{{{','.join(arg.choices)}}}" if arg.choices else None)
            if arg.repeat:
                options |= {"action": "append", "default": []}
        if arg.flags:
            parser.add_argument(*arg.flags, dest=arg.name, required=arg.required, **options)
        else:
            if not arg.required:
                options["nargs"] = "?"
            parser.add_argument(arg.name, **options)
    if not prog.startswith("%"):
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=AS_JSON)
    return parser


AS_JSON = "print the result, or the error, as JSON"


def _help(arg: Arg) -> str:
    """With its default, where the text does not name it. argparse takes `%` for its own."""
    shown = (
        "" if arg.default in (None, False, (), "") or "default" in arg.help else f" (default: {arg.default})"
    )
    return f"{arg.help}{' (may be repeated)' if arg.repeat else ''}{shown}".replace("%", "%%")


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """A parsed line: the verb and the keywords of its method."""

    verb: Verb
    options: dict[str, Any]


def parse(
    words: str | Sequence[str],
    prog: str,
    verbs: Mapping[str, Verb],
    expand: Callable[[str], str] = str,
) -> ParsedLine:
    """One line or list of words to a `ParsedLine`. `prog`: how this face calls itself; `expand`: what it makes of a
    word, sentences for people excepted (a notebook puts variables in).

    Raises `UsageError` (unknown verb or option, missing or bad value) or `HelpRequested`.
    """
    if isinstance(words, str):
        try:
            words = shlex.split(_without_comment(words).rstrip().removesuffix("\\"))  # continued by nothing
        except ValueError as problem:
            raise UsageError(
                f"The line {words!r} cannot be read: {problem}.", "Close the quotation."
            ) from None
    if not words or words[0] in ("--help", "-h", "help"):
        raise HelpRequested(overview(prog, verbs))
    name, *rest = words
    verb = verbs.get(name)
    if verb is None:
        raise UsageError(f"There is no verb '{name}'.", closest(name, verbs) or f"See {prog} --help.")
    parser = verb_parser(verb, f"{prog} {name}")
    typed = vars(parser.parse_args(_joined(verb, rest)))
    prose = {arg.name for arg in verb.args if arg.prose}
    return ParsedLine(
        verb, checked(verb, {k: v if k in prose else _expanded(v, expand) for k, v in typed.items()})
    )


def _expanded(value: Any, expand: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [expand(one) for one in value]
    return expand(value) if isinstance(value, str) else value


def _joined(verb: Verb, words: Sequence[str]) -> list[str]:
    """`--why VALUE` as `--why=VALUE`: to argparse a value that begins with a dash would be an option.

    Raises `UsageError` for an option that is not known; argparse would complain of what is missing before that.
    """
    by_flag = {flag: arg for arg in verb.args for flag in arg.flags}
    known = [*by_flag, "--help", "-h"]
    joined: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option = word.partition("=")[0]
        arg = by_flag.get(word)
        if option == "--":
            return [*joined, word, *rest]
        if option.startswith("--") and option not in known:
            raise UsageError(f"The verb '{verb.name}' has no option '{option}'.", closest(option, known))
        if arg is not None and not arg.switch and rest and rest[0] not in known:
            joined.append(f"{arg.flag}={rest.pop(0)}")
            while (
                arg.several
                and rest
                and not rest[0].startswith("-")
                and Path(rest[0]).suffix not in CODE_FILES
            ):
                joined.append(f"{arg.flag}={rest.pop(0)}")
        else:
            joined.append(word)
    return joined


def overview(prog: str, verbs: Mapping[str, Verb]) -> str:
    """All verbs by stage, for `%mlops` and `mlops --help`."""
    lines = [f"{prog} VERB …   ({prog} VERB --help explains one)", ""]
    stage = ""
    for verb in verbs.values():
        head = verb.stage if verb.stage != stage else ""
        stage = verb.stage
        lines.append(f"  {head:<9} {verb.name:<12} {verb.summary}")
    return "\n".join(lines if prog.startswith("%") else [*lines, "", f"--json behind any verb: {AS_JSON}"])
