"""whylogs profiles: summaries of data that merge and travel. The only module that imports whylogs.

whylogs is frozen upstream; what the workbench needs of it goes through these functions, so that it can be replaced.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidData, MissingDependency
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.config.project import Project
from mlops_workbench.data.constraints import Constraint, Means, means_of, wanted
from mlops_workbench.data.contracts import Contract
from mlops_workbench.data.kinds import kind_of, numbers_of
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 200_000
"""rows profiled at once; parts merge, and between them progress is reported and an interrupt is noticed"""

MISSING = "A profile needs the package 'whylogs', which is not installed: it has no wheels for Python 3.13 and later."


def profile(frame: pd.DataFrame, progress: Progress = silent) -> bytes:
    """A serialized profile: counts, types, missing, distinct values, quantiles and frequent items a column.

    Raises InvalidData for a frame without rows or columns.
    """
    import pandas as pd

    if frame.empty:
        raise InvalidData("A profile needs rows and columns; the data has none.")
    whylogs = _whylogs()
    kinds = {name: kind_of(frame[name]) for name in frame.columns}
    made: Any = None
    for start in range(0, len(frame), CHUNK):
        progress(f"profile: row {start + 1:,} of {len(frame):,}", start / len(frame))
        rows = frame.iloc[start : start + CHUNK]
        part = pd.DataFrame({str(name): _plain(rows[name], kinds[name]) for name in rows.columns})
        view = whylogs.log(pandas=part).view()
        made = view if made is None else made.merge(view)
    return bytes(made.serialize())


def merge(blobs: Sequence[bytes]) -> bytes:
    """One profile of all rows. Raises InvalidData if there is none, or one cannot be read."""
    if not blobs:
        raise InvalidData("There is no profile to merge.")
    first, *others = [_view(blob) for blob in blobs]
    for other in others:
        first = first.merge(other)
    return bytes(first.serialize())


def summary(blob: bytes) -> dict[str, dict[str, Any]]:
    """For each column: rows, missing, distinct (estimated) and types; mean, std, extremes and quantiles of a
    number, the most frequent values of a text. Raises InvalidData if the profile cannot be read."""
    return {name: _column(column) for name, column in _view(blob).get_columns().items()}


# the profile that goes with a contract, and its constraints


def keep(project: Project, contract: str, digest: str, blob: bytes) -> Path:
    """The profile of the data that a contract was inferred from; there is one a contract."""
    path = project.folder("profiles") / f"{contract}-{digest[:12]}.bin"
    means = json.dumps(means_of(summary(blob))).encode()
    drafts = [
        (_drafted(place, content), place) for place, content in ((path, blob), (_means_file(path), means))
    ]
    forget(project, contract)
    for draft, place in drafts:
        draft.replace(place)
    return path


def _means_file(profile: Path) -> Path:
    """What of a profile is needed to show a contract: means and deviations, as JSON."""
    return profile.parent.with_name("means") / f"{profile.stem}.json"


def _drafted(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_bytes(content)
    return draft


def newest(project: Project, contract: str) -> Path | None:
    found = _kept(project, contract)
    return max(found, key=lambda path: path.stat().st_mtime) if found else None


def forget(project: Project, contract: str) -> None:
    """A contract that was made again from other data has nothing to do with the profile of the old."""
    for path in _kept(project, contract):
        path.unlink(missing_ok=True)
        _means_file(path).unlink(missing_ok=True)


def _kept(project: Project, contract: str) -> list[Path]:
    folder = project.state / "profiles"
    named = re.compile(rf"{re.escape(contract)}-[0-9a-f]{{12}}\.bin")
    return [p for p in folder.iterdir() if named.fullmatch(p.name)] if folder.is_dir() else []


def constraints(contract: Contract, reference: Path | None) -> list[Constraint]:
    """Every constraint that `judge` evaluates."""
    return wanted(contract, _means(reference))


def _means(reference: Path | None) -> Means:
    """Of the profile's file, as they were written down with it; of a profile without that, its own."""
    if reference is None:
        return {}
    try:
        known = json.loads(_means_file(reference).read_text(encoding="utf-8"))
        return {name: (mean, spread) for name, (mean, spread) in known.items()}
    except (OSError, ValueError):
        return means_of(summary(reference.read_bytes()))


