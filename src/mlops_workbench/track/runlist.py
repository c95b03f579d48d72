"""Runs as a table, with a picture of how parameters and metrics go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.base.page import page
from mlops_workbench.base.values import Html, Value, is_number
from mlops_workbench.track import drawing
from mlops_workbench.track.records import Run

_MOST_METRICS = 6
_MOST_PARAMS = 4


@dataclass(frozen=True)
class RunList(Value):
    """Runs in the order asked for. `plot`: names to draw: one is what all that differs is drawn towards, two make a
    scatter, more are drawn beside each other."""

    runs: tuple[Run, ...]
    sort: str = "started"
    plot: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"runs": [run.to_dict() for run in self.runs]}

    @property
    def metrics(self) -> list[str]:
        """Those of the newest runs first, the one sorted by before all."""
        names = list(dict.fromkeys(name for run in self.runs for name in run.metrics))
        if self.sort in names:
            names = [self.sort, *(n for n in names if n != self.sort)]
        return names[:_MOST_METRICS]

    @property
    def judged_on(self) -> dict[str, str]:
        """By SHA-256 what the held-out rows are called, of runs with metrics; the beginning of the hash tells two of
        one name apart."""
        marks = [run.judged_on for run in self.runs if run.metrics]
        known = {m.sha256: m.name for m in marks if m is not None}
        names = list(known.values())
        return {s: f"{n} {s[:6]}" if names.count(n) > 1 else n for s, n in known.items()}

    @property
    def title(self) -> str:
        if len(self.judged_on) < 2:
            return ""
        return (
            f"Their metrics are of {len(self.judged_on)} different sets of held-out rows: compare only runs that are "
            "judged on the same."
        )

    def _differing(self) -> list[str]:
        """Parameters that differ between these runs: those that somebody chose, what most runs have before the rest."""
        names = dict.fromkeys(name for run in self.runs for name in run.chosen)
        differ = [n for n in names if len({run.params.get(n) for run in self.runs}) > 1]
        return sorted(differ, key=lambda n: -sum(n in run.params for run in self.runs))

    @property
    def params(self) -> list[str]:
        """Parameters that differ between these runs, the one sorted by before all."""
        names = {name for run in self.runs for name in run.params}
        differ = self._differing()
        if self.sort in names:
            differ = [self.sort, *(n for n in differ if n != self.sort)]
        return differ[:_MOST_PARAMS]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        metrics, params, judged = self.metrics, self.params, self.judged_on
        apart = len(judged) > 1
        heads = ["run", "status", "started", "seconds", *["judged on"] * apart]
        return [*heads, *metrics, *params], [
            [
                *(r.name, r.status, r.started, r.seconds),
                *[judged.get(r.judged_on.sha256) if r.judged_on else None] * apart,
                *(r.metrics.get(n) for n in metrics),
                *(_number(r.params.get(n)) for n in params),
            ]
            for r in self.runs
        ]

    def _repr_html_(self) -> str:
        return super()._repr_html_() + self.picture()

    def page_of_pictures(self) -> str:
        if not self.plot:
            return ""
        return page(", ".join(self.plot), self._repr_html_())

    def picture(self) -> Html:
        """SVG; empty when none was asked for."""
        if not self.plot:
            return Html("")
        if len(self.plot) == 2:
            x, y = self.plot
            points = [(run.name, self.value(run, x), self.value(run, y)) for run in self.runs]
            return Html(drawing.scatter(x, y, [p for p in points if p[1] is not None and p[2] is not None]))
        names = self.plot if len(self.plot) > 1 else (*self._drawn(), self.plot[0])
        rows = [(run.name, [self.value(run, n) for n in names]) for run in self.runs]
        return Html(drawing.parallel(names, rows))

    def _drawn(self) -> Sequence[str]:
        """What a picture towards one name shows beside it: the parameters that differ."""
        return [n for n in self._differing() if n not in self.plot][:7]

    def value(self, run: Run, name: str) -> Any:
        """A figure by name: a metric, a parameter (a number if it is one), or the seconds it took."""
        bare = name.removeprefix("metrics.").removeprefix("params.")
        if bare in run.metrics and not name.startswith("params."):
            return run.metrics[bare]
        if bare in run.params:
            return _number(run.params[bare])
        return run.seconds if name == "seconds" else None


def _number(text: str | None) -> Any:
    if text is None:
        return None
    try:
        value: Any = float(text) if any(c in text for c in ".eEn") else int(text)
    except ValueError:
        return text
    return value if is_number(value) and value == value else text
