"""A frame against its contract, by pandera: a schema a column, so that one broken column never hides the others.

What makes this fit for millions of rows: nothing is copied, each check is one pass over a column, and of what
fails only the count and the first few rows are kept (pandera by itself lists every failing value).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.data.contracts import KIND_OF_TYPE, TYPE_OF_KIND, ColumnRule, Contract
from mlops_workbench.data.frames import flat, missing
from mlops_workbench.data.inferring import age
from mlops_workbench.data.keys import seconds
from mlops_workbench.data.kinds import as_kind, as_texts, kind_of, misfits, numbers_of
from mlops_workbench.data.verdict import Checked, Example

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Mask = np.ndarray[Any, np.dtype[np.bool_]]

EXAMPLES = 3
SEARCHED = 50
"""failing rows among which different values are looked for"""
BESIDE = 3
"""columns that an example row shows beside the failing one"""
WIDTH = 40
NAMELESS = "(no name)"
"""what a column named "" is called in a report; the table as a whole has that name there"""


@dataclass(frozen=True, slots=True)
class ColumnTest:
    """One check: the rule in words, what is wrong when it does not hold, and the rows that break it.

    `bad`: of a column or frame, True where a row breaks the rule; or one bool for the whole.
    """

    rule: str
    problem: str
    level: str
    bad: Callable[[Any], Mask | bool]


def check(
    frame: pd.DataFrame, contract: Contract, *, now: datetime | None = None, progress: Progress = silent
) -> tuple[Checked, ...]:
    """Every check of the contract, kept or not, columns in the contract's order and the table's checks last."""
    found = list(_presence(frame, contract))
    present = [(n, r) for n, r in contract.columns.items() if n in frame.columns]
    progress("loading pandera", 0.0)
    runner = _Runner(frame)
    for place, (name, rule) in enumerate(present):
        progress(f"column {place + 1} of {len(present)}: {name}", place / len(present))
        found += runner.column(name, rule)
    progress("the table as a whole", 0.99)
    found += runner.table(contract, now or SYSTEM.now())
    return tuple(found)


def _presence(frame: pd.DataFrame, contract: Contract) -> Iterator[Checked]:
    for column in contract.columns:
        if column not in frame.columns:
            yield Checked(column, "is there", "column is missing", "error", False, len(frame), 1.0)
    if not contract.extra_columns:
        for column in frame.columns:
            if column not in contract.columns:
                yield Checked(
                    column, "is listed", "column is not in the contract", "error", False, len(frame), 1.0
                )


class _Runner:
    """Runs tests on one frame through pandera, and keeps of each failure what a person looks at."""

    def __init__(self, frame: pd.DataFrame) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandera warns of its own optional parts when imported
            import pandera.pandas as pandera
            from pandera.config import config_context
        self.frame = frame
        self.pandera = pandera
        self.context = config_context

    def column(self, name: str, rule: ColumnRule) -> list[Checked]:
        """Its type first: of a column of another type, or an empty one, nothing else can be asked."""
        shown = name or NAMELESS
        try:
            # pandera leaves a note of its schema on what it sees, and knows no column without a name
            series = flat(self.frame[name]).rename(shown)
            gaps = missing(series)
            found = self._run(name, series, _kind_tests(series, rule, gaps))
            if all(one.passed for one in found) and not gaps.all():
                taken = as_kind(series, "boolean") if rule.type == "boolean" else series
                found += self._run(name, taken, _tests(rule, gaps))
        except Exception as problem:  # a column of objects may do anything when it is looked at
            return [_unfit(shown, "can be checked", "error", problem, len(self.frame))]
        return found

    def table(self, contract: Contract, now: datetime) -> list[Checked]:
        found: list[Checked] = []
        whole = self.frame.copy(deep=False)
        for test in _table_tests(contract, set(self.frame.columns), now):
            try:
                found += self._run(None, whole, [test])
            except Exception as problem:
                found.append(_unfit("", test.rule, test.level, problem, len(self.frame)))
        return found

    def _run(self, name: str | None, subject: Any, tests: Sequence[ColumnTest]) -> list[Checked]:
        seen: dict[str, tuple[int, list[int]]] = {}
        checks = [self._pandera_check(test, seen) for test in tests]
        of_column = name is not None
        schema = (self.pandera.SeriesSchema if of_column else self.pandera.DataFrameSchema)(
            checks=checks, **({"nullable": True} if of_column else {})
        )
        failed: dict[str, Any] = {}
        try:
            # An environment variable of pandera's can switch validation off; a contract is always checked.
            with self.context(validation_enabled=True, validation_depth="SCHEMA_AND_DATA"):
                schema.validate(subject, lazy=True, inplace=True)
        except self.pandera.errors.SchemaErrors as problems:
            failed = {one.check.name: one for one in problems.schema_errors}
        return [self._checked(name, test, failed.get(test.rule), seen.get(test.rule)) for test in tests]

    def _pandera_check(self, test: ColumnTest, seen: dict[str, tuple[int, list[int]]]) -> Any:
        def holds(subject: Any) -> bool:
            bad = test.bad(subject)
            if isinstance(bad, bool):
                seen[test.rule] = (len(self.frame) if bad else 0, [])
                return not bad
            count = int(bad.sum())
            seen[test.rule] = (count, bad.nonzero()[0][:SEARCHED].tolist() if count else [])
            return count == 0

        return self.pandera.Check(holds, name=test.rule, ignore_na=False)

    def _checked(
        self, name: str | None, test: ColumnTest, failed: Any, seen: tuple[int, list[int]] | None
    ) -> Checked:
        shown = "" if name is None else name or NAMELESS
        if failed is None:
            return Checked(shown, test.rule, "", test.level, True)
        if seen is None:  # the check itself raised; pandera says what
            return _unfit(shown, test.rule, test.level, failed.failure_cases, len(self.frame))
        count, rows = seen
        values = () if name is None else self._values(name, rows)
        return Checked(
            shown,
            test.rule,
            test.problem,
            test.level,
            False,
            count,
            count / len(self.frame),
            values,
            self._rows(name, rows[:EXAMPLES]),
        )

    def _values(self, name: str, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_line(v) for v in self.frame[name].iloc[list(rows)]))[:EXAMPLES]

    def _rows(self, name: str | None, rows: Sequence[int]) -> tuple[Example, ...]:
        others = [c for c in self.frame.columns if c != name][:BESIDE]
        shown = ([] if name is None else [name]) + others
        return tuple(
            Example(_line(self.frame.index[row]), {c: _line(self.frame[c].iloc[row]) for c in shown})
            for row in rows
        )


def _line(value: Any) -> str:
    text = " ".join(str(value).split())
    if isinstance(value, str) and (not text or value.strip() != value):
        text = repr(value)  # what is blank or padded is not seen otherwise
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _unfit(name: str, rule: str, level: str, problem: Any, rows: int) -> Checked:
    what = f"{type(problem).__name__}: {problem}" if isinstance(problem, Exception) else str(problem)
    return Checked(name, rule, f"cannot be checked ({_line(what)})", level, False, rows, 1.0)


# what a rule demands, as tests


def _kind_tests(series: pd.Series[Any], rule: ColumnRule, gaps: Mask) -> list[ColumnTest]:
    """A column without any value says nothing of its type, so that it is called empty and not of a wrong type.

    Where some values are of the type and some are not, those are named that are not.
    """
    if gaps.all():
        allowed = rule.missing == 1
        return [ColumnTest("has values", "column is empty", "error", lambda _: not allowed)]
    if rule.type == "any":
        return []
    asks = f"is of type {rule.type}"
    if _is_of(series, rule.type):
        return [ColumnTest(asks, "", "error", lambda _: False)]
    wrong = misfits(series, KIND_OF_TYPE[rule.type])
    if not wrong.any() or wrong.sum() == (~gaps).sum():
        found = TYPE_OF_KIND[kind_of(series)]
        return [ColumnTest(asks, f"type is {found}, must be {rule.type}", "error", lambda _: ~gaps)]
    blank = all(not str(value).strip() for value in series[wrong].unique())
    what = "blank text" if blank else "text"
    return [ColumnTest(asks, f"{what} in a column of type {rule.type}", "error", lambda _: wrong)]


def _is_of(series: pd.Series[Any], kind: str) -> bool:
    """By its values. A column of objects or categories may be taken as text whatever it holds."""
    found = TYPE_OF_KIND[kind_of(series)]
    if kind == "text":
        return found == kind or str(series.dtype) in ("object", "category")
    if kind == "boolean" and found == "number":  # as a database gives them
        return not misfits(series, "boolean").any()
    return found == kind


def _tests(rule: ColumnRule, gaps: Mask) -> list[ColumnTest]:
    level = rule.level
    tests = []
    if rule.missing is not None:
        tests.append(_missing_test(rule.missing, level, gaps))
    elif not rule.nullable:
        tests.append(ColumnTest("no value missing", "value is missing", "error", lambda _: gaps))
    if rule.type == "number":
        tests.append(ColumnTest("no value infinite", "value is infinite", "error", _infinite))
    if rule.minimum is not None:
        low = rule.minimum
        tests.append(ColumnTest(f"at least {low:g}", f"below {low:g}", level, lambda s: _numbers(s) < low))
    if rule.maximum is not None:
        high = rule.maximum
        tests.append(ColumnTest(f"at most {high:g}", f"above {high:g}", level, lambda s: _numbers(s) > high))
    if (values := rule.values) is not None:
        one_of = (
            f"one of {_line(', '.join(map(str, values)))}"
            if len(values) <= BESIDE
            else f"one of {len(values)}"
        )
        tests.append(
            ColumnTest(one_of, "value is not in the list", level, lambda s: _unlisted(s, values, gaps))
        )
    if (pattern := rule.pattern) is not None:
        tests.append(
            ColumnTest(
                f"matches {_line(pattern)}",
                f"does not match {_line(pattern)}",
                level,
                lambda s: _unmatched(s, pattern, gaps),
            )
        )
    if rule.unique:
        tests.append(
            ColumnTest("no value twice", "value occurs twice", "error", lambda s: _repeated(s, gaps))
        )
    return tests


def _missing_test(limit: float, level: str, gaps: Mask) -> ColumnTest:
    share = f"{limit * 100:g} %"
    return ColumnTest(
        f"at most {share} missing",
        f"more than {share} missing",
        level,
        lambda _: gaps if float(gaps.mean()) > limit else False,
    )


def _numbers(series: pd.Series[Any]) -> Any:
    """The values without a copy where NumPy holds them, else with their gaps as NaN."""
    import numpy as np

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
        return series.to_numpy()
    return numbers_of(series)


def _infinite(series: pd.Series[Any]) -> Mask | bool:
    import numpy as np

    numbers = _numbers(series)
    return np.isinf(numbers) if numbers.dtype.kind == "f" else False


def _unlisted(series: pd.Series[Any], values: Sequence[str | float], gaps: Mask) -> Mask:
    """Not in the list, by its text: what is not found as it stands (a 1 where the list has '1') is looked at again."""
    import numpy as np

    if kind_of(series) == "double" and not any(isinstance(v, str) for v in values):
        return ~np.isin(numbers_of(series), values) & ~gaps
    try:
        bad = ~series.isin(list(values)).to_numpy() & ~gaps
    except TypeError:  # lists and dicts have no hash
        bad = ~gaps
    if bad.any():
        bad[bad] = ~as_texts(series[bad]).isin([str(v) for v in values]).to_numpy()
    return bad


def _unmatched(series: pd.Series[Any], pattern: str, gaps: Mask) -> Mask:
    """Each different text is looked at once."""
    import numpy as np
    import pandas as pd

    found = re.compile(pattern).search
    try:
        codes, distinct = pd.factorize(series)
    except TypeError:
        codes, distinct = pd.factorize(as_texts(series))
    bad = np.fromiter((found(str(value)) is None for value in distinct), dtype=bool, count=len(distinct))
    return np.append(bad, False)[codes] & ~gaps  # a gap has the code -1


def _repeated(series: pd.Series[Any], gaps: Mask) -> Mask | bool:
    if not gaps.any() and series.is_unique:
        return False
    return series.duplicated(keep=False).to_numpy() & ~gaps


def _table_tests(contract: Contract, columns: set[str], now: datetime) -> Iterator[ColumnTest]:
    if rows := contract.rows:
        least, most = rows.minimum, rows.maximum
        if least is not None:
            yield ColumnTest(
                f"at least {least:,} rows", f"fewer than {least:,} rows", rows.level, lambda f: len(f) < least
            )
        if most is not None:
            yield ColumnTest(
                f"at most {most:,} rows", f"more than {most:,} rows", rows.level, lambda f: len(f) > most
            )
    if (fresh := contract.freshness) and fresh.column in columns:
        yield ColumnTest(
            f"newest {fresh.column} within {fresh.within}",
            f"newest {fresh.column} is older than {fresh.within}",
            fresh.level,
            lambda f: _stale(f[fresh.column], seconds(fresh.within) / 3600, now),
        )
    for combination in contract.unique:
        if columns >= set(combination):
            label = " + ".join(combination)
            repeated = partial(_together, columns=list(combination))
            yield ColumnTest(f"{label} occurs once", f"{label} occurs twice", "error", repeated)


def _together(frame: pd.DataFrame, columns: list[str]) -> Mask:
    return frame.duplicated(columns, keep=False).to_numpy()


def _stale(series: pd.Series[Any], hours: float, now: datetime) -> bool:
    found = age(series, now)
    return found is None or found > hours
