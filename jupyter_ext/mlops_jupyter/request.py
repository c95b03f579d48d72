"""From what an HTTP request says to one call of a verb. Plain values in, a `VerbCall` or an error out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import Conflict, MlopsError, NotFound, closest
from mlops_workbench.config import project as projects
from mlops_workbench.interface.checking import checked
from mlops_workbench.interface.payloads import changes
from mlops_workbench.interface.spec import Arg, Verb
from mlops_workbench.workbench import verbs

DATA_FILES = (".parquet", ".csv", ".skops")


class MethodNotAllowed(MlopsError):
    """A read that was posted is fine; a change that came as GET is not."""

    status = 405


@dataclass(frozen=True, slots=True)
class VerbCall:
    """What is to be done: the verb, the checked keywords of its method, and the folder it is done in."""

    verb: Verb
    options: dict[str, Any]
    folder: Path


def project_folder(root: Path, relative: str) -> Path:
    """The folder below the server's root that `relative` names (the root itself for an empty string).

    Raises `NotFound` for what does not exist, is hidden, or leads out of the root (by `..` or a link too).
    """
    return _inside(root, root, relative, kind="folder")


def require_below(root: Path, folder: Path) -> None:
    """A project is looked for upwards. Raises `NotFound` when the one that is found lies above the server's root."""
    found = next((p for p in (folder, *folder.parents) if (p / projects.FILE_NAME).is_file()), None)
    if found is not None and not found.is_relative_to(root.resolve()):
        raise NotFound(
            f"There is no {projects.FILE_NAME} in the server's folder.",
            "Start the server in the project, or above it.",
        )


def from_query(name: str, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The options of a verb as their types have it in JSON: all values of what may be repeated, true or false of a
    switch, else the last value. What cannot be read is left as it is, for `call` to refuse."""
    known = {arg.name: arg for arg in verbs()[name].args} if name in verbs() else {}
    options: dict[str, Any] = {}
    for option, values in query.items():
        arg = known.get(option)
        if arg is not None and arg.repeat:
            options[option] = list(values)
        elif arg is not None and arg.switch:
            options[option] = {"true": True, "1": True, "false": False, "0": False}.get(
                values[-1].lower(), values[-1]
            )
        else:
            options[option] = values[-1]
    return options


def call(name: str, raw: dict[str, Any], folder: Path, root: Path, *, reading: bool) -> VerbCall:
    """Checks verb and options as a typed line would be.

    Raises `NotFound` (verb, file), `MethodNotAllowed`, `UsageError` (options), or `Conflict` when the verb
    acts on a variable of the notebook and the request names no file instead.
    """
    verb = verbs().get(name)
    if verb is None:
        raise NotFound(f"There is no verb '{name}'.", closest(name, verbs()))
    if reading and (what := changes(verb, raw)):
        raise MethodNotAllowed(f"{what} changes something.", "Send it with POST.")
    options = checked(verb, raw)
    if code := [arg for arg in verb.args if arg.offer == "code" and options[arg.name]]:
        for arg in code:  # its variables are the file's own: nothing of a notebook is needed
            options[arg.name] = str(_option_file(arg, options[arg.name], folder, root))
        return VerbCall(verb, options, folder)
    variables = [arg for arg in verb.args if arg.offer == "variable" and options[arg.name]]
    if (verb.in_kernel and not variables) or not all(_is_data_file(options[arg.name]) for arg in variables):
        raise Conflict(
            f"The verb '{name}' acts on the notebook: on a cell or a variable that only its kernel has.",
            "Run it as a cell of that notebook, or give a data file instead of a variable.",
        )
    for arg in (*variables, *(arg for arg in verb.args if arg.offer == "file" and options[arg.name])):
        options[arg.name] = str(_option_file(arg, options[arg.name], folder, root))
    return VerbCall(verb, options, folder)


def _is_data_file(value: Any) -> bool:
    return isinstance(value, str) and value.lower().endswith(DATA_FILES)


def _option_file(arg: Arg, text: str, folder: Path, root: Path) -> Path:
    if arg.output:  # its folder must exist, the file need not
        parent = _inside(root, folder, str(Path(text).parent), kind="folder")
        file = parent / Path(text).name
        # a link may lead anywhere, and a hidden file is nobody's to write from here
        if file.is_symlink() or file.name in ("", "..") or file.name.startswith("."):
            raise NotFound(f"'{text}' is no place for a file in the server's folder.", "Name another one.")
        return file
    return _inside(root, folder, text, kind="file")


def _inside(root: Path, base: Path, text: str, *, kind: str) -> Path:
    """`text` as seen from `base`, resolved, and proven to lie in `root`."""
    missing = NotFound(
        f"There is no {kind} '{text}' in the server's folder.", "Paths are read from that folder."
    )
    if "\0" in text:
        raise missing
    real_root = root.resolve()
    path = (base / text).resolve()
    if not path.is_relative_to(real_root) or not (path.is_dir() if kind == "folder" else path.is_file()):
        # One sentence for both, so that nothing can be learnt about what lies outside.
        raise missing
    if any(part.startswith(".") for part in path.relative_to(real_root).parts):
        raise missing
    return path
