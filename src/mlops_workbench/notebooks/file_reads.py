"""Which files do recorded cells read? From their syntax alone, and only what is certain.

A read counts when it is sure to happen, when its path can be known, and when no code before it may have made the file.
What may have: code of modules other than the well-known ones, a file written to a place that cannot be known, a shell
command. From there on nothing is claimed.
"""

from __future__ import annotations

import ast
import os.path
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import PurePath

from mlops_workbench.track import slicing

_READS = re.compile(
    r"(?:pandas|polars|pyarrow\.\w+)\.(?:read|scan)_(?!sql|html|clipboard|gbq|database)\w+"
    r"|numpy\.(?:load|loadtxt|genfromtxt|fromfile)|joblib\.load"
)
_FILE_OPTIONS = {"filepath_or_buffer", "path", "path_or_buf", "io", "source", "file", "filename", "fname"}
_PATHS = {"pathlib.Path", "pathlib.PurePath", "os.path.join"}
_PATH_READS = {"read_text", "read_bytes", "open"}
_NO_FILE = re.compile(r"\A\s*\Z|://|[*?\[{<\n]|\A/(?:dev|proc|sys)/")
"""addresses, patterns, texts that are data themselves, and the system's own"""

_WELL_KNOWN = re.compile(
    r"(?:pandas|numpy|polars|pyarrow|sklearn|scipy|statsmodels|lightgbm|xgboost|catboost|imblearn|category_encoders"
    r"|matplotlib|seaborn|plotly|joblib|mlflow|IPython\.display|warnings|logging|random|math|statistics|time|datetime"
    r"|json|re|sys|io|pathlib|collections|itertools|functools|typing|dataclasses"
    r"|os\.(?:path|environ|getenv|makedirs|cpu_count))(?:\..*)?"
)
"""what makes files only where `_WRITES` says so"""
_RUN_CODE = {"exec", "eval", "compile", "__import__", "get_ipython"}
_WRITES = re.compile(
    r"open|dump|tofile|to_(?:csv|parquet|json|excel|pickle|feather|hdf|stata|xml|orc|html|file|netcdf|zarr)"
    r"|(?:write|sink)_\w+|save\w*|fetch_\w+|\w*(?:download|extract|retrieve)\w*"
)
_MAGIC = re.compile(
    r"^\s*(?:[\w., \[\]\"']+=\s*)?(?:!|%(?!(?:matplotlib|config|autoreload|(?:re)?load_ext|precision)\b))",
    re.MULTILINE,
)
_MAY_NOT_HAPPEN = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match, ast.AsyncWith),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.IfExp, ast.BoolOp),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def reads(cells: Sequence[str], needed: Collection[int], module_text: Callable[[str], str]) -> list[str]:
    """Paths, as they are written, of files that the needed ones of these cells are certain to read, and did not make.

    `cells`: in the order they ran; `needed`: the places of those that run again. A file that any cell before names
    otherwise than to read it is left alone. `module_text`: the code of a module, where it is the project's own.
    """
    names = _Names()
    mentioned: dict[ast.AST, str] = {}
    found: dict[str, None] = {}
    for place, cell in enumerate(cells):
        runs, source = place in needed, slicing.runnable(cell)
        try:
            tree = ast.parse(slicing.python(source))
        except (SyntaxError, ValueError):
            break
        if runs and _MAGIC.search(source):
            break
        for node, sure in _in_order(tree):
            names.see(node, sure and runs)
            if isinstance(node, ast.Import | ast.ImportFrom):
                mentioned[node] = "\n".join(map(module_text, _modules(node)))
                if runs and ("chdir" in mentioned[node] or node.names[0].name == "*"):
                    return list(found)
            elif isinstance(node, ast.Constant | ast.Name):
                mentioned[node] = names.path(node) or ""
            elif isinstance(node, ast.Assign) and names.is_path(node.targets):
                _forget(mentioned, node.value)  # it counts where the name is used
            elif isinstance(node, ast.Call):
                file = names.read(node)
                if file is not None:
                    _forget(mentioned, file)
                    path = names.path(file)
                    if path and sure and runs and _is_file(path) and not _named(path, mentioned.values()):
                        found[path] = None
                elif runs and names.may_make_files(node):
                    return list(found)
    return list(found)


