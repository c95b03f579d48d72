"""A team's own metrics: SQL that reads the rows, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.config import reading
from mlops_workbench.monitor import sql_metrics

COLUMNS: dict[str, Any] = {
    "label": np.array([1.0, 0.0, 1.0, 1.0]),
    "prediction": np.array([1.0, 1.0, 0.0, 1.0]),
    "score": np.array([0.9, 0.8, 0.1, np.nan]),
    "wind speed": np.array([1.0, 2.0, np.nan, 4.0]),
    "carrier": np.array(["AA", "UA", None, "AA"], dtype=object),
}
FEATURES = ["wind speed", "carrier", "hour"]
CODES = np.array([0, 0, 2, 2])


def test_each_window_has_its_value_and_the_whole_its_own() -> None:
    expressions = {
        "savings": "SUM(CASE WHEN label = 1 AND prediction = 1 THEN 40 ELSE -1 END)",
        "wind": 'AVG("wind speed") -- of those known',
        "carriers": "COUNT(DISTINCT carrier)",
        "sure": "MAX(score)",
        "word": "MIN(carrier)",
    }
    assert sql_metrics.check(expressions, FEATURES) == ["wind speed", "carrier"]
    assert sql_metrics.evaluate(expressions, COLUMNS, CODES, 3) == {
        "savings": [39.0, None, 39.0, 78.0],
        "wind": [1.5, None, 4.0, pytest.approx(7 / 3)],
        "carriers": [2.0, None, 1.0, 2.0],
        "sure": [0.9, None, 0.1, 0.9],
        "word": [None, None, None, None],  # no number
    }


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("SUM(labels)", "no such column: labels"),
        ("SUM(label", "cannot be evaluated"),
        ("label", "has a value for each row"),
        ("1", "has a value for each row"),
        ("(SELECT COUNT(*) FROM sqlite_master)", "it may read the rows and call functions, and nothing else"),
        ("load_extension('x')", "nothing else"),
        ("1) FROM rows; DROP TABLE rows; --", "one statement"),
        ("SUM(1)) FROM rows ATTACH DATABASE 'x' AS y; --", "cannot be evaluated"),
        ("(SELECT COUNT(*) FROM pragma_database_list)", "nothing else"),
        (
            "(WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT COUNT(*) FROM t)",
            "nothing else",
        ),
        ("SUM(label), COUNT(*)", "cannot be evaluated"),
    ],
)
def test_a_wrong_expression_is_a_sentence(expression: str, said: str) -> None:
    with pytest.raises(InvalidConfig, match=r"\[monitor.metrics\] own = ") as caught:
        sql_metrics.check({"own": expression}, FEATURES)
    assert said in str(caught.value)


def test_it_reads_no_file_and_writes_none(tmp_path: Path) -> None:
    for expression in (f"readfile('{tmp_path}')", f"writefile('{tmp_path}/x', 1)", "edit('x')"):
        with pytest.raises(InvalidConfig):
            sql_metrics.evaluate({"own": expression}, COLUMNS, CODES, 3)
    assert list(tmp_path.iterdir()) == []


def test_an_expression_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_metrics, "SECONDS", 0.2)
    many = {name: np.tile(values, 1000) for name, values in COLUMNS.items()}
    slow = "(SELECT COUNT(*) FROM rows a, rows b, rows c WHERE a.score + b.score > c.score)"
    with pytest.raises(InvalidConfig, match=r"it takes longer than 0\.2 seconds"):
        sql_metrics.evaluate({"slow": slow}, many, np.tile(CODES, 1000), 3)


def test_features_that_sqlite_cannot_tell_apart_leave_the_first() -> None:
    assert sql_metrics.columns_of(["Label", "a", "A"]) == ["label", "prediction", "score", "a"]


@pytest.mark.parametrize(("value", "said"), [("3", "map names to texts"), ('" "', "SQL expressions")])
def test_the_section_takes_expressions(tmp_path: Path, value: str, said: str) -> None:
    path = tmp_path / "mlops.toml"
    path.write_text(f'[project]\nname = "x"\n[monitor.metrics]\nown = {value}\n')
    with pytest.raises(InvalidConfig, match=said):
        reading.read(path)
    path.write_text('[project]\nname = "x"\n[monitor.metrics]\nown = "SUM(label)"\n')
    assert reading.read(path).monitor.metrics == {"own": "SUM(label)"}
