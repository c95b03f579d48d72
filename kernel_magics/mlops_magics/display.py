"""How values are shown in a notebook: widget where there is one, HTML, and text; progress in one line."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any, cast

from mlops_workbench.base.errors import spelled
from mlops_workbench.base.values import Value

if TYPE_CHECKING:
    from mlops_workbench.interface.spec import Verb
    from mlops_workbench.monitor.drift import DriftReport
    from mlops_workbench.track.runlist import RunList

_PATIENCE = 0.4
"""Seconds after which work counts as long enough to show progress."""


def bundle(value: Value) -> dict[str, Any]:
    """MIME types of a value. A drift report and a list of runs bring a widget, with static HTML beside it."""
    made: Any = None
    if type(value).__name__ == "DriftReport":  # asked by name: importing the class is what is to be avoided
        from mlops_workbench.widgets.drift import DriftWidget

        made = DriftWidget(cast("DriftReport", value))._repr_mimebundle_()
    elif type(value).__name__ == "RunList":
        from mlops_workbench.widgets.runs import RunsWidget

        made = RunsWidget(cast("RunList", value))._repr_mimebundle_()
    if made is not None:
        return dict(made[0] if isinstance(made, tuple) else made)
    return {
        "text/plain": spelled(value.text(), "%mlops"),
        "text/html": spelled(value._repr_html_(), "%mlops"),
    }


class Shown:
    """Displays values once: a magic shows its value and returns it, and IPython then does not show it again."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._last: Value | None = None

    def register(self) -> None:
        formatter = self.shell.display_formatter.ipython_display_formatter
        formatter.for_type_by_name("mlops_workbench.base.values", "Value", self._display)
        self.shell.events.register("post_run_cell", self._forget)

    def unregister(self) -> None:
        formatter = self.shell.display_formatter.ipython_display_formatter
        formatter.deferred_printers.pop(("mlops_workbench.base.values", "Value"), None)
        formatter.type_printers.pop(Value, None)
        self.shell.events.unregister("post_run_cell", self._forget)

    def _forget(self, _result: Any = None) -> None:
        """What a cell kept in a variable is shown again when a later cell asks for it."""
        self._last = None

    def show(self, value: Value) -> Value:
        self._publish(value)
        self._last = value
        return value

    def evidence(self, report: Value) -> None:
        """What stands above a verdict's sentence: once, though a line inside a tracked cell fails both."""
        if report is not self._last:
            self.show(report)

    def _display(self, value: Value) -> None:
        if value is self._last:
            self._last = None
        else:
            self._publish(value)

    def _publish(self, value: Value) -> None:
        self.shell.display_pub.publish(data=bundle(value), metadata={})


def show_text(text: str) -> None:
    print(text)


class Bar:
    """One line that says what is done now, and goes away at the end. Plain prints where HTML cannot be updated."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb
        self.started = time.monotonic()
        self._handle: Any = None
        self._shown = ""

    def __enter__(self) -> Bar:
        return self

    def __call__(self, message: str, fraction: float | None = None) -> None:
        if not self.verb.long and time.monotonic() - self.started < _PATIENCE:
            return
        from IPython.display import HTML, display

        self._shown = message
        content = HTML(self._html(message, fraction))
        if self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)

    def __exit__(self, kind: Any, *_rest: Any) -> None:
        if self._handle is not None:
            from IPython.display import HTML

            seconds = time.monotonic() - self.started
            ended = "ended" if kind is None else f"stopped at “{html.escape(self._shown)}”"
            self._handle.update(
                HTML(
                    f'<span style="font-size:12px;opacity:.6">{self.verb.name} {ended} after {seconds:.1f} s</span>'
                )
            )

    def _html(self, message: str, fraction: float | None) -> str:
        bar = (
            ""
            if fraction is None
            else '<span style="display:inline-block;width:160px;height:6px;border-radius:3px;margin-right:10px;'
            'background:rgba(128,128,128,.25)"><span style="display:block;height:6px;border-radius:3px;'
            f'background:#1976d2;width:{max(0.0, min(fraction, 1.0)):.0%}"></span></span>'
        )
        return f'<span style="font-size:13px">{bar}{html.escape(message)}</span>'
