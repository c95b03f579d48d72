"""A notebook's cell as code that the workbench can run: as IPython runs it, but errors come out."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.track.runs import Cell


def cell_of(shell: Any, text: str) -> Cell:
    """The cell, its magics translated; the value of its last expression is displayed as usual."""
    from mlops_workbench.track.runs import Cell

    def execute() -> None:
        code = shell.transform_cell(text)
        name = shell.compile.cache(code, raw_code=text)  # so that a traceback shows the lines
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), shell.user_ns)  # noqa: S102 - the user's own cell, run as asked
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), shell.user_ns)  # noqa: S307
            if not text.rstrip().endswith(";"):
                shell.displayhook(value)

    return Cell(text, execute, shell.user_ns)
