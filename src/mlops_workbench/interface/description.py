"""A verb's description, derived from the signature of its function: nothing about an option is written twice.

Parameters before the `*` are positional (optional ones have a default), those after it are options: `fast_only` is
`--fast-only`, unless its `Opt` spells it otherwise. `bool` is a switch, a `Sequence` may be repeated, a `Literal` has
choices.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mlops_workbench.interface.parsers import number

Effect = Literal["reads", "writes", "kernel"]
Offer = Literal["model", "version", "variable", "run", "job", "file", "code", "contract", "export", ""]


@dataclass(frozen=True, slots=True)
class Opt:
    """What a signature cannot say about a parameter; stands in its `Annotated`. An outer one completes an inner one.

    `flags`: further or other spellings; a short one alone (`-n`) is added to the one made from the name.
    `parse`: from the typed word to the value; raises `argparse.ArgumentTypeError`. `offer`: what completion proposes.
    `writes`: with this option (or with these of its values) a reading verb changes something.
    """

    help: str = ""
    flags: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    metavar: str = ""
    offer: Offer = ""
    writes: bool | tuple[str, ...] = False
    output: bool = False
    """names a file that is written: it need not exist"""
    several: bool = False
    """what may be repeated may also be given at once: `--data X_train y_train`"""
    prose: bool = False
    """a sentence for people: a notebook puts no variables into it"""


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a verb. Without `flags` it is positional."""

    name: str
    help: str
    flags: tuple[str, ...]
    parse: Callable[[str], Any]
    default: Any
    required: bool
    switch: bool
    repeat: bool
    choices: tuple[str, ...] | None
    text: bool
    """a text: what is no text is wrong. Others are parsed, or are objects (a DataFrame, a model)"""
    metavar: str
    offer: Offer
    writes: bool | tuple[str, ...]
    output: bool
    several: bool
    prose: bool

    @property
    def flag(self) -> str:
        """Its longest spelling; empty for a positional one."""
        return max(self.flags, key=len, default="")

    @property
    def kind(self) -> str:
        """The type of one value, for forms and documents."""
        if self.switch:
            return "switch"
        if self.choices:
            return "choice"
        return "text" if self.parse is str else self.parse.__name__


@dataclass(frozen=True)
class Verb:
    """One verb. `effect`: what it does to the records, or that it acts on a notebook's variable; `long`: REST runs it
    as a job. `work`: what the job's process does, if that is not the verb itself."""

    name: str
    stage: str
    effect: Effect
    function: Callable[..., Any]
    long: bool = False
    example: str = ""
    work: Callable[..., Any] | None = None

    @cached_property
    def summary(self) -> str:
        """The first line of the docstring, as a phrase: without a capital and a full stop."""
        line = (self.function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return line[:1].lower() + line[1:]

    @cached_property
    def args(self) -> tuple[Arg, ...]:
        return tuple(_derived(self.function))

    def arg(self, name: str) -> Arg:
        return next(arg for arg in self.args if arg.name == name)

    @property
    def in_kernel(self) -> bool:
        return self.effect == "kernel"


def _derived(function: Callable[..., Any]) -> Sequence[Arg]:
    names = vars(sys.modules[function.__module__])
    _, *parameters = inspect.signature(function).parameters.values()
    return [_arg(parameter, _evaluated(parameter.annotation, names)) for parameter in parameters]


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """Only parameters are evaluated: a result's type is imported for the type checker alone."""
    return eval(annotation, names) if isinstance(annotation, str) else annotation  # noqa: S307


_PARSERS: dict[Any, Callable[[str], Any]] = {int: number, float: float}


def _arg(parameter: inspect.Parameter, annotation: Any) -> Arg:
    kind, opt = _unwrapped(annotation)
    repeat = get_origin(kind) in (list, tuple, Sequence) or kind in (list, tuple)
    if repeat:
        kind, inner = _unwrapped(get_args(kind)[0])
        opt = _completed(opt, inner)
    choices = get_args(kind) if get_origin(kind) is Literal else None
    empty = parameter.default is inspect.Parameter.empty
    return Arg(
        name=parameter.name,
        help=opt.help,
        flags=_flags(parameter, opt.flags),
        parse=opt.parse or _PARSERS.get(kind, str),
        default=None if empty else parameter.default,
        required=empty,
        switch=kind is bool,
        repeat=repeat,
        choices=choices,
        text=kind is str and opt.parse is None,
        metavar=opt.metavar,
        offer=opt.offer,
        writes=opt.writes,
        output=opt.output,
        several=opt.several,
        prose=opt.prose,
    )


def _flags(parameter: inspect.Parameter, opt: tuple[str, ...]) -> tuple[str, ...]:
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        return ()
    if any(flag.startswith("--") for flag in opt):
        return opt
    return ("--" + parameter.name.replace("_", "-"), *opt)


def _unwrapped(annotation: Any) -> tuple[Any, Opt]:
    """The bare type, and what the `Opt`s around and inside `| None` say together."""
    opt = Opt()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *notes = get_args(annotation)
            for note in reversed(notes):
                opt = _completed(opt, note) if isinstance(note, Opt) else opt
        elif get_origin(annotation) in (Union, types.UnionType):
            # str | Cell: a face types the first; what else it may be comes from Python alone
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            return annotation, opt


def _completed(outer: Opt, inner: Opt) -> Opt:
    lacking = {f.name: getattr(inner, f.name) for f in fields(Opt) if not getattr(outer, f.name)}
    return replace(outer, **lacking)
