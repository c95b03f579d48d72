"""What a person should look at before a contract that was inferred is kept, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_workbench.data.frames import all_texts, flat
from mlops_workbench.data.inferring import FEWEST_KEYS
from mlops_workbench.data.kinds import kind_of, misfits

if TYPE_CHECKING:
    import pandas as pd

_UNKNOWN = ("?", "-", "--", "n/a", "na", "nan", "none", "null", "unknown", "missing", ".", "#n/a")
"""texts, in small letters, that stand for a value that is not known"""
_MOST_STRAYS = 0.2
"""up to this share of texts among numbers, the column is taken for one of numbers"""
MOST = 12
"""sentences that are given"""


def hints(frame: pd.DataFrame) -> tuple[str, ...]:
    """Blanks and words for what is missing, padding, columns of one value, and ids."""
    found = [f"'{name}': {sentence}" for name in frame.columns for sentence in _of(flat(frame[name]))]
    more = len(found) - MOST
    return (*found[:MOST], *([f"And {more} more of these."] if more > 0 else []))


def _of(series: pd.Series[Any]) -> Iterator[str]:
    present = series.dropna()
    try:
        distinct = int(present.nunique())
    except (TypeError, NotImplementedError):  # what has no hash is neither a constant nor an id
        return
    total = len(series)
    if total >= FEWEST_KEYS and distinct == 1:
        yield f"has the value {str(present.iloc[0])!r} in every row that has one; a model learns nothing from it."
    if kind_of(series) == "string" and all_texts(present):
        yield from _of_texts(present)
    if total >= FEWEST_KEYS and distinct == total and _is_id(series):
        yield "has another value in every row: an id, which no model should read."


def _of_texts(present: pd.Series[Any]) -> Iterator[str]:
    counts = present.value_counts()
    if strays := _strays(counts, len(present)):
        return (yield strays)
    words = counts.index.to_series()
    bare = words.str.strip()
    if blank := int(counts[(bare == "").to_numpy()].sum()):
        yield f"{blank:,} of {len(present):,} values are blank text; read them as missing (na_values)."
    for word in words[bare.str.lower().isin(_UNKNOWN).to_numpy()]:
        yield f"{word.strip()!r} in {counts[word]:,} of {len(present):,} values: missing? Then read it so (na_values)."
    padded = (bare != words) & (bare != "")
    if many := int(counts[padded.to_numpy()].sum()):
        example = str(words[padded].iloc[0])
        yield f"{many:,} of {len(present):,} values begin or end with a space, such as {example!r}; strip them."


def _strays(counts: pd.Series[Any], total: int) -> str:
    """Numbers as text but for a few values; empty otherwise."""
    words = counts.index.to_series()
    stray = misfits(words, "double")
    many = int(counts[stray].sum())
    if many > _MOST_STRAYS * total:
        return ""
    if not many:
        return "holds numbers as texts: right for codes (07 is not 7); else convert it (pd.to_numeric)."
    example = str(words[stray].iloc[0])
    what = "blank text" if not example.strip() else f"no numbers, such as {example!r}"
    return (
        f"{many:,} of {total:,} values are {what}; all others are numbers. "
        "Read those as missing (na_values), convert the column (pd.to_numeric), and infer again."
    )


def _is_id(series: pd.Series[Any]) -> bool:
    """Texts of one word, or whole numbers of which each is the one before and 1, in any order."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(series.dtype):
        # as Python's numbers: the difference of two of 64 bits can overflow
        return int(series.max()) - int(series.min()) == len(series) - 1
    return all_texts(series) and not series.str.contains(" ").any()
