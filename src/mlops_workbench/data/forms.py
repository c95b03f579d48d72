"""Rows in the forms that people have them in: polars frames, NumPy arrays, Series, features and label apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["frame", "polars", "array", "series", "values"]
"""`array`: of two dimensions; `series`, `values`: one column, of pandas or polars, or as an array of one dimension"""

LABEL = "target"
"""the column of a label that has no name"""


def form_of(value: Any) -> Form | None:
    """Which of them it is; None for what holds no rows. Nothing is imported for it."""
    library, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if kind == "DataFrame" and library in ("pandas", "polars"):
        return "frame" if library == "pandas" else "polars"
    if kind == "Series" and library in ("pandas", "polars"):
        return "series"
    if library == "numpy" and kind == "ndarray" and value.ndim in (1, 2):
        return "array" if value.ndim == 2 else "values"
    return None


def as_frame(value: Any, name: str) -> pd.DataFrame:
    """A pandas DataFrame of the same rows. Columns of an array are x0, x1, …; an unnamed column is called `name`."""
    import pandas as pd

    form = form_of(value)
    if form == "frame":
        found: pd.DataFrame = value
        return found
    if form == "polars":
        return pd.DataFrame(value.to_pandas())
    if form == "array":
        return pd.DataFrame(value, columns=[f"x{place}" for place in range(value.shape[1])])
    series = value.to_pandas() if type(value).__module__.startswith("polars") else pd.Series(value)
    return series.rename(series.name if isinstance(series.name, str) and series.name else name).to_frame()


def restored(frame: pd.DataFrame, form: str) -> Any:
    """What a variable held, from the frame that was kept of it."""
    if form == "polars":
        import polars

        return polars.from_pandas(frame)
    if form in ("array", "values"):
        return frame.to_numpy() if form == "array" else frame.iloc[:, 0].to_numpy()
    return frame.iloc[:, 0] if form == "series" else frame


_FEATURES = re.compile(r"(?<![A-Za-z])X(?![a-z]{4})|(?<![A-Za-z])x(?=_|$)")


def label_beside(name: str, namespace: Mapping[str, Any]) -> str | None:
    """`y_train` for `X_train`, where there is such a variable that can be its label."""
    beside = _FEATURES.sub("y", name) if _FEATURES.search(name) else name.replace("features", "labels")
    if beside == name or name not in namespace or beside not in namespace:
        return None
    return beside if is_label(namespace[beside], namespace[name]) else None


def is_label(value: Any, features: Any) -> bool:
    """One value for each row of the features, apart from them."""
    form = form_of(value)
    if form is None or form_of(features) is None or len(value) != len(features):
        return False
    if form in ("series", "values"):
        return True
    return bool(value.shape[1] == 1) and not (
        form_of(features) == "frame"
        and set(map(str, value.columns if form != "array" else ())) <= set(features.columns)
    )


def joined(features: pd.DataFrame, label: Any) -> tuple[pd.DataFrame, str]:
    """One frame, row by row in their order, and the name of its label column."""
    column = as_frame(label, LABEL)
    name = str(column.columns[0]) if form_of(label) != "array" else LABEL
    while name in features.columns:
        name = f"{name}_{LABEL}"
    return features.assign(**{name: column.iloc[:, 0].set_axis(features.index)}), name


def for_model(model: Any, rows: pd.DataFrame) -> Any:
    """Rows as the model was fitted on them: an array where it keeps no names, a Series where it reads texts."""
    if hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_"):
        return rows.to_numpy()  # it would warn of names
    return rows.iloc[:, 0] if rows.shape[1] == 1 and reads_texts(model) else rows


def reads_texts(model: Any) -> bool:
    """Whether it is fitted on texts themselves (TfidfVectorizer first), not on a table."""
    while steps := getattr(model, "steps", None):
        model = steps[0][1]
    try:
        from sklearn.utils import get_tags

        asked = get_tags(model).input_tags
    except Exception:  # no estimator of scikit-learn's has such tags
        return False
    return bool(asked.string and not asked.two_d_array)
