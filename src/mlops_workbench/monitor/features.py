"""One feature, reference against current: distances, what changed, and whether that is drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlops_workbench.base.errors import UsageError
from mlops_workbench.base.values import Value, is_number, plain
from mlops_workbench.monitor import statistics
from mlops_workbench.monitor.columns import (
    Categories,
    ComparedColumn,
    NumericValues,
    Other,
    as_categories,
    category_text,
)
from mlops_workbench.monitor.ranks import Ints, Pair, few, pair, sample, whole
from mlops_workbench.monitor.statistics import FEW_VALUES, FloatArray

DriftLevel = Literal["drift", "warn", "ok", "unknown"]

BARS = 30
"""bins that are drawn for a number"""
TOP = 20
"""categories that are drawn; the rest is summed as `other`"""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAME_LENGTH = 60
"""longer category names are cut where they are shown"""
DISTANCES = (("psi", "PSI"), ("js", "Jensen–Shannon"), ("ks", "KS"))
SAME = 1e-6
"""numbers that differ relatively by no more are one: 32 bits hold seven digits"""
MANY_CATEGORIES = 1000
"""from here on, a column whose values hardly repeat is taken for an identifier"""


@dataclass(frozen=True)
class Thresholds(Value):
    """From which distance a feature is watched (`…_warn`) or has drifted (`…_drift`).

    All are sizes of an effect, not p-values: with many rows a p-value flags every difference, however
    small, so p-values are shown but decide nothing. PSI 0.1 and 0.2 are the usual limits (Siddiqi 2006); a
    Jensen–Shannon distance of 0.1 and 0.2 corresponds to a PSI of about 0.08 and 0.32 (PSI ≈ 8 · JS²). KS
    looks at ranks and so sees what equal-width bins of a long-tailed column hide. With few rows, or many categories,
    chance alone reaches these limits: a statistic counts only above what at most 1 of 500 pairs of samples of one
    distribution exceed (`statistics.LEVEL`), and less what they have on average.
    """

    psi_warn: float = 0.1
    psi_drift: float = 0.2
    js_warn: float = 0.1
    js_drift: float = 0.2
    ks_warn: float = 0.1
    ks_drift: float = 0.2
    missing_warn: float = 0.05
    """change of the share of missing rows"""
    missing_drift: float = 0.2
    unseen_warn: float = 0.01
    """share of current rows whose category the reference does not know"""
    unseen_drift: float = 0.05

    def __post_init__(self) -> None:
        for name in ("psi", "js", "ks", "missing", "unseen"):
            warn, drift = self.of(name)
            if not 0 < warn <= drift:
                raise UsageError(
                    f"The thresholds of '{name}' must satisfy 0 < warn ≤ drift. Got {warn} and {drift}."
                )

    def of(self, name: str) -> tuple[float, float]:
        return getattr(self, f"{name}_warn"), getattr(self, f"{name}_drift")


@dataclass(frozen=True)
class Overlay(Value):
    """What is drawn: the share of rows per bar. NumericValues have `edges`, all else has `labels`."""

    reference: tuple[float, ...]
    current: tuple[float, ...]
    edges: tuple[float, ...] = ()
    """the outer bars also hold what lies beyond the outer edges"""
    labels: tuple[str, ...] = ()
    rest: bool = False
    """the last bar sums up all that have no bar of their own"""


@dataclass(frozen=True)
class FeatureDrift(Value):
    """One feature. Distances are None where they have no meaning for its kind or state."""

    name: str
    kind: str
    """number, category, datetime or unknown"""
    status: DriftLevel
    reasons: tuple[str, ...] = ()
    """which statistic crossed which threshold; empty when ok"""
    note: str = ""
    """what is unusual about the column, in a sentence"""
    psi: float | None = None
    js: float | None = None
    ks: float | None = None
    ks_p: float | None = None
    tv: float | None = None
    """total variation: the share of rows that would have to change bins"""
    wasserstein: float | None = None
    """in standard deviations of the reference"""
    chi_square: float | None = None
    chi_square_p: float | None = None
    p: float | None = None
    """of Kolmogorov–Smirnov for a number, else of chi-square, adjusted for the number of columns (Benjamini and
    Hochberg): of those called different at 0.05, 5 % are not"""
    chance: tuple[tuple[str, float], ...] = ()
    """for `psi`, `js`, `ks`, `unseen`, `missing`: what equal distributions exceed in at most 0.2 % of cases"""
    expected: tuple[tuple[str, float], ...] = ()
    """the same statistics of equal distributions on average"""
    importance: float | None = None
    weight: float = 1.0
    """importance relative to the largest; 1 when no importances are known"""
    missing_reference: float = 0.0
    missing_current: float = 0.0
    unseen: tuple[str, ...] = ()
    """the most frequent current categories that the reference does not know"""
    unseen_count: int = 0
    unseen_share: float = 0.0
    outside_share: float = 0.0
    """of current numbers below the reference's smallest or above its largest"""
    reference: tuple[tuple[str, float], ...] = ()
    """mean, std and quantiles of a number; distinct values of a category"""
    current: tuple[tuple[str, float], ...] = ()
    overlay: Overlay | None = None

    @property
    def psi_by_chance(self) -> bool:
        """Whether so few rows differ by so much anyway, so that its PSI says nothing."""
        return self.psi is not None and self.psi <= dict(self.chance).get("psi", 0.0)

    @property
    def rank(self) -> tuple[int, float, str]:
        """Drifted first, then by PSI weighted with importance."""
        order = {"drift": 0, "warn": 1, "unknown": 2, "ok": 3}[self.status]
        return order, -(self.psi or 0.0) * self.weight, self.name

    def to_dict(self) -> dict[str, Any]:
        raw = super().to_dict()
        for key in ("chance", "expected", "reference", "current"):
            raw[key] = {name: _short(value) for name, value in getattr(self, key)}
        for key in ("psi", "js", "ks", "ks_p", "tv", "wasserstein", "chi_square", "chi_square_p", "p"):
            raw[key] = _short(raw[key])
        if self.overlay is not None:
            raw["overlay"] = {
                key: [_short(v) for v in values] if isinstance(values, list) else values
                for key, values in raw["overlay"].items()
                if values
            }
        return raw


