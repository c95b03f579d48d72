"""Draws an evaluation with matplotlib: small multiples, and each of them by itself.

Colours are middle ones on no background, so that a picture reads in light and dark. Figures are objects of their
own: pyplot, its state and the person's style are not touched.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from mlops_workbench.track.evaluation import Evaluation

_INK = "#7d828a"
_BLUE = "#3b82d0"
_LINES = ("#3b82d0", "#d1873d", "#3b9a62", "#b05fb8", "#d64550", "#5fa8a8")
_WIDE, _HIGH, _DPI = 3.6, 2.9, 120
_TEXT = 8

Draw = Callable[[Any, Evaluation], None]


def draw(found: Evaluation) -> tuple[bytes, Mapping[str, bytes]]:
    """The whole as one PNG, and each panel as one: name → bytes."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # "building the font cache", once
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(found)
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(_WIDE * columns, _HIGH * lines), dpi=_DPI, facecolor="none")
    canvas: Any = FigureCanvasAgg(figure)
    for place, (name, paint) in enumerate(panels.items()):
        line, column = divmod(place, columns)
        left = 0.36 if name in ("importance", "segments") else 0.17
        axes = figure.add_axes(
            (
                (column + left) / columns,
                1 - (line + 0.82) / lines,
                (0.95 - left) / columns,
                0.68 / lines,
            ),
            facecolor="none",
        )
        _calm(axes)
        paint(axes, found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font has not: a box stands for them
        canvas.draw()
    import numpy as np

    pixels = np.asarray(canvas.buffer_rgba())
    high, wide = pixels.shape[0] // lines, pixels.shape[1] // columns
    singles = {}
    for place, name in enumerate(panels):
        line, column = divmod(place, columns)
        singles[name] = _png(pixels[line * high : (line + 1) * high, column * wide : (column + 1) * wide])
    return _png(pixels), singles


def _png(pixels: Any) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(pixels.copy()).save(written, "png", optimize=False)
    return written.getvalue()


def _panels(found: Evaluation) -> dict[str, Draw]:
    panels: dict[str, Draw] = {}
    if found.confusion:
        panels["confusion_matrix"] = _confusion
    if found.roc:
        panels |= {"roc": _roc, "precision_recall": _precision_recall}
    if found.calibration is not None:
        panels["calibration"] = _calibration
    if found.residuals is not None:
        panels |= {"predicted": _predicted, "residuals": _residuals, "residual_distribution": _distribution}
    if found.importance.shares:
        panels["importance"] = _importance
    if found.segments:
        panels["segments"] = _segments
    return panels


def _calm(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
        axes.spines[side].set_alpha(0.5)
    axes.tick_params(colors=_INK, labelsize=_TEXT, length=2)


def _title(axes: Any, title: str, x: str = "", y: str = "") -> None:
    axes.set_title(title, fontsize=_TEXT + 1, color=_INK, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=_TEXT, color=_INK)
    axes.set_ylabel(y, fontsize=_TEXT, color=_INK)


def _legend(axes: Any, place: str) -> None:
    legend = axes.legend(loc=place, fontsize=_TEXT - 1, frameon=False, labelcolor=_INK, handlelength=1.2)
    legend.set_zorder(5)


def _short(text: str, most: int = 18) -> str:
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return text.replace("$", r"\$")  # matplotlib would set what is between two of them as a formula


def _confusion(axes: Any, found: Evaluation) -> None:
    import numpy as np

    matrix = np.array(found.confusion, dtype=float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    n = len(matrix)
    for i in range(n):
        for j in range(n):
            axes.add_patch(_square(j, i, shares[i, j]))
            if n <= 8:
                text = f"{int(matrix[i, j]):,}" if n <= 5 else f"{shares[i, j]:.0%}"
                colour = "white" if shares[i, j] > 0.4 else _INK
                axes.text(j, i, text, ha="center", va="center", fontsize=_TEXT, color=colour)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    names = [_short(label, 9 if n <= 5 else 6) for label in found.labels]
    axes.set_xticks(range(n), names, rotation=0 if n <= 5 else 60)
    axes.set_yticks(range(n), names)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    _title(axes, "Confusion matrix", "answered", "true")


def _square(x: float, y: float, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (x - 0.48, y - 0.48), 0.96, 0.96, facecolor=_BLUE, alpha=0.06 + 0.94 * share, linewidth=0
    )


def _roc(axes: Any, found: Evaluation) -> None:
    axes.plot([0, 1], [0, 1], color=_INK, alpha=0.5, linewidth=0.8, linestyle="--")
    for curve, colour in zip(found.roc, _LINES, strict=False):
        name = "" if len(found.roc) == 1 else f"{_short(curve.name, 12)} "
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.5, label=f"{name}AUC {curve.figure:.3f}")
    _legend(axes, "lower right")
    _title(axes, "ROC", "false positives", "true positives")


def _precision_recall(axes: Any, found: Evaluation) -> None:
    for curve, colour in zip(found.precision_recall, _LINES, strict=False):
        name = "" if len(found.roc) == 1 else f"{_short(curve.name, 12)} "
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.5, label=f"{name}AP {curve.figure:.3f}")
    axes.set_ylim(0, 1.02)
    _legend(axes, "lower left")
    _title(axes, "Precision and recall", "recall", "precision")


def _calibration(axes: Any, found: Evaluation) -> None:
    curve = found.calibration
    assert curve is not None
    axes.plot([0, 1], [0, 1], color=_INK, alpha=0.5, linewidth=0.8, linestyle="--")
    label = f"mean gap {curve.figure:.3f}"
    axes.plot(curve.x, curve.y, color=_BLUE, linewidth=1.5, marker="o", markersize=3, label=label)
    _legend(axes, "upper left")
    _title(axes, "Calibration", _short(curve.name, 30), "how often it came")


def _predicted(axes: Any, found: Evaluation) -> None:
    x, y = _points(found)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.scatter(x, y, s=5, color=_BLUE, alpha=0.35, linewidths=0)
    axes.plot([low, high], [low, high], color=_INK, linewidth=0.8, linestyle="--")
    _title(axes, "Predicted and true", "predicted", "true")


def _residuals(axes: Any, found: Evaluation) -> None:
    x, y = _points(found)
    axes.scatter(x, y - x, s=5, color=_BLUE, alpha=0.35, linewidths=0)
    axes.axhline(0, color=_INK, linewidth=0.8, linestyle="--")
    _title(axes, "Residuals", "predicted", "true − predicted")


def _points(found: Evaluation, most: int = 1500) -> tuple[Any, Any]:
    """Predicted and true; as many points as can be distinguished."""
    import numpy as np

    assert found.residuals is not None
    x = np.array(found.residuals.x)
    y = x + np.array(found.residuals.y)
    step = max(1, len(x) // most)
    return x[::step], y[::step]


def _distribution(axes: Any, found: Evaluation) -> None:
    assert found.residuals is not None
    axes.hist(found.residuals.y, bins=40, color=_BLUE, alpha=0.75)
    axes.axvline(0, color=_INK, linewidth=0.8, linestyle="--")
    _title(axes, "Distribution of residuals", "true − predicted", "rows")


def _importance(axes: Any, found: Evaluation) -> None:
    best = list(found.importance.shares.items())[:10][::-1]
    spread = [found.importance.spread.get(name, 0.0) for name, _ in best]
    axes.barh([_short(n) for n, _ in best], [v for _, v in best], color=_BLUE, alpha=0.85, height=0.6)
    axes.errorbar(
        [v for _, v in best], range(len(best)), xerr=spread, fmt="none", ecolor=_INK, elinewidth=0.8
    )
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:.0%}")
    _title(axes, "Importance (permutation)", f"share of the loss in {found.metric}")


def _segments(axes: Any, found: Evaluation) -> None:
    largest = sorted(found.segments, key=lambda s: -s.rows)[:10]  # as many as can be read
    kept = [s for s in found.segments if s in largest]
    names = [f"{_short(s.column, 8)}={_short(s.value, 10)}" for s in kept][::-1]
    figures = [s.figure for s in kept][::-1]
    places = range(len(kept))
    axes.scatter(figures, places, s=18, color=_BLUE)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(kept) - 0.4)
    axes.grid(axis="y", color=_INK, alpha=0.15, linewidth=0.6)
    if found.overall is not None:
        axes.axvline(found.overall, color=_INK, linewidth=0.8, linestyle="--")
    _title(axes, "By segment", f"{found.metric} (dashed: all rows)")
