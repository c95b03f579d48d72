"""`mlops VERB …` on a command line: parse, call, show; errors go to stderr with an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from mlops_workbench.base.errors import MlopsError, NotPassed
from mlops_workbench.base.imports import skip_iri_grammar
from mlops_workbench.interface.parsing import HelpRequested, parse

PROG = "mlops"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code. `--json` anywhere prints the result as JSON; `--version` prints the version."""
    skip_iri_grammar()
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    words = [w for w in words if w != "--json"]
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
        except MlopsError as problem:
            from mlops_workbench.interface.words import spell

            spell(problem, call.verb)
            raise
        finally:
            workbench.close()
    except HelpRequested as asked:
        print(asked.text)
        return 0
    except MlopsError as problem:
        _complain(problem, as_json)
        return problem.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    try:
        print(_json(value.to_dict()) if as_json else value.text(), flush=True)
    except BrokenPipeError:  # `mlops runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _complain(problem: MlopsError, as_json: bool) -> None:
    report = problem.report if isinstance(problem, NotPassed) else None
    if as_json:
        print(_json(problem.to_dict() | ({"report": report.to_dict()} if report else {})))
        return
    if report is not None:
        print(report.text())
    print("\n".join(problem._render_traceback_()), file=sys.stderr)


def _progress(message: str, fraction: float | None = None) -> None:
    share = "" if fraction is None else f"{fraction:4.0%}  "
    print(f"{share}{message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
