"""The proof: the plan beside the original, on ordinary rows and on odd ones that are made from them.

A plan that answers one row otherwise, or answers a row that the original refuses, is not used.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from mlops_workbench.manifest import Field, Manifest
from mlops_workbench.registry.fastpath.compiling import Compiled

ProofRow = Mapping[str, Any]

TOLERANCE = 1e-12
"""of numbers and probabilities, absolute below one and relative above; labels may not differ at all"""
_EACH = 3
_COMBINED = 500
_THRESHOLDS = 60
_MOST_ODD = 6_000
_ODD_COLUMNS = 40
"""columns with the same steps that get odd rows of their own: what differs between more of them is their numbers"""
_CELLS = 300_000
"""of the mixed rows that a wide model gets"""
_ODD_CELLS = 1_000_000
"""of its rows with one odd value"""
_EVERYDAY = frozenset({"missing", "all missing", "unseen categories", "values of different rows"})
"""kinds of odd rows that any client sends one day"""
_ASKED_ALONE = 40
"""rows of a kind that the plan left: each is a call of the original"""
_ODD_NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -1e-300,
    1e-9,
    3.5e38,
    -3.5e38,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
)


class PlanAnswers(Protocol):
    @property
    def values(self) -> Sequence[Any]: ...

    @property
    def probabilities(self) -> Sequence[Sequence[float]] | None: ...


class Left(PlanAnswers, Protocol):
    """PlanAnswers of a plan; `left`: positions of rows that it does not answer."""

    @property
    def left(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class FastPathProof:
    """What was tried. `rows`: those that the plan answered, by kind; `left`: those it left to the original."""

    proven: bool
    reason: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    only: Mapping[str, int] = field(default_factory=dict)
    """of the rows that anybody may send, those that the plan left and the original answers, by kind: where there are
    none, a service needs no original"""
    difference: float = 0.0
    tolerance: float = TOLERANCE
    seconds: float = 0.0
    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def proof(
    plan: Compiled,
    manifest: Manifest,
    ordinary: Mapping[str, Sequence[ProofRow]],
    original: Callable[[Sequence[ProofRow]], PlanAnswers],
    fast: Callable[[Sequence[ProofRow]], Left],
) -> FastPathProof:
    """Ask both for all rows. `ordinary`: rows by what they are (`held out`, `fitted on`), as the runtime takes them."""
    started = time.perf_counter()
    for kind, rows in ordinary.items():
        if reason := _mostly_left(kind, len(rows) - len(fast(rows).left), len(rows)):
            return FastPathProof(False, reason, seconds=round(time.perf_counter() - started, 3))
    odd = _odd(plan, manifest.inputs, [row for rows in ordinary.values() for row in rows])
    tried = [(kind, row) for part in (ordinary, odd) for kind, rows in part.items() for row in rows]
    found = fast([row for _, row in tried])
    lost = set(found.left)
    own = [pair for place, pair in enumerate(tried) if place not in lost]
    answered = Counter(kind for kind, _ in own)
    worst, reason = _compared(own, found, original)
    for kind, rows in ordinary.items():
        reason = reason or _mostly_left(kind, answered[kind], len(rows))
    return FastPathProof(
        not reason,
        reason,
        dict(answered),
        len(lost),
        {} if reason else _only(tried, lost, {*ordinary, *_EVERYDAY}, original),
        worst,
        seconds=round(time.perf_counter() - started, 3),
        sha256="" if reason else plan.sha256,
    )


def _mostly_left(kind: str, answered: int, rows: int) -> str:
    """What is wrong with a plan that answers so few ordinary rows; empty if it answers enough."""
    if 2 * answered >= rows:
        return ""
    if not answered:
        return "a plan would answer nothing"
    return f"a plan would leave {rows - answered:,} of {rows:,} rows '{kind}' to the original"


def _only(
    tried: Sequence[tuple[str, ProofRow]],
    lost: set[int],
    kinds: set[str],
    original: Callable[[Sequence[ProofRow]], PlanAnswers],
) -> dict[str, int]:
    """How many rows of these kinds the plan left although the original answers them."""
    found: dict[str, int] = {}
    for kind in sorted(kinds):
        rows = [row for at, (k, row) in enumerate(tried) if k == kind and at in lost and _can_come(row)]
        found[kind] = sum(_answers(row, original) for row in rows[:_ASKED_ALONE])
    return found


def _can_come(row: ProofRow) -> bool:
    """NaN says that something is missing, which reaches the model as null."""
    return not any(isinstance(value, float) and math.isnan(value) for value in row.values())


def _answers(row: ProofRow, original: Callable[[Sequence[ProofRow]], PlanAnswers]) -> bool:
    try:
        original([row])
    except Exception:  # whatever a model raises means the same here
        return False
    return True


def _compared(
    own: Sequence[tuple[str, ProofRow]], found: Left, original: Callable[[Sequence[ProofRow]], PlanAnswers]
) -> tuple[float, str]:
    """The largest difference, and what is wrong if something is."""
    if not own:
        return 0.0, "a plan would answer nothing"
    try:
        wanted = original([row for _, row in own])
    except Exception as problem:  # whatever a model raises means the same here
        kind = _refused(own, original)
        return 0.0, f"a plan would answer rows '{kind}' that the model refuses ({_name(problem)})"
    if (found.probabilities is None) != (wanted.probabilities is None):
        return 0.0, "a plan gives no probabilities where the model does"
    worst = 0.0
    if isinstance(wanted.values[0], float) and wanted.probabilities is None:
        gaps = _gaps(found.values, wanted.values)
    else:
        other = [kind for (kind, _), a, b in zip(own, found.values, wanted.values, strict=True) if a != b]
        if other:
            return 0.0, f"a plan gives another label to {len(other):,} rows, the first '{other[0]}'"
        gaps = _gaps(found.probabilities, wanted.probabilities) if found.probabilities else np.zeros(len(own))
    at = int(gaps.argmax())
    worst = float(gaps[at])
    if not worst <= TOLERANCE:
        return worst, f"a plan's answers are off by up to {worst:.1e} (rows '{own[at][0]}')"
    return worst, ""


def _name(problem: Exception) -> str:
    """The class of what the model raised, in whichever process it was asked."""
    return str(getattr(problem, "raised", type(problem).__name__))


def _refused(
    own: Sequence[tuple[str, ProofRow]], original: Callable[[Sequence[ProofRow]], PlanAnswers]
) -> str:
    """The kind of the first row that the original does not answer."""
    for kind in dict.fromkeys(kind for kind, _ in own):
        try:
            original([row for k, row in own if k == kind])
        except Exception:
            return kind
    return "together"


def _gaps(found: Any, wanted: Any) -> Any:
    """Differences by row, absolute below one and relative above; what is missing must be so on both sides."""
    a, b = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if a.shape != b.shape:
        return np.full(len(a), np.inf)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.where(same, 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(b)))
    return np.nan_to_num(gaps, nan=np.inf).reshape(len(a), -1).max(axis=1)


def _odd(plan: Compiled, inputs: Sequence[Field], base: Sequence[ProofRow]) -> dict[str, list[ProofRow]]:
    """Rows that differ from ordinary ones in one odd value, or in all of them."""
    rng = np.random.default_rng(0)
    some = [base[i] for i in rng.integers(0, len(base), _EACH * 7)]
    combined = min(_COMBINED, max(50, _CELLS // len(inputs)))
    kinds: dict[str, list[ProofRow]] = {
        "all missing": [dict.fromkeys(f.name for f in inputs), {}],
        "values of different rows": [
            {f.name: base[i].get(f.name) for f, i in zip(inputs, places, strict=True)}
            for places in rng.integers(0, len(base), (combined, len(inputs)))
        ],
    }
    chosen = _representative(plan, inputs, rng)
    most = min(_MOST_ODD, max(600, _ODD_CELLS // len(inputs)))
    each = max(1, min(_EACH, most // (20 * len(chosen))))
    for f in chosen:
        for kind, value in _oddities(f):
            for row in some[:each]:
                kinds.setdefault(kind, []).append({**row, f.name: value})
        if f.kind == "double":
            whole = [r for r in some if isinstance(r.get(f.name), float) and abs(r[f.name]) < 2**62]
            kinds.setdefault("whole numbers where floats were", []).extend(
                {**row, f.name: int(row[f.name])} for row in whole if row[f.name] == row[f.name]
            )
    kinds["at thresholds of trees"] = list(_at_thresholds(plan, inputs, some[0]))
    return kinds


def _representative(plan: Compiled, inputs: Sequence[Field], rng: np.random.Generator) -> list[Field]:
    """The columns that get odd rows of their own: of those that the plan treats alike, up to `_ODD_COLUMNS`."""
    treated: dict[str, list[str]] = {f.name: [f.kind, str(f.nullable)] for f in inputs}
    for program in plan.header.get("programs", ()):
        steps = "/".join(step[0] for step in program["steps"])
        for source in program["from"]:
            treated[plan.header["numbers"][source]].append(steps)
    for table in plan.header.get("tables", ()):
        treated[table["column"]].append(
            f"table of {len(table['to'])}: {table['missing'] < 0}, {table['unknown'] < 0}"
        )
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, f in enumerate(inputs):
        alike.setdefault(tuple(treated[f.name]), []).append(place)
    places = [p for group in alike.values() for p in rng.permutation(group)[:_ODD_COLUMNS]]
    return [inputs[p] for p in sorted(places)]


def _oddities(f: Field) -> Iterator[tuple[str, Any]]:
    yield "missing", None
    if f.kind in ("double", "long"):
        yield "missing", math.nan
        for value in _ODD_NUMBERS:
            yield "infinities" if math.isinf(value) else "huge, tiny and zero", value
        for integer in (0, 1, 2**53 + 1, 10**400):
            yield "whole numbers where floats were", integer
        yield "booleans", True
        yield "texts", "7"
    elif f.kind == "string":
        for text in ("", "never seen", "never seen  \N{SNOWMAN}", "None", "nan"):
            yield "unseen categories", text
        yield "numbers", 7.0
        yield "missing", math.nan
    elif f.kind == "boolean":
        for value in (True, False):
            yield "booleans", value
        yield "numbers", 1


def _at_thresholds(plan: Compiled, inputs: Sequence[Field], row: ProofRow) -> Iterator[ProofRow]:
    """Numbers exactly at, just below and just above where trees decide, in 64 bits and in the 32 of most trees."""
    threshold = plan.arrays.get("estimator.threshold")
    if threshold is None:
        return
    feature, numbers = plan.arrays["estimator.feature"], plan.header["numbers"]
    origin = {
        to: (numbers[source], program["steps"], place)
        for program in plan.header["programs"]
        for place, (source, to) in enumerate(zip(program["from"], program["to"], strict=True))
    }
    deciding = np.flatnonzero(np.isfinite(threshold) & np.isin(feature, list(origin)))
    for at in np.random.default_rng(1).permutation(deciding)[:_THRESHOLDS]:
        name, steps, place = origin[int(feature[at])]
        value = _back(plan, steps, place, float(threshold[at]))
        if value is None or not math.isfinite(value):
            continue
        for wide in (value, float(np.float32(value))):
            for near in (wide, np.nextafter(wide, -np.inf), np.nextafter(wide, np.inf)):
                yield {**row, name: float(near)}
        for towards in (-np.inf, np.inf):
            yield {**row, name: float(np.nextafter(np.float32(value), np.float32(towards)))}


def _back(plan: Compiled, steps: Sequence[Sequence[str]], place: int, value: float) -> float | None:
    """The raw number whose steps end at `value`; None for steps that cannot be turned around."""
    for name, *given in reversed(steps):
        number = float(plan.arrays[given[0]][place]) if given else 0.0
        match name:
            case "subtract":
                value += number
            case "divide":
                value *= number
            case "multiply" if number:
                value /= number
            case "add":
                value -= number
            case "impute" | "finite" | "present" | "clip":
                pass
            case _:
                return None
    return value