def _short(value: Any) -> Any:
    """Six significant digits: enough to draw and to read, a third of the bytes."""
    return plain(float(f"{value:.6g}")) if isinstance(value, float) else plain(value)


def compare_columns(
    name: str, reference: ComparedColumn, current: ComparedColumn, thresholds: Thresholds
) -> FeatureDrift:
    """Any two columns. What cannot be compared gets a note and what is left to say: missing values."""
    notes = [getattr(reference, "note", ""), getattr(current, "note", "")]
    if isinstance(reference, Other) or isinstance(current, Other):
        return _incomparable(name, reference, current, thresholds)
    if isinstance(reference, NumericValues) != isinstance(current, NumericValues):
        if not _is_of_numbers(reference, current):
            kinds = ["numbers" if isinstance(c, NumericValues) else "text" for c in (reference, current)]
            notes.append(f"The reference holds {kinds[0]}, current {kinds[1]}; compared as text.")
        reference, current = as_categories(reference), as_categories(current)
    if isinstance(reference, NumericValues) and isinstance(current, NumericValues):
        facts = _numbers(reference, current)
        if count := reference.infinite + current.infinite:
            notes.append(f"{count:,} infinite value{'s' if count > 1 else ''} left out.")
    else:
        assert isinstance(reference, Categories)
        assert isinstance(current, Categories)
        facts = _categories(reference, current)
    notes.append(facts.pop("note", ""))
    missing = _missing(reference, current)
    facts |= {key: (*facts.get(key, ()), *missing.pop(key)) for key in ("chance", "expected")}
    status, reasons = judge(facts | missing, thresholds)
    notes.append(by_chance_note(facts, thresholds))
    note = " ".join(dict.fromkeys(n for n in notes if n))
    return FeatureDrift(name=name, status=status, reasons=reasons, note=note, **facts, **missing)


def _is_of_numbers(*columns: ComparedColumn) -> bool:
    """Whether those that are stored as categories are categories of numbers."""
    found = [column.names for column in columns if isinstance(column, Categories)]
    return all(
        is_number(getattr(name, "item", lambda name=name: name)()) for names in found for name in names
    )


def _incomparable(
    name: str, reference: ComparedColumn, current: ComparedColumn, thresholds: Thresholds
) -> FeatureDrift:
    missing = _missing(reference, current)
    status, reasons = judge(missing, thresholds)
    notes = [
        f"{side}: {column.note}"
        for side, column in (("Reference", reference), ("Current", current))
        if isinstance(column, Other)
    ]
    if len(notes) == 2 and notes[0].split(": ", 1)[1] == notes[1].split(": ", 1)[1]:
        notes = [notes[0].split(": ", 1)[1]]
    kind = "unknown"
    for column in (reference, current):
        if isinstance(column, Other):
            kind = column.kind or kind
        else:
            kind = "number" if isinstance(column, NumericValues) else "category"
            break
    if status == "ok":  # but nothing is known about its values
        status = "unknown"
    return FeatureDrift(name=name, kind=kind, status=status, reasons=reasons, note=" ".join(notes), **missing)


