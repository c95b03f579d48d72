"""Evidently's report and whylogs' profiles, each through the one module that wraps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.data import profiles
from mlops_workbench.monitor.reports import evidently_report


def frame(seed: int, n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance": rng.normal(100 * seed, 10, n),
            "carrier": rng.choice(["UA", "AA", None], n),
            "arrow": pd.array(rng.choice(["x", "y"], n), "string[pyarrow]"),
            "seats": pd.array([1, None] * (n // 2), "Int64"),
            "night": rng.random(n) < 0.5,
            "empty": np.nan,
            "empty <now>": ["a"] * n if seed == 0 else [None] * n,
            "dep": pd.date_range("2013-01-01", periods=n, freq="h"),
        }
    )


def test_evidently_writes_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    seen: list[str] = []
    path = evidently_report(
        frame(0),
        frame(1),
        path=tmp_path / "deep" / "report.html",
        progress=lambda message, fraction=None: seen.append(message),
    )
    text = path.read_text()
    assert "distance" in text
    assert "Left out: empty (All its values are missing.)" in text
    assert "Left out: empty &lt;now&gt;" in text
    assert "Left out: dep (Dates" in text
    assert any("of 5" in message for message in seen)
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 30)), columns=[f"c{i}" for i in range(30)])
    path = evidently_report(wide, wide, path=tmp_path / "wide.html")
    assert "c29" in (tmp_path / "wide-2.html").read_text()
    assert 'href="wide-2.html"' in path.read_text()[-500:]
    with pytest.raises(InvalidData, match="No column of 1"):
        evidently_report(frame(0)[["dep"]], frame(1)[["dep"]], path=tmp_path / "x.html")
    with pytest.raises(InvalidData, match="current data has no rows"):
        evidently_report(frame(0), frame(1, 0), path=tmp_path / "x.html")


def test_evidently_takes_few_rows_of_a_category_for_what_they_are(tmp_path: Path) -> None:
    sizes = pd.DataFrame({"size": np.random.default_rng(0).choice(["S", "M", "L"], 300)})
    assert "size" in evidently_report(sizes, sizes[:2], path=tmp_path / "few.html").read_text()


@pytest.mark.whylogs
def test_profiles_merge_and_tell_what_was_in_the_data() -> None:
    first, second = profiles.profile(frame(0)), profiles.profile(frame(1))
    found = profiles.summary(profiles.merge([first, second]))
    assert set(found) == set(frame(0).columns)
    assert found["distance"]["rows"] == 1000
    both = pd.concat([frame(0), frame(1)])
    assert found["distance"]["mean"] == pytest.approx(both["distance"].mean())
    assert found["distance"]["max"] == pytest.approx(both["distance"].max())
    assert found["carrier"]["missing"] == both["carrier"].isna().sum()
    assert found["carrier"]["frequent"]["UA"] == (both["carrier"] == "UA").sum()
    assert found["carrier"]["distinct"] == 2
    assert found["empty"]["missing"] == 1000
    assert found["seats"]["missing"] == 500
    with pytest.raises(InvalidData, match="no profile"):
        profiles.merge([])
    with pytest.raises(InvalidData, match="cannot be read"):
        profiles.summary(b"no profile")
    with pytest.raises(InvalidData, match="needs rows"):
        profiles.profile(frame(0).iloc[:0])
