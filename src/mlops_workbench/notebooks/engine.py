"""papermill, wrapped: the only module that imports it. Strict parameters, progress by cell, a truthful notebook.

papermill logs an unknown parameter and goes on, and leaves every cell marked `completed` when a kernel dies
or a cell takes too long. Here the first is an error before anything runs, and the second is stamped
into the output notebook.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import JobFailed, NotFound, UsageError, closest
from mlops_workbench.base.progress import Progress

_TYPES = {"int": int, "float": float, "bool": bool, "str": str}
UNKNOWN = "unknown"
_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.USub, ast.UAdd),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod),
)
"""of a default such as `24 * 60`: no power, which could take for ever"""
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A notebook's parameter as its `parameters` cell declares it: `month: int = 3  # month to train up to`."""

    name: str
    type: str
    default: str
    help: str


def _papermill() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own imports
        import papermill

    return papermill


def find_notebook(path: Path) -> Path:
    """Raises `NotFound`, or `UsageError` for a file that is not a notebook with a kernel."""
    if path.suffix != ".ipynb":
        raise UsageError(f"'{path}' must be a notebook (.ipynb).")
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.ipynb")] if path.parent.is_dir() else []
        raise NotFound(f"There is no notebook '{path}'.", closest(path.name, near))
    _require_kernel(path)
    return path.resolve()


def kernel_of(notebook: Mapping[str, Any]) -> str:
    """The kernel that a notebook names. Raises ValueError for what is no notebook, or names none."""
    if not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no cells")
    name = ((notebook.get("metadata") or {}).get("kernelspec") or {}).get("name")
    if not name:
        raise ValueError("it names no kernel")
    return str(name)


def _require_kernel(path: Path) -> None:
    try:
        name = kernel_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError) as problem:
        raise UsageError(
            f"'{path}' is not a notebook with a kernel: {' '.join(str(problem).split())[:200]}.",
            "Open it in JupyterLab, choose a kernel, and save it.",
        ) from None
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if name not in known:
        raise NotFound(
            f"'{path}' wants the kernel '{name}', which is not installed here.", closest(name, known)
        )


def declared(notebook: Path) -> dict[str, Parameter]:
    """The parameters that the notebook's cell tagged `parameters` declares."""
    papermill = _papermill()
    try:
        found = papermill.inspect_notebook(str(notebook))
    except Exception as problem:  # it is JSON and names a kernel, but is no notebook that papermill can read
        raise UsageError(
            f"'{notebook}' cannot be read as a notebook: {' '.join(str(problem).split())[:200]}.",
            "Open it in JupyterLab and save it.",
        ) from None
    return {
        name: Parameter(name, _type_of(raw), raw["default"], raw["help"] or "") for name, raw in found.items()
    }


def _type_of(raw: Mapping[str, Any]) -> str:
    stated = raw["inferred_type_name"]
    if stated and stated != "None":
        return str(stated)
    try:
        tree = ast.parse(raw["default"], mode="eval")
    except SyntaxError:
        return UNKNOWN
    try:
        return type(ast.literal_eval(tree)).__name__
    except ValueError:
        pass
    if all(isinstance(node, _ARITHMETIC) for node in ast.walk(tree)):
        with contextlib.suppress(ArithmeticError, TypeError):
            return type(eval(compile(tree, "<default>", "eval"), {"__builtins__": {}})).__name__  # noqa: S307
    return UNKNOWN