def judge(blob: bytes, contract: Contract, reference: Path | None) -> list[tuple[str, str, bool]]:
    """Column, rule, and whether the profile keeps it: limits of the contract, means of the reference profile.

    A column that the profile does not have keeps none of its rules. Raises InvalidData if a profile cannot be read.
    """
    view = _view(blob)
    from whylogs.core.constraints import ConstraintsBuilder

    known = view.get_columns()
    asked = [(one, _whylogs_constraint(one)) for one in constraints(contract, reference)]
    builder = ConstraintsBuilder(dataset_profile_view=view)
    for one, constraint in asked:
        if one.column in known:
            builder.add_constraint(constraint)
    built = builder.build().column_constraints
    return [(one.column, one.rule, _holds(built, one.column, made, view)) for one, made in asked]


def _holds(built: Any, column: str, constraint: Any, view: Any) -> bool:
    """Without the metric (no number in a column of numbers) whylogs leaves the constraint out: it does not hold."""
    found = built.get(column, {}).get(constraint.name)
    if found is None:
        return False
    try:
        return bool(found.validate_profile(view)[0])
    except Exception:  # a metric of another kind than the rule is about
        return False


def _whylogs_constraint(one: Constraint) -> Any:
    from whylogs.core.constraints import factories as f

    match one.kind:
        case "range":
            return f.is_in_range(one.column, one.low, one.high)
        case "missing":
            return f.null_percentage_below_number(one.column, one.high)
        case "complete":
            return f.no_missing_values(one.column)
        case "frequent":
            return f.frequent_strings_in_reference_set(one.column, set(one.values))
    return f.mean_between_range(one.column, one.low, one.high)


def _column(column: Any) -> dict[str, Any]:
    raw = column.to_summary_dict()
    found: dict[str, Any] = {
        "rows": int(raw.get("counts/n", 0)),
        "missing": int(raw.get("counts/null", 0)),  # NaN is counted there too
        "distinct": round(raw.get("cardinality/est", 0)),
        "types": {
            key.removeprefix("types/"): int(value)
            for key, value in raw.items()
            if key.startswith("types/") and not key.endswith(":tensor") and value
        },
    }
    if raw.get("distribution/n"):
        names = {"mean": "mean", "std": "stddev", "min": "min", "max": "max"}
        names |= {q: q for q in ("q_05", "q_25", "median", "q_75", "q_95")}
        found |= {ours: float(raw[f"distribution/{theirs}"]) for ours, theirs in names.items()}
    elif items := raw.get("frequent_items/frequent_strings"):
        found["frequent"] = {item.value: int(item.est) for item in items[:10]}
    return found


def _plain(series: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    """As whylogs 1.6 takes it: it asks NumPy for a name that NumPy 2 removed when it meets text, dates or pandas'
    extension types of their own, counts Decimals and numbers as objects as something else, and whole numbers in 64
    bits with a sign. Of a column of objects it sees what each value is, and a text is what the contract lists."""
    import numpy as np
    import pandas as pd

    if kind == "double" and not (isinstance(series.dtype, np.dtype) and series.dtype.kind in "bif"):
        return pd.Series(numbers_of(series))
    if kind == "string":
        return pd.Series(
            [None if gap else str(v) for v, gap in zip(series, series.isna(), strict=True)], dtype=object
        )
    return (series if kind == "double" else series.astype(object)).reset_index(drop=True)


def _view(blob: bytes) -> Any:
    whylogs = _whylogs()
    try:
        return whylogs.DatasetProfileView.deserialize(blob)
    except Exception as error:  # protobuf, struct and whylogs' own: it declares none
        raise InvalidData(f"The profile of {len(blob):,} bytes cannot be read: {error}.") from error


def available() -> bool:
    """Whether whylogs is installed; nothing is imported for it."""
    return importlib.util.find_spec("whylogs") is not None


def require() -> None:
    """Raises `MissingDependency` before anything is written."""
    _whylogs()


def _whylogs() -> Any:
    """Raises `MissingDependency`."""
    os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in what it imports
        try:
            import whylogs
        except ImportError:
            raise MissingDependency(MISSING, "Leave the profile out, or use Python 3.12.") from None
    return whylogs