def _missing(reference: ComparedColumn, current: ComparedColumn) -> dict[str, Any]:
    chance = statistics.missing_by_chance(
        (reference.missing, reference.rows), (current.missing, current.rows)
    )
    return {
        "missing_reference": reference.missing / reference.rows,
        "missing_current": current.missing / current.rows,
        "chance": (("missing", chance.bound),),
        "expected": (("missing", chance.expected),),
    }


def judge(facts: Mapping[str, Any], thresholds: Thresholds) -> tuple[DriftLevel, tuple[str, ...]]:
    """DriftLevel and the reasons for it. The widget repeats this rule in the browser, for other thresholds."""
    chance, expected = dict(facts.get("chance", ())), dict(facts.get("expected", ()))
    change = abs(facts["missing_current"] - facts["missing_reference"])
    found = [(key, label, facts.get(key)) for key, label in DISTANCES]
    found += [
        ("unseen", "unseen categories", facts.get("unseen_share", 0.0)),
        ("missing", "change of missing share", change),
    ]
    status: DriftLevel = "ok"
    reasons = []
    for key, label, value in found:
        if value is None or value <= chance.get(key, 0.0):
            continue
        warn, drift = thresholds.of(key)
        beyond = excess(key, value, expected.get(key, 0.0))
        limit = drift if beyond >= drift else warn
        if beyond < warn:
            continue
        status = "drift" if beyond >= drift else "warn" if status == "ok" else status
        part = f" ({expected[key]:.3g} by chance)" if value - beyond >= warn / 10 else ""
        reasons.append(f"{label} {value:.3g}{part} ≥ {limit:g}")
    return status, tuple(reasons)


def excess(key: str, value: float, expected: float) -> float:
    """What of a statistic is beyond what chance has on average; of Jensen–Shannon's distance the squares count, which
    are a divergence. The largest distance of ranks is no sum of small ones: it counts whole."""
    if key == "js":
        return math.sqrt(max(0.0, value**2 - expected**2))
    return value if key in ("ks", "missing") else max(0.0, value - expected)


def by_chance_note(facts: Mapping[str, Any], thresholds: Thresholds) -> str:
    """Why what is beyond a threshold was not counted; empty where nothing of that kind happened.

    It is not called chance where another statistic says that there is a difference, however small.
    """
    chance = dict(facts.get("chance", ()))
    values = {key: facts.get(key) for key, _ in DISTANCES}
    found = [
        f"{label} {value:.3g} (up to {chance[key]:.3g})"
        for key, label in DISTANCES
        if (value := values[key]) is not None and thresholds.of(key)[0] <= value <= chance.get(key, 0.0)
    ]
    if not found:
        return ""
    if any(value is not None and value > chance.get(key, 0.0) for key, value in values.items()):
        return f"No measure of the difference that there is, with so few rows a bin: {', '.join(found)}."
    return f"Within chance for so few rows: {', '.join(found)}."


def _numbers(reference: NumericValues, current: NumericValues) -> dict[str, Any]:
    r = reference.values
    c = _as_written(r, current.values)
    low, high = float(min(r.min(), c.min())), float(max(r.max(), c.max()))
    integer = reference.integer and current.integer
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(high - low):
            return {
                "kind": "number",
                "note": f"Its values from {low:g} to {high:g} are too far apart to be binned.",
            }
    edges = statistics.bin_edges(low, high, r.size + c.size, integer=integer)
    drawn = _drawn_edges(r, c, low, high)
    both = pair(r, c, (edges, drawn), QUANTILES)
    distinct = both.distinct
    by_value = distinct and distinct[0] <= FEW_VALUES and distinct[1].size <= 2 * FEW_VALUES
    counts = distinct[2:] if distinct and by_value else both.histogram(edges)
    statistic = both.ks
    summaries = [
        (
            ("mean", float(v.mean())),
            ("std", float(v.std())),
            *zip(("q05", "q25", "median", "q75", "q95"), q, strict=True),
        )
        for v, q in zip((r, c), both.quantiles(QUANTILES), strict=True)
    ]
    return {
        "kind": "number",
        "psi": statistics.psi(*counts),
        "js": statistics.jensen_shannon(*counts),
        "ks": statistic,
        "ks_p": statistics.ks_p_value(statistic, r.size, c.size),
        **_chance(*counts, ks=statistics.ks_chance(r.size, c.size)),
        "reference": summaries[0],
        "current": summaries[1],
        "overlay": _number_overlay(both, drawn, r.size, c.size),
    }


