"""`mlops VERB …` on a command line: parse, call, show; errors go to stderr with an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import faults, files, tracebacks
from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import MlopsError, NotPassed, spelled
from mlops_workbench.base.imports import skip_iri_grammar
from mlops_workbench.interface.parsing import HelpRequested, parse

if TYPE_CHECKING:
    from mlops_workbench.base.values import Value
    from mlops_workbench.workbench import Workbench

PROG = "mlops"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code. `--json` anywhere prints the result as JSON; `--version` prints the version."""
    skip_iri_grammar()
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    words = [w for w in words if w != "--json"]
    status = 0
    if words == ["--version"]:
        from mlops_workbench import __version__

        print(f"mlops-workbench {__version__}")
        return 0
    try:
        from mlops_workbench.workbench import Workbench, verbs

        call = parse(words, PROG, verbs())
        workbench = Workbench(progress=_progress)
        try:
            value = getattr(workbench, call.verb.name)(**call.options)
            shown = _json(value.to_dict()) if as_json else _text(workbench, value)
        except MlopsError as problem:
            from mlops_workbench.interface.words import spell

            spell(problem, call.verb)
            raise
        finally:
            workbench.close()
        status = int(value.exit_code)
    except HelpRequested as asked:
        print(asked.text)
        return 0
    except MlopsError as problem:
        _complain(problem, as_json)
        return problem.exit_code
    except Exception as problem:
        if not tracebacks.from_code(problem):
            said = faults.known(problem) or faults.unexpected(
                " ".join(words[:1]), problem, (files.user_cache(),), SYSTEM.now()
            )
            _complain(said, as_json)
            return said.exit_code
        return _of_code(problem, as_json)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    try:
        print(shown, flush=True)
    except BrokenPipeError:  # `mlops runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _text(workbench: Workbench, value: Value) -> str:
    """As a terminal shows it: a picture is a file, and verbs are named as they are typed here."""
    text = spelled(value.text(), PROG)
    page = value.page_of_pictures()
    if not page:
        return text
    file = files.write_text(workbench.project.folder("plots") / f"{type(value).__name__.lower()}.html", page)
    return f"{text}\nThe picture is in {file}."


def _of_code(problem: Exception, as_json: bool) -> int:
    """What the person's own script raised: their frames, then what became of the run."""
    said = tracebacks.sentence(problem)
    if as_json:
        print(_json({"error": type(problem).__name__, "message": str(problem), "next_step": said}))
    else:
        print("".join(tracebacks.lines(problem)) + said, file=sys.stderr)
    return 1


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _complain(problem: MlopsError, as_json: bool) -> None:
    report = problem.report if isinstance(problem, NotPassed) else None
    if as_json:
        print(_json(problem.to_dict() | ({"report": report.to_dict()} if report else {})))
        return
    if report is not None:
        print(spelled(report.text(), PROG))
    print("\n".join(problem.lines(PROG)), file=sys.stderr)


def _progress(message: str, fraction: float | None = None) -> None:
    share = "" if fraction is None else f"{fraction:4.0%}  "
    print(f"{share}{message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