def _in_order(node: ast.AST, sure: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes in the order in which they are evaluated, and whether they are sure to be."""
    sure = sure and not isinstance(node, _MAY_NOT_HAPPEN)
    if isinstance(node, ast.With):  # others than files may hide an error, or change the folder
        sure = sure and all(
            isinstance(item.context_expr, ast.Call) and _called(item.context_expr) == "open"
            for item in node.items
        )
    fields = [node.value, *node.targets] if isinstance(node, ast.Assign) else ast.iter_child_nodes(node)
    for child in fields:
        yield from _in_order(child, sure)
    yield node, sure


def _forget(mentioned: dict[ast.AST, str], expression: ast.expr) -> None:
    for node in ast.walk(expression):
        mentioned.pop(node, None)


def _is_file(path: str) -> bool:
    return not _NO_FILE.search(path)


def _named(path: str, texts: Iterable[str]) -> bool:
    """Whether one of these texts names the file, or is one of its folders."""
    file = PurePath(os.path.normpath(path))
    folders = {str(folder) for folder in file.parents} - {".", "/"}
    return any(file.name in text or os.path.normpath(text) in folders for text in texts if text)


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What it imports, or imports from."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    return ["." * node.level + (node.module or "")]


def _called(call: ast.Call) -> str:
    """The last part of the name that is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


class _Names:
    """What names stand for, as far as the nodes that were seen say."""

    def __init__(self) -> None:
        self.imports: dict[str, str] = {}
        self.paths: dict[str, str] = {}

    def see(self, node: ast.AST, sure: bool) -> None:
        if isinstance(node, ast.Import):
            for a in node.names:
                self.imports[a.asname or a.name.partition(".")[0]] = (
                    a.name if a.asname else a.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            self.imports |= {a.asname or a.name: f"{_modules(node)[0]}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self.paths.pop(node.id, None)
        elif isinstance(node, ast.Assign) and sure:
            match node.targets:
                case [ast.Name(id=name)] if path := self.path(node.value):
                    self.paths[name] = path

    def is_path(self, targets: Sequence[ast.expr]) -> bool:
        return isinstance(targets[0], ast.Name) and targets[0].id in self.paths

    def path(self, node: ast.AST) -> str | None:
        """A path that is written out: a text, `Path` and `os.path.join` of texts, or a name that was given one."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            return self.paths.get(node.id)
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and self.dotted(node.func) in _PATHS and not node.keywords:
            parts = node.args
        texts = [text for part in parts if (text := self.path(part)) is not None]
        return os.path.join(*texts) if texts and len(texts) == len(parts) else None

    def dotted(self, node: ast.expr) -> str | None:
        """`pd.read_csv` → `pandas.read_csv`, by the imports seen; None for what is no dotted name."""
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return before and f"{before}.{node.attr}"
        return self.imports.get(node.id, node.id) if isinstance(node, ast.Name) else None

    def read(self, call: ast.Call) -> ast.expr | None:
        """The expression for the file that a call reads."""
        options = {option.arg: option.value for option in call.keywords}
        first = call.args[0] if call.args else next((options[n] for n in _FILE_OPTIONS & {*options}), None)
        name = self.dotted(call.func)
        if name == "open":
            return first if _reads_only([*call.args[1:2], *filter(None, [options.get("mode")])]) else None
        if name and _READS.fullmatch(name):
            return None if "filesystem" in options else first
        if isinstance(call.func, ast.Attribute) and call.func.attr in _PATH_READS:
            modes = [*call.args[:1], *filter(None, [options.get("mode")])] if call.func.attr == "open" else []
            return call.func.value if self.path(call.func.value) and _reads_only(modes) else None
        return None

    def may_make_files(self, call: ast.Call) -> bool:
        """Whether a call may make files whose names are not written beside it."""
        root: ast.expr = call.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and (
            root.id in _RUN_CODE
            or (root.id in self.imports and not _WELL_KNOWN.fullmatch(self.dotted(call.func) or ""))
        ):
            return True
        if not _WRITES.fullmatch(_called(call)) or not (call.args or call.keywords):
            return False
        receiver = [call.func.value] if isinstance(call.func, ast.Attribute) else []
        places = [self.path(expression) for expression in (*call.args, *receiver)]
        return not any(path and PurePath(path).suffix for path in places)


def _reads_only(modes: Sequence[ast.expr]) -> bool:
    """Whether the mode of an `open` (none: it is left out) can be known to be one for reading."""
    return all(isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wax") for mode in modes)
