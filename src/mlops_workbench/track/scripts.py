"""A Python file as a cell: it runs as `python FILE` runs it."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.track.runs import Cell


def script(path: Path, arguments: Sequence[str] = ()) -> Cell:
    """The file as a cell with a namespace of its own, which is `__main__` while it runs.

    Raises `NotFound`, `InvalidData`.
    """
    if not path.is_file():
        raise NotFound(f"There is no script '{path}'.", "Give a Python file, or a cell.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise InvalidData(f"'{path}' is not a text in UTF-8: {problem}.", "Give a Python file.") from None
    # What it defines is found in `__main__`: by pickle, and by processes that multiprocessing starts.
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(path), __builtins__=__builtins__)

    def execute() -> None:
        with _as_python_does(main, path, arguments):
            try:
                # Without dont_inherit the script would get this file's `from __future__ import annotations`.
                exec(compile(text, str(path), "exec", dont_inherit=True), vars(main))  # noqa: S102 - run as asked
            except SystemExit as end:
                if end.code not in (None, 0):  # `sys.exit(main())` is how a script ends well
                    raise

    return Cell(text, execute, vars(main), script=True)


@contextlib.contextmanager
def _as_python_does(main: types.ModuleType, path: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Its arguments are `sys.argv`, its folder comes first where modules are looked for, and it is `__main__`."""
    folder = str(path.resolve().parent)
    before = sys.modules["__main__"], sys.argv
    sys.modules["__main__"], sys.argv = main, [str(path), *arguments]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv = before
        with contextlib.suppress(ValueError):  # the script may have taken it out itself
            sys.path.remove(folder)
