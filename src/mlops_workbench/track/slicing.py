"""Which of the cells that were run before does a cell depend on? A backward slice over names.

It leans to the safe side: a cell that may have changed a needed value is kept (an assignment to a part of it, a call
of one of its methods, a call that it was handed to), and so is every cell that sets a seed.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

_MAGIC_LINE = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
_MAGIC_VALUE = re.compile(r"^(\s*[\w., \[\]\"']+=\s*)[%!].*$", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\A\s*%%(\w+)(?:[^\n]*\\[ \t]*\n)*[^\n]*\n?")
_PYTHON_CELLS = {"mlops", "time", "timeit", "capture", "prun"}
"""cell magics whose body is Python that runs here"""
_SEEDS = {"seed", "manual_seed", "set_seed", "set_random_seed", "seed_everything"}
_HARMLESS = {"print", "display", "len", "type", "repr", "str", "isinstance"}
_BINDERS = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
_LEFT_OUT = re.compile(
    r"^\s*(?:%mlops\b|%(?:re)?load_ext\s+(?:mlops_workbench|mlops_magics)\b|[%!]\s*(?:pip|uv|conda|mamba)\b).*$",
    re.MULTILINE,
)


def body(cell: str) -> str:
    """A cell's Python, without the line of its cell magic; empty when the magic's body is not Python."""
    found = _CELL_MAGIC.match(cell)
    if found is None:
        return cell
    return cell[found.end() :] if found[1] in _PYTHON_CELLS else ""


def runnable(cell: str) -> str:
    """A cell as it can be run again elsewhere: without its cell magic, verbs of the workbench and installations."""
    return _LEFT_OUT.sub("", body(cell)).strip("\n")


def python(cell: str) -> str:
    """A cell with its magics taken for nothing, so that its names can be read."""
    return _MAGIC_LINE.sub(r"\1pass", _MAGIC_VALUE.sub(r"\1None", body(cell)))


@dataclass
class Names:
    """What a piece of code does with names at its top level. `sure`: assigned whatever comes."""

    uses: set[str] = field(default_factory=set)
    makes: set[str] = field(default_factory=set)
    sure: set[str] = field(default_factory=set)
    may_change: set[str] = field(default_factory=set)
    seeds: bool = False
    readable: bool = True


def names(cell: str) -> Names:
    """The names of a cell. What is not Python is `readable=False`."""
    try:
        tree = ast.parse(python(cell))
    except (SyntaxError, ValueError):
        return Names(readable=False)
    found = Names()
    for node in ast.walk(tree):
        _look(node, found)
    for statement in tree.body:
        if isinstance(
            statement,
            ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef,
        ):
            found.sure |= _bound(statement)
    found.uses -= set(dir(builtins))
    found.sure -= found.uses & found.sure  # `x = x + 1` needs the x of before
    return found


def _look(node: ast.AST, found: Names) -> None:
    if isinstance(node, ast.Name):
        (found.uses if isinstance(node.ctx, ast.Load) else found.makes).add(node.id)
    elif isinstance(
        node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ):
        found.makes |= _bound(node)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        found.uses.add(node.target.id)
    elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        found.may_change |= _root(node)
    elif isinstance(node, ast.Call):
        found.seeds = found.seeds or _called(node) in _SEEDS
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        if getattr(call.func, "id", "") in _HARMLESS:
            return
        found.may_change |= _root(call.func)
        for value in (*call.args, *(k.value for k in call.keywords)):
            found.may_change |= {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}


def _root(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _bound(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.partition(".")[0] for a in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return {
        n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


_READING = re.compile(r"(?:read|scan)_\w+|load|loadtxt|genfromtxt|fromfile")


def with_recorded(cell: str, given: Collection[str]) -> str:
    """The cell without the statements that only read a file into one of these names, which it gets from a record.

    A name that the cell changes later keeps its statement: what was recorded is how the cell left it.
    """
    try:
        tree = ast.parse(python(cell))
    except (SyntaxError, ValueError):
        return cell
    changed = names(cell).may_change
    bound = [
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    head = len(cell) - len(body(cell))
    lines = cell[head:].splitlines(keepends=True)
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                name in given and name not in changed and bound.count(name) == 1 and _reads(value)
            ):
                first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
                if all(other is statement or not _shares_lines(other, statement) for other in tree.body):
                    lines[first] = f"# {name}: as it was recorded\n"
                    lines[first + 1 : last] = ["\n"] * (last - first - 1)
    return cell[:head] + "".join(lines)


def _reads(value: ast.expr) -> bool:
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    return any(_READING.fullmatch(_called(call)) for call in calls)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _shares_lines(one: ast.stmt, other: ast.stmt) -> bool:
    return one.lineno <= (other.end_lineno or other.lineno) and other.lineno <= (one.end_lineno or one.lineno)


def needed(earlier: Sequence[str], last: str, given: Collection[str] = ()) -> list[int]:
    """Places of the earlier cells (in the order they ran) that `last` depends on.

    `given`: names that it gets anyway.
    """
    final = names(last)
    wanted = (final.uses | final.may_change) - set(given) - final.sure
    late: set[str] = set()
    while True:
        kept, unresolved = _slice(earlier, wanted | late, set(given))
        # A function may use what a cell after it defines: only when it is called must that be there.
        if unresolved <= late:
            return kept
        late |= unresolved


def _slice(earlier: Sequence[str], wanted: set[str], given: set[str]) -> tuple[list[int], set[str]]:
    """Places of the cells, and the names that no cell before their use defines."""
    kept: list[int] = []
    for place in range(len(earlier) - 1, -1, -1):
        found = names(earlier[place])
        if found.seeds or not found.readable or (found.makes | found.may_change) & wanted:
            kept.append(place)
            wanted = (wanted - found.sure) | ((found.uses | found.may_change) - given)
    return kept[::-1], wanted
