"""A drift report as one static piece of HTML: no script, so saved notebooks, GitHub and nbconvert show it.

JupyterLab lets pictures shrink to nothing in a table (`max-width: 100%`), hence the `none` here.
Colours are half transparent or mid-tone, so that they read on white and on black.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mlops_workbench.base.values import Html, html_table
from mlops_workbench.monitor.features import FeatureDrift, Overlay, Thresholds
from mlops_workbench.monitor.performance import Performance

REFERENCE = "#959ba6"
CURRENT = "#2f81d6"
STATUS = {"drift": "#d64550", "warn": "#c08400", "ok": "#3b9a62", "unknown": "#8a8f98"}
WORDS = {"drift": "drift", "warn": "watch", "ok": "ok", "unknown": "n/a"}

WIDTH, HEIGHT = 150, 34
SHOWN = 30
"""features with a picture, by rank; the rest is named"""


def report_html(
    title: str,
    summary: str,
    features: Sequence[FeatureDrift],
    thresholds: Thresholds,
    *,
    performance: Performance | None = None,
    extra_columns: Sequence[str] = (),
) -> str:
    parts = [
        '<div class="mlops-drift" style="font-size:13px;line-height:1.45">',
        f'<div style="font-weight:600;font-size:14px">{html.escape(title)}</div>',
        f'<div style="opacity:.75">{html.escape(summary)}</div>',
    ]
    if performance is not None:
        parts.append(performance._repr_html_())
    parts.append(_legend())
    rows = [_row(feature, thresholds) for feature in features[:SHOWN]]
    heads = (
        "",
        "feature",
        Html('<span style="white-space:nowrap">reference / current</span>'),
        "PSI",
        "KS",
        "missing",
        "why",
    )
    parts.append(html_table(heads, rows))
    if rest := features[SHOWN:]:
        names = html.escape(", ".join(f"{f.name} ({WORDS[f.status]})" for f in rest))
        parts.append(f'<div style="opacity:.7">And {len(rest)} more: {names}</div>')
    if extra_columns:
        names = html.escape(", ".join(extra_columns))
        parts.append(f'<div style="opacity:.7">Not compared, unknown to the reference: {names}</div>')
    return "".join([*parts, "</div>"])


def _row(feature: FeatureDrift, thresholds: Thresholds) -> Sequence[object]:
    missing = None
    if feature.missing_reference or feature.missing_current:
        shares = f"{feature.missing_reference:.1%} → {feature.missing_current:.1%}"
        missing = Html(f'<span style="white-space:nowrap">{shares}</span>')
    why = [*feature.reasons, feature.note]
    if feature.unseen:
        why.append("unseen: " + ", ".join(feature.unseen[:3]) + (" …" if feature.unseen_count > 3 else ""))
    return (
        badge(feature.status),
        Html(f'<span style="white-space:nowrap">{html.escape(feature.name)}</span>'),
        Html(overlay_svg(feature.overlay)) if feature.overlay else None,
        Html(_psi_bar(feature, feature.psi, thresholds)) if feature.psi is not None else None,
        Html(f"{feature.ks:.2f}") if feature.ks is not None else None,
        missing,
        Html(f'<span style="opacity:.8">{html.escape("; ".join(w for w in why if w))}</span>'),
    )


def badge(status: str) -> Html:
    colour = STATUS[status]
    return Html(
        '<span style="display:inline-block;min-width:3.6em;text-align:center;padding:0 6px;border-radius:9px;'
        f'font-size:11px;font-weight:600;color:{colour};border:1px solid {colour}">{WORDS[status]}</span>'
    )


def _legend() -> str:
    def mark(colour: str, opacity: float, text: str) -> str:
        return (
            f'<span style="display:inline-block;width:10px;height:10px;border-radius:2px;background:{colour};'
            f'opacity:{opacity};margin:0 5px 0 0"></span>{text}&emsp;'
        )

    marks = mark(REFERENCE, 0.55, "reference") + mark(CURRENT, 0.8, "current")
    return f'<div style="margin-top:6px;font-size:12px">{marks}</div>'


def _psi_bar(feature: FeatureDrift, psi: float, thresholds: Thresholds) -> str:
    """Figure and bar up to twice the drift threshold, with a tick at each threshold.

    The colour is the feature's verdict, the same as its badge's; grey where the PSI is chance.
    """
    full = 2 * thresholds.psi_drift
    colour = STATUS["unknown" if feature.psi_by_chance else feature.status]
    ticks = "".join(
        f'<line x1="{60 * at / full:.1f}" x2="{60 * at / full:.1f}" y1="0" y2="8" stroke="currentColor" '
        f'stroke-opacity=".45"/>'
        for at in (thresholds.psi_warn, thresholds.psi_drift)
    )
    return (
        f'<span style="white-space:nowrap">'
        f'<svg width="60" height="8" viewBox="0 0 60 8" aria-hidden="true" '
        f'style="vertical-align:middle;max-width:none">'
        f'<rect width="60" height="8" rx="2" fill="currentColor" fill-opacity=".08"/>'
        f'<rect width="{60 * min(1.0, psi / full):.1f}" height="8" rx="2" fill="{colour}"/>{ticks}</svg>'
        f"&ensp;{psi:.3f}</span>"
    )


def overlay_svg(overlay: Overlay) -> str:
    """Both samples in one small picture: areas for bins, pairs of bars for categories and distinct values."""
    own = len(overlay.reference) - overlay.rest  # `other` may be cut: it sums up many
    top = max([*overlay.reference[:own], *overlay.current[:own], 1e-12])
    draw = _steps if overlay.edges else _pairs
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="reference and current" style="display:block;max-width:none">{"".join(draw(overlay, top))}'
        f'<path d="M0 {HEIGHT - 0.5}H{WIDTH}" stroke="currentColor" stroke-opacity=".35"/></svg>'
    )


def _steps(overlay: Overlay, top: float) -> Iterable[str]:
    for shares, style in (
        (overlay.reference, f'fill="{REFERENCE}" fill-opacity=".6"'),
        (overlay.current, f'fill="{CURRENT}" fill-opacity=".22" stroke="{CURRENT}" stroke-width="1.4"'),
    ):
        width = WIDTH / len(shares)
        path = "".join(f"V{_y(s, top)}H{_short((i + 1) * width)}" for i, s in enumerate(shares))
        yield f'<path d="M0 {HEIGHT}{path}V{HEIGHT}" {style}/>'


def _pairs(overlay: Overlay, top: float) -> Iterable[str]:
    own = len(overlay.reference) - overlay.rest
    slot = WIDTH / max(len(overlay.labels), 4)
    bar = slot * 0.38
    for shares, offset, style in (
        (overlay.reference, 0.1, f'fill="{REFERENCE}" fill-opacity=".65"'),
        (overlay.current, 0.52, f'fill="{CURRENT}" fill-opacity=".85"'),
    ):
        path = "".join(
            f"M{_short((i + offset) * slot)} {HEIGHT}V{_y(s, top)}h{_short(bar)}V{HEIGHT}z"
            for i, s in enumerate(shares[:own])
        )
        yield f'<path d="{path}" {style}/>'


def _y(share: float, top: float) -> str:
    return _short(HEIGHT - 1 - (HEIGHT - 4) * min(1.0, share / top))


def _short(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")
