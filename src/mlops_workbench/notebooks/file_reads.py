"""Which files do recorded cells read? From their syntax alone, and only what is certain.

A read counts when it is sure to happen and names its file as a literal. It is left alone when code before it may have
made the file: another mention of its name or folder, a file written to a place that is not a literal, a shell command,
a download, or a function of one of the project's own modules.
"""

from __future__ import annotations

import ast
import os.path
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlops_workbench.track import slicing

_READS = re.compile(
    r"(?:pandas|polars|geopandas|pyarrow\.\w+|dask\.dataframe)\.(?:read|scan)_(?!sql|html|clipboard|gbq|database)\w+"
    r"|numpy\.(?:load|loadtxt|genfromtxt|fromfile)|joblib\.load"
)
_OPENS = re.compile(r"(?:(?:builtins|io|gzip|bz2|lzma|codecs)\.)?open")
_PATHS = {"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "os.path.join"}
_PATH_READS = {"read_text", "read_bytes"}
_FILE_OPTIONS = {"filepath_or_buffer", "path", "path_or_buf", "io", "source", "file", "filename", "fname"}

_WRITES = re.compile(
    r"to_(?:csv|parquet|json|excel|pickle|feather|hdf|stata|xml|orc|html|file|netcdf|zarr)|(?:write|sink)_\w+|save\w*"
)
_MAKES_FILES = re.compile(
    r"(?:subprocess|shutil|runpy)\.\w+|os\.(?:system|popen|chdir|rename|replace|link|symlink|exec\w+|spawn\w+)"
    r"|(?:joblib|skops\.io)\.dump|exec|.*download.*|.*urlretrieve"
)
_MAKING_METHODS = re.compile(r"extractall|run_line_magic|run_cell_magic|\w*download\w*")
_LINE_MAGIC = re.compile(r"^[^#\n'\"]*?(?:^|=)\s*(?:!|%(?!%))(\w*)", re.MULTILINE)
_HARMLESS_MAGICS = {
    "matplotlib",
    "config",
    "autoreload",
    "load_ext",
    "reload_ext",
    "env",
    "set_env",
    "precision",
}
_NO_FILE = re.compile(r"\A\s*\Z|://|[*?\[{<\n]|\A/(?:dev|proc|sys)/")
"""addresses, patterns, texts that are data themselves, and the system's own"""

Place = tuple[int, int, int]
"""cell, line, column"""


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file that a cell reads; `cell` counts from 1, `path` is as it is written there."""

    cell: int
    path: str


def reads(cells: Sequence[str], needed: Collection[int], own_module: Callable[[str], bool]) -> list[FileRead]:
    """The files that the needed ones of these cells, which ran in this order, are certain to read and not to have made.

    `needed`: their places. `own_module`: whether a top-level module is the project's own.
    """
    looked = _Look(own_module)
    found: dict[FileRead, None] = {}
    for number, source in enumerate(cells):
        text = slicing.runnable(source)
        try:
            tree = ast.parse(slicing.python(text))
        except (SyntaxError, ValueError):
            break  # whatever it does, the cells after it may read what it made
        looked.at(number, tree)
        if number not in needed:
            continue
        looked.makers += [
            (number, text.count("\n", 0, line.start(1)) + 1, 0)
            for line in _LINE_MAGIC.finditer(text)
            if line[1] not in _HARMLESS_MAGICS
        ]
        for path, place in looked.certain(tree.body, set()):
            if not _NO_FILE.search(path) and not looked.may_have_made(path, place):
                found[FileRead(number + 1, path)] = None
    return list(found)


class _Look:
    """What has been seen of the cells so far."""

    def __init__(self, own_module: Callable[[str], bool]) -> None:
        self.own_module = own_module
        self.cell = 0
        self.imports: dict[str, str] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.makers: list[Place] = []
        """where code ends that may make any file"""
        self.mentions: list[tuple[str, Place]] = []

    def at(self, cell: int, tree: ast.Module) -> None:
        self.cell = cell
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for a in node.names:
                    self.imports[a.asname or a.name.partition(".")[0]] = (
                        a.name if a.asname else a.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                self.imports |= {a.asname or a.name: f"{module}.{a.name}" for a in node.names}
        of_reads: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                if (argument := self._read(node)) is not None:
                    of_reads |= {id(part) for part in ast.walk(argument)}
                elif self._makes_files(node):
                    self.makers.append((cell, node.end_lineno or 0, node.end_col_offset or 0))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in of_reads:
                self.mentions.append((node.value, (cell, node.lineno, node.col_offset)))
        self.functions |= {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef)}

    def may_have_made(self, path: str, place: Place) -> bool:
        """Whether something before that place may have made the file."""
        if any(maker <= place for maker in self.makers):
            return True
        of = PurePosixPath(os.path.normpath(path))
        folders = {str(parent) for parent in of.parents} - {".", "/"}
        return any(
            PurePosixPath(text).name == of.name or os.path.normpath(text) in folders
            for text, at in self.mentions
            if text and at < place
        )

    def certain(self, body: Iterable[ast.stmt], inside: set[str]) -> Iterator[tuple[str, Place]]:
        """Literal paths that are read whatever comes, with where. `inside`: functions that are being followed."""
        for statement in body:
            for node in _sure(statement):
                if not isinstance(node, ast.Call):
                    continue
                place = (self.cell, node.lineno, node.col_offset)
                argument = self._read(node)
                if argument is not None and (path := self._literal(argument)) is not None:
                    yield path, place
                name = getattr(node.func, "id", "")
                function = self.functions.get(name)
                if function is not None and name not in inside and _runs_when_called(function):
                    for path, _ in self.certain(function.body, inside | {name}):
                        yield path, place
            if inside and any(isinstance(node, ast.Return) for node in ast.walk(statement)):
                return

    def _read(self, call: ast.Call) -> ast.expr | None:
        """The expression for the file that a call reads."""
        name = self._dotted(call.func)
        first = call.args[0] if call.args else None
        if name and _OPENS.fullmatch(name):
            mode = _mode(call, 1)
            first = first or next((k.value for k in call.keywords if k.arg in _FILE_OPTIONS), None)
            return first if mode is not None and not set(mode) & set("wax") else None
        if name and _READS.fullmatch(name):
            return first or next((k.value for k in call.keywords if k.arg in _FILE_OPTIONS), None)
        if isinstance(call.func, ast.Attribute) and self._literal(call.func.value) is not None:
            is_path = not isinstance(call.func.value, ast.Constant)
            if is_path and call.func.attr in _PATH_READS:
                return call.func.value
            if is_path and call.func.attr == "open":
                mode = _mode(call, 0)
                return call.func.value if mode is not None and not set(mode) & set("wax") else None
        return None

    def _makes_files(self, call: ast.Call) -> bool:
        """Whether a call may make files whose names are not written beside it."""
        name, origin = self._dotted(call.func) or "", _origin(call.func)
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        module = self.imports.get(origin.id, "") if isinstance(origin, ast.Name) else ""
        if module and (module.startswith(".") or self.own_module(module.partition(".")[0])):
            return True
        if _MAKES_FILES.fullmatch(name) or _MAKING_METHODS.fullmatch(method):
            return True
        if _OPENS.fullmatch(name):  # to write: what it reads is no concern here
            return not call.args or self._literal(call.args[0]) is None
        if method == "open":
            return _mode(call, 0) != "r" and self._literal(origin) is None
        if _WRITES.fullmatch(method) and (call.args or call.keywords):
            return all(self._literal(place) is None for place in (*call.args, origin))
        return False

    def _literal(self, node: ast.expr) -> str | None:
        """A path that is written out: a text, or `Path` and `os.path.join` of texts."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and self._dotted(node.func) in _PATHS and not node.keywords:
            parts = node.args
        texts = [text for part in parts if (text := self._literal(part)) is not None]
        return os.path.join(*texts) if texts and len(texts) == len(parts) else None

    def _dotted(self, node: ast.expr) -> str | None:
        """`pd.read_csv` → `pandas.read_csv`, by the imports seen; None for what is no dotted name."""
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return before and f"{before}.{node.attr}"
        return self.imports.get(node.id, node.id) if isinstance(node, ast.Name) else None


def _origin(node: ast.expr) -> ast.expr:
    """What `a.b.c` begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _mode(call: ast.Call, place: int) -> str | None:
    """The mode of an `open`; None when it is not a literal."""
    stated = call.args[place] if len(call.args) > place else None
    stated = next((k.value for k in call.keywords if k.arg == "mode"), stated)
    if stated is None:
        return "r"
    return str(stated.value) if isinstance(stated, ast.Constant) else None


def _sure(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement that are evaluated whatever comes: no branches, no loops' bodies, no definitions."""
    if isinstance(node, ast.For | ast.AsyncFor):
        yield from _sure(node.iter)
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        yield from _sure(node.generators[0].iter)
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield from _sure(node.test)
    elif isinstance(node, ast.BoolOp):
        yield from _sure(node.values[0])
    elif not isinstance(
        node,
        ast.Try
        | ast.TryStar
        | ast.Match
        | ast.Lambda
        | ast.ClassDef
        | ast.FunctionDef
        | ast.AsyncFunctionDef,
    ):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _sure(child)


def _runs_when_called(function: ast.FunctionDef) -> bool:
    return not function.decorator_list and not any(
        isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)
    )