def typed(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Texts to the types that the notebook declares. Raises `UsageError` for an unknown name or a wrong value."""
    known = declared(notebook)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if not known:
            raise UsageError(
                f"The notebook '{notebook.name}' has no cell tagged 'parameters', so it takes none. Got '{name}'.",
                "In JupyterLab select the cell that sets them and add the tag 'parameters' in the property inspector "
                "(the gears on the right).",
            )
        if name not in known:
            raise UsageError(
                f"The notebook '{notebook.name}' has no parameter '{name}'.",
                closest(name, known),
            )
        values[name] = _convert(known[name], value)
    return values


def _convert(parameter: Parameter, value: Any) -> Any:
    if parameter.type == UNKNOWN and isinstance(value, str):
        raise UsageError(
            f"Of which type the parameter '{parameter.name}' is cannot be read from its default, {parameter.default}.",
            f"Annotate it in the notebook: {parameter.name}: int = {parameter.default}",
        )
    kind = _TYPES.get(parameter.type)
    if kind is bool and str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    try:
        if kind in (int, float, str):
            return kind(value)
        if kind is None:  # lists and dicts are written as Python values
            return ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        pass
    raise UsageError(f"The parameter '{parameter.name}' must be {parameter.type}. Got {value!r} instead.")


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    progress: Progress,
    timeout: int | None = None,
) -> None:
    """Run a notebook in its own folder and keep the executed one, whatever happens.

    `timeout`: seconds a cell. Raises `JobFailed` (a cell raised, the kernel died, a cell took too long); the
    output notebook then says so too. Changes the working folder while it runs: one process a notebook.
    """
    papermill = _papermill()
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    steps = _Steps(progress)
    _register(papermill)
    os.environ["IPYNB_FILE"] = str(notebook)  # MLflow records it as the run's source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters=dict(parameters),
                engine_name="mlops",
                cwd=str(notebook.parent),
                progress_bar=False,
                execution_timeout=timeout,
                extra_arguments=["--log-level=ERROR"],  # a kernel warns that loopback is not encrypted
                on_step=steps,
            )
    except papermill.PapermillExecutionError:
        if (failed := _failure(output)) is None:
            return
        number, reason = failed
        raise JobFailed(f"Cell {number} of '{notebook.name}' failed: {reason}") from None
    except DeadKernelError:
        sentence = f"The kernel died in cell {steps.number} of '{notebook.name}' (out of memory, or killed)."
        stamp(output, steps.index, sentence)
        raise JobFailed(sentence) from None
    except CellTimeoutError:
        sentence = f"Cell {steps.number} of '{notebook.name}' took longer than {timeout} s."
        stamp(output, steps.index, sentence)
        raise JobFailed(sentence) from None


_MAY_RAISE = "raises-exception"
_PAPERMILL_MARK = "papermill-error-cell-tag"


def _failure(output: Path) -> tuple[int, str] | None:
    """Number of the code cell that failed, and its reason; None if all that raised were tagged as ones that may.

    papermill blames the first cell with an error, and cannot name that of a magic: it is only printed.
    """
    import nbformat

    notebook = nbformat.read(str(output), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        if _MAY_RAISE in cell.metadata.get("tags", ()):
            continue
        errors = [o for o in cell.outputs if o.output_type == "error" and not _ends_well(o)]
        if errors:
            return number, f"{errors[0].ename}: {errors[0].evalue}"
        if cell.metadata.get("papermill", {}).get("exception"):
            printed = "".join(
                o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr"
            )
            return number, (printed.strip().splitlines() or ["it raised an error without a message"])[-1]
    notebook.cells = [c for c in notebook.cells if _PAPERMILL_MARK not in c.metadata.get("tags", ())]
    notebook.metadata.setdefault("papermill", {})["exception"] = None
    nbformat.write(notebook, str(output))
    return None


def _ends_well(error: Any) -> bool:
    return bool(error.ename == "SystemExit" and error.evalue in ("", "0"))


class _Steps:
    """Follows which cell runs, and reports it with the heading above it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.index = 0
        self.number = 0

    def __call__(self, notebook: Any, index: int) -> None:
        cells = notebook.cells
        code = [i for i, c in enumerate(cells) if c.cell_type == "code"]
        self.index = index
        if index in code:
            self.number = code.index(index) + 1
            self.progress(
                f"{self.number:>2}/{len(code)}  {_headline(cells[index].source)}",
                (self.number - 1) / len(code),
            )


def _headline(source: str) -> str:
    """What a cell is about: its verb, else its first comment, else its first line."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    verbs = [line for line in lines if "%mlops " in line]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return next(iter([*verbs, *comments, *lines]), "(empty cell)")[:70]


def _register(papermill: Any) -> None:
    class Engine(papermill.engines.NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, *, on_step: Any, **options: Any
        ) -> Any:
            begin = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
                on_step(nb_man.nb, cell_index or 0)
                return begin(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill.engines.papermill_engines.register("mlops", Engine)


def stamp(output: Path, index: int, sentence: str) -> None:
    """Mark the cell that did not end as failed, those after it as never run, and say so on top."""
    import nbformat

    notebook = nbformat.read(str(output), as_version=4)
    notebook.metadata.setdefault("papermill", {})["exception"] = True
    for i, cell in enumerate(notebook.cells):
        state = cell.metadata.setdefault("papermill", {})
        if i == index:
            state.update(status="failed", exception=True)
            cell.setdefault("outputs", []).append(
                nbformat.v4.new_output("error", ename="JobFailed", evalue=sentence, traceback=[sentence])
            )
        elif i > index:
            state.update(status="pending", exception=None)
    top = nbformat.v4.new_markdown_cell(f'<span style="color:#d1383d">**{sentence}**</span>')
    notebook.cells.insert(0, top)
    draft = output.with_suffix(".draft")
    nbformat.write(notebook, str(draft))
    draft.replace(output)
