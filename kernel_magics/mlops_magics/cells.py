"""A notebook's cell as code that the workbench can run: as IPython runs it, but errors come out."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook

from mlops_workbench.base import tracebacks
from mlops_workbench.base.errors import UsageError

if TYPE_CHECKING:
    from mlops_workbench.track.runs import Cell


def cell_of(shell: Any, text: str, typed: str, earlier: Sequence[str]) -> Cell:
    """The cell, its magics translated; the value of its last expression is displayed as usual.

    `typed`: with its magic's line; `earlier`: the cells before it.

    Raises `UsageError` for a cell that awaits: the kernel's event loop is busy with the magic itself.
    """
    from mlops_workbench.track.runs import Cell

    code = shell.transform_cell(text)
    name = shell.compile.cache(code, raw_code=text)  # so that a traceback shows the lines
    # What earlier cells imported from __future__ counts; what this file did must not leak.
    flags = shell.compile.flags

    def compiled(tree: Any, mode: str) -> Any:
        return compile(tree, name, mode, flags, dont_inherit=True)

    if _awaits(code, name, flags):
        raise UsageError("A tracked cell cannot await.", "Await in a cell before it.")

    def execute() -> Any:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compiled(tree, "exec"), shell.user_ns)  # noqa: S102 - the user's own cell, run as asked
        if last is None:
            return None
        value = eval(compiled(ast.Expression(last.value), "eval"), shell.user_ns)  # noqa: S307
        if not DisplayHook.semicolon_at_end_of_expression(text):
            shell.displayhook(value)
        return value

    return Cell(
        text,
        execute,
        shell.user_ns,
        python=code,
        typed=typed.rstrip("\n"),
        earlier=tuple(earlier),
        watching=partial(_watching, shell),
    )


@contextmanager
def _watching(shell: Any, shown: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """What is displayed while this lasts is passed to `shown` too: by `display` and `plt.show`, or as a last value."""
    publisher, hook = shell.display_pub, shell.displayhook
    publish, write = publisher.publish, hook.write_format_data

    def published(data: Any, *rest: Any, **options: Any) -> Any:
        shown(data)
        return publish(data, *rest, **options)

    def written(format_dict: Any, *rest: Any, **options: Any) -> Any:
        shown(format_dict)
        return write(format_dict, *rest, **options)

    publisher.publish, hook.write_format_data = published, written
    try:
        yield
    finally:
        publisher.publish, hook.write_format_data = publish, write


def shown_as_theirs(shell: Any, problem: Exception) -> Exception:
    """The error of a person's code, which IPython then shows as it shows others: their frames, then our sentence."""
    frames, said = tracebacks.frames_of_code(problem), tracebacks.sentence(problem)
    shown = problem
    if (
        frames is None
    ):  # their code did not compile; of a SyntaxError IPython would show all frames, which are ours
        found = shell.SyntaxTB.structured_traceback(type(problem), problem, [])
        shown = type(type(problem).__name__, (Exception,), {})(str(problem))
    else:
        found = shell.InteractiveTB.structured_traceback(type(problem), problem, frames, tb_offset=0)
    shown._render_traceback_ = lambda: [*found, said]  # type: ignore[attr-defined]  # IPython asks for it
    return shown.with_traceback(None)


def _awaits(code: str, name: str, flags: int) -> bool:
    """Whether it compiles only as the body of a coroutine. What does not compile at all fails when it is run."""
    try:
        made = compile(code, name, "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return bool(made.co_flags & inspect.CO_COROUTINE)
