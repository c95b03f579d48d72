"""The magics: words → verb → value → display."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from mlops_magics.cells import cell_of, shown_as_theirs
from mlops_magics.completion import complete
from mlops_magics.display import Bar, Shown, show_text
from mlops_magics.history import Executed
from mlops_workbench.base import tracebacks
from mlops_workbench.base.errors import MlopsError, NotPassed, UsageError

if TYPE_CHECKING:
    from mlops_workbench.workbench import Workbench

NAME = "mlops"
_TRACKING = "MLFLOW_TRACKING_URI"
_QUESTION = re.compile(r"^(\s*%%?mlops\s+\S+)\s*\?+\s*$")
PROG = "%mlops"


class MlopsMagics:
    """What is added to one IPython shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.shown = Shown(shell)
        self.executed = Executed(shell)
        self._tracking = ""
        """where MLflow was pointed to from here"""

    @staticmethod
    def of(shell: Any) -> MlopsMagics | None:
        function = shell.magics_manager.magics["line"].get(NAME)
        owner = getattr(function, "__self__", None)
        return owner if isinstance(owner, MlopsMagics) else None

    def load(self) -> None:
        self.shell.register_magic_function(self.line, "line", NAME)
        self.shell.register_magic_function(self.cell, "cell", NAME)
        for start in ("%mlops", "%%mlops"):
            self.shell.set_hook("complete_command", self._complete, str_key=start)
        self.shell.input_transformers_cleanup.append(explain)
        self.shown.register()
        self.executed.register()

    def unload(self) -> None:
        for kind in ("line", "cell"):
            self.shell.magics_manager.magics[kind].pop(NAME, None)
        self.shell.input_transformers_cleanup.remove(explain)
        self.shown.unregister()
        self.executed.unregister()
        if self._tracking and os.environ.get(_TRACKING) == self._tracking:
            del os.environ[_TRACKING]

    @cached_property
    def workbench(self) -> Workbench:
        from mlops_workbench.workbench import Workbench

        return Workbench(namespace=self.shell.user_ns)

    # IPython would put a variable's text into a sentence for the ledger
    @no_var_expand  # type: ignore[untyped-decorator]  # IPython is not read for types
    def line(self, line: str) -> Any:
        """`%mlops VERB …`: one verb of the workbench; `%mlops` lists them, `%mlops VERB --help` explains one."""
        return self._call(line, None)

    @no_var_expand  # type: ignore[untyped-decorator]
    def cell(self, line: str, cell: str) -> Any:
        """`%%mlops run --name NAME …`: the cell below as a tracked run."""
        return self._call(line, cell)

    def _expanded(self, word: str) -> str:
        """`{month}` and `$month` as IPython has them."""
        return str(self.shell.var_expand(word)) if "{" in word or "$" in word else word

    def _call(self, line: str, cell: str | None) -> Any:
        if cell is not None and line.split()[:1] != ["run"]:
            raise UsageError(
                f"'{(line.split() or [''])[0]}' takes no cell.", "Write it on a line of its own: %mlops …"
            )
        from mlops_workbench.interface.parsing import HelpRequested, parse
        from mlops_workbench.interface.words import spell
        from mlops_workbench.workbench import verbs

        typed = f"%%{NAME} {line}\n{cell}"
        while cell is not None and line.rstrip().endswith("\\"):  # IPython continues lines, but not these
            more, _, cell = cell.partition("\n")
            line = f"{line.rstrip()[:-1]} {more}"
        try:
            call = parse(line, PROG if cell is None else f"%{PROG}", verbs(), self._expanded)
        except HelpRequested as asked:
            return show_text(asked.text)
        options = dict(call.options)
        if cell is not None:
            options["script"] = cell_of(self.shell, cell, typed, self.executed.cells)
        before = self.workbench.progress  # of the tracked cell that this line stands in
        with Bar(call.verb) as progress:
            self.workbench.progress = progress
            try:
                value = getattr(self.workbench, call.verb.name)(**options)
            except MlopsError as problem:
                spell(problem, call.verb)
                if isinstance(problem, NotPassed) and problem.report is not None:
                    self.shown.evidence(problem.report)
                raise
            except Exception as problem:
                if not tracebacks.from_code(problem):
                    raise
                raise shown_as_theirs(self.shell, problem) from None
            finally:
                self.workbench.progress = before
                self._point_mlflow()
        return self.shown.show(value)

    def _point_mlflow(self) -> None:
        """MLflow's own calls in this notebook find the project's runs and models: `models:/flights/2`. What a person
        has set stays."""
        if os.environ.get(_TRACKING, self._tracking) != self._tracking:
            return
        with suppress(MlopsError):  # there is no project, or its file is broken: the verb has said so
            self._tracking = os.environ[_TRACKING] = self.workbench.project.tracking_url

    def _complete(self, _shell: Any, event: Any) -> list[str]:
        return complete(event.line, event.symbol, self.shell.user_ns, lambda: self.workbench)


def explain(lines: list[str]) -> list[str]:
    """`%mlops VERB?` asks for the verb's help; IPython by itself would look for a variable of that name."""
    return [_QUESTION.sub(r"\1 --help\n", line) for line in lines]
