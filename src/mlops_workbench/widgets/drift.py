"""The drift report to look through: features ranked at left, the chosen one's distributions at right."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from mlops_workbench.base.errors import NotFound, UsageError, closest
from mlops_workbench.monitor.drift import DriftReport, Thresholds
from mlops_workbench.monitor.features import judge

_STATIC = Path(__file__).parent / "static"


class DriftWidget(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget ships no types
    """Draws `report` offline. `selected` is the shown feature, `threshold` the PSI that counts as drift.

    Both can be set from Python and from the browser, whose messages may come in several threads at once.
    """

    _esm = _STATIC / "drift.js"
    _css = _STATIC / "drift.css"

    data = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    threshold = traitlets.Float(0.2).tag(sync=True)

    def __init__(self, report: DriftReport, **options: Any) -> None:
        self.report = report
        self._writing = threading.RLock()
        first = report.features[0].name if report.features else ""
        super().__init__(
            data=report.to_dict(), selected=first, threshold=report.thresholds.psi_drift, **options
        )

    def set_state(self, sync_data: dict[str, Any]) -> None:
        # JupyterLab sends what the browser writes over subshells, and ipywidgets keeps what it is just
        # writing in one attribute: of two messages at once one would fail with a KeyError
        with self._writing:
            super().set_state(sync_data)

    @property
    def limits(self) -> Thresholds:
        """The report's thresholds with `threshold` for PSI; what is watched moves in proportion."""
        given = self.report.thresholds
        watched = given.psi_warn / given.psi_drift * self.threshold
        return replace(given, psi_warn=watched, psi_drift=self.threshold)

    @property
    def drifted(self) -> tuple[str, ...]:
        """What has drifted by `limits`; equal to the report's as long as `threshold` is not moved."""
        limits = self.limits
        return tuple(f.name for f in self.report.features if judge(vars(f), limits)[0] == "drift")

    @traitlets.validate("selected")  # type: ignore[untyped-decorator]  # nor does traitlets here
    def _known(self, proposal: Any) -> str:
        names = [f.name for f in self.report.features]
        if proposal["value"] not in names and names:
            raise NotFound(f"There is no feature '{proposal['value']}'.", closest(proposal["value"], names))
        return str(proposal["value"])

    @traitlets.validate("threshold")  # type: ignore[untyped-decorator]
    def _positive(self, proposal: Any) -> float:
        value = float(proposal["value"])
        if not value > 0:
            raise UsageError(f"The 'threshold' must be above 0. Got {value} instead.")
        return value

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what shows where no widget can: the report's HTML and text."""
        found = super()._repr_mimebundle_(**options)
        bundle, metadata = found if isinstance(found, tuple) else (found or {}, {})
        return {**bundle, "text/html": self.report._repr_html_(), "text/plain": self.report.text()}, metadata
