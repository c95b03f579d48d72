"""Metrics in what code prints, read with restraint: a name must speak of a metric, and a line of nothing else.

accuracy: 0.81            auc = 0.7, f1 = 0.6            epoch 3/10 - 2s - loss: 0.41 - val_loss: 0.52
test AUC 0.7 (no sign between name and number) and "rows: 800" (no metric) are not recorded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

WORDS = frozenset(
    {
        *("accuracy", "acc", "auc", "auroc", "auprc", "roc", "ap", "precision", "recall", "sensitivity"),
        *("specificity", "f1", "f2", "fbeta", "loss", "logloss", "crossentropy", "entropy", "brier", "rmse"),
        *("mse", "mae", "mape", "smape", "wape", "rmsle", "msle", "medae", "r2", "error", "err", "score"),
        *("kappa", "mcc", "jaccard", "iou", "dice", "ndcg", "mrr", "perplexity", "ppl", "bleu", "rouge"),
        *("psnr", "ssim", "gini", "deviance", "likelihood", "nll", "silhouette", "inertia", "bias", "wer"),
    }
)
MOST_NAMES = 100
"""different names that one run records from what it prints"""
LONGEST = 2000
"""characters of a line that is read at all"""

_NAME = r"[A-Za-z][\w@²'’./-]*(?:[ \t][A-Za-z(][\w@²()./-]*){0,3}"
_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_END = r"(?![\w.]*\w)"
_PAIR = re.compile(rf"(?P<name>{_NAME})[ \t]*[:=][ \t]*(?P<number>{_NUMBER})(?P<percent>[ \t]*%)?{_END}")
_SPREAD = re.compile(rf"[ \t]*\(?[ \t]*(?:±|\+/-|\+-)[ \t]*{_NUMBER}[ \t]*%?\)?")
_BETWEEN = re.compile(r"[\s,;|·–—]*(?:-(?=\s)\s*)?")
_STEP = re.compile(
    r"\s*(?:\[(?P<bracket>\d+)(?:\s*/\s*\d+)?\]"
    r"|\[?(?:epoch|step|iter|iteration|round|fold)\b\s*[:=#]?\s*\[?(?P<word>\d+)(?:\s*/\s*\d+)?\]?)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Printed:
    """One figure. `step` None: printed once for the whole run."""

    name: str
    value: float
    step: int | None


def metrics_in(line: str) -> list[Printed]:
    """Figures of one printed line."""
    line = line.strip()
    if not line or len(line) > LONGEST:
        return []
    head = _STEP.match(line)
    if head is not None:
        step = int(head["bracket"] or head["word"])
        return [Printed(n, v, step) for n, v in _pairs(line[head.end() :])] if step < 2**62 else []
    found, at = [], 0
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None:
            return []  # the line says something else too: prose, a table, a log entry
        found.append(pair)
        spread = _SPREAD.match(line, pair.end())
        end = spread.end() if spread else pair.end()
        between = _BETWEEN.match(line, end)
        at = between.end() if between else end
        if at == end and at < len(line):
            return []
    return [Printed(*named, None) for pair in found if (named := _figure(pair))]


def _pairs(text: str) -> Iterator[tuple[str, float]]:
    for pair in _PAIR.finditer(text):
        if named := _figure(pair):
            yield named


def _figure(pair: re.Match[str]) -> tuple[str, float] | None:
    name = clean(pair["name"])
    value = float(pair["number"].replace("_", ""))
    if not name or not is_metric(name) or not math.isfinite(value):
        return None
    return name, value / 100 if pair["percent"] else value


def clean(name: str) -> str:
    """As MLflow takes it, in one spelling: `Test AUC` and `test_auc` are the same metric."""
    lowered = name.lower().replace("²", "2").replace("'", "").replace("’", "")
    return re.sub(r"[^a-z0-9_@.\-/]+", "_", lowered).replace("@", "_at_").strip("_./-")[:200]


def is_metric(name: str) -> bool:
    """Whether one of its words is a metric's."""
    return any(word in WORDS for word in re.split(r"[^a-z0-9]+", clean(name).replace("_", " ")))


class PrintedReader:
    """Collects metrics from text that comes in pieces. The last value of a name and step counts."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, int | None], float] = {}
        self._names: set[str] = set()
        self._rest = ""

    def feed(self, text: str) -> None:
        *lines, rest = re.split(r"[\r\n]", self._rest + text)
        self._rest = rest[: LONGEST + 1]
        for line in lines:
            self._take(line)

    def close(self) -> None:
        self._take(self._rest)
        self._rest = ""

    def _take(self, line: str) -> None:
        for found in metrics_in(line):
            if found.name in self._names or len(self._names) < MOST_NAMES:
                self._names.add(found.name)
                self.found[found.name, found.step] = found.value