def _as_written(reference: FloatArray, current: FloatArray) -> FloatArray:
    """Current values that a reference of few values knows, but for how they were stored: 0.1 in 32 bits is another
    number than in 64, and of 0.1 + 0.2 a file may hold fewer digits."""
    if not few(reference):
        return current
    known = np.unique(reference)
    if known.size > FEW_VALUES:
        return current
    place = np.searchsorted(known, current)
    low, high = known[np.maximum(place - 1, 0)], known[np.minimum(place, known.size - 1)]
    nearest = np.where(np.abs(current - low) < np.abs(high - current), low, high)
    same = np.abs(current - nearest) <= SAME * np.abs(nearest)
    return np.where(same, nearest, current)


def _chance(r: Ints, c: Ints, **bounds: float) -> dict[str, tuple[tuple[str, float], ...]]:
    found = statistics.by_chance(r, c)
    return {
        "chance": (*((key, one.bound) for key, one in found.items()), *bounds.items()),
        "expected": tuple((key, one.expected) for key, one in found.items()),
    }


def _drawn_edges(r: FloatArray, c: FloatArray, low: float, high: float) -> FloatArray:
    """Bars over the bulk of both samples, so that one outlier does not press all into one bar."""
    some = np.concatenate([sample(r), sample(c)])
    near, far = (float(q) for q in np.quantile(some, [0.005, 0.995]))
    margin = (far - near) * 0.05
    near, far = max(low, near - margin), min(high, far + margin)
    if near >= far:
        near, far = (low, high) if low < high else (low - 0.5, high + 0.5)
    if whole(some) and far - near >= 1:
        # bars of whole width: with fractions some would hold one more value than others, and look like a comb
        step = np.ceil((far - near + 1) / BARS)
        start = np.floor(near) - 0.5
        return np.arange(start, np.ceil(far) + step, step)
    return np.linspace(near, far, BARS + 1)


def _number_overlay(both: Pair, edges: FloatArray, r_rows: int, c_rows: int) -> Overlay:
    distinct = both.distinct
    if distinct and distinct[1].size <= FEW_VALUES:
        _, values, r, c = distinct
        return Overlay(_part(r, r_rows), _part(c, c_rows), labels=tuple(f"{v:g}" for v in values))
    r, c = both.histogram(np.concatenate([[-np.inf], edges[1:-1], [np.inf]]))
    return Overlay(_part(r, r_rows), _part(c, c_rows), edges=tuple(float(e) for e in edges))


def _part(counts: Ints, rows: int) -> tuple[float, ...]:
    return tuple((counts / rows).tolist())


def _categories(reference: Categories, current: Categories) -> dict[str, Any]:
    place = {name: i for i, name in enumerate(reference.names)}
    fresh = [i for i, name in enumerate(current.names) if name not in place]
    names = [*reference.names, *(current.names[i] for i in fresh)]
    place |= {current.names[i]: len(place) + k for k, i in enumerate(fresh)}
    r = np.concatenate([reference.counts, np.zeros(len(fresh), dtype=np.int64)])
    c = np.zeros(len(names), dtype=np.int64)
    c[[place[name] for name in current.names]] = current.counts
    known = len(reference.names)
    unseen = known + np.argsort(-c[known:], kind="stable")
    rows = int(r.sum()), int(c.sum())
    facts: dict[str, Any] = {
        "kind": "category",
        "unseen": tuple(shorten(names[i]) for i in unseen[:10]),
        "unseen_count": len(fresh),
        "unseen_share": float(c[known:].sum() / rows[1]),
        "reference": (("distinct", float(known)),),
        "current": (("distinct", float(len(current.names))),),
        "overlay": _category_overlay(names, r, c),
    }
    if known > MANY_CATEGORIES and known > rows[0] / 2:
        facts |= {"unseen": (), "unseen_count": 0, "unseen_share": 0.0}
        note = f"{known:,} values in {rows[0]:,} rows look like an identifier; distances would mean nothing."
        return facts | {"note": note, "overlay": None}
    chi, chi_p = statistics.chi_square(r, c)
    return facts | {
        "psi": statistics.psi(r, c),
        "js": statistics.jensen_shannon(r, c),
        "chi_square": chi,
        "chi_square_p": chi_p,
        **_chance(r, c),
    }


def _category_overlay(names: Sequence[Any], r: Ints, c: Ints) -> Overlay:
    share_r, share_c = r / r.sum(), c / c.sum()
    order = np.argsort(-(share_r + share_c), kind="stable")
    top, rest = order[:TOP], order[TOP:]
    labels = [shorten(names[i]) for i in top]
    bars = [share_r[top].tolist(), share_c[top].tolist()]
    if rest.size:
        labels.append(f"other ({rest.size:,})")
        bars[0].append(float(share_r[rest].sum()))
        bars[1].append(float(share_c[rest].sum()))
    return Overlay(tuple(bars[0]), tuple(bars[1]), labels=tuple(labels), rest=bool(rest.size))


def shorten(name: Any) -> str:
    text = category_text(name)
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"
