"""Reading the inference log, and joining it with labels that come later."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn import metrics

from mlops_workbench.base.errors import InvalidConfig, InvalidData, NotFound, UsageError
from mlops_workbench.monitor import inference
from mlops_workbench.monitor.inference import LogSelection
from mlops_workbench.monitor.labels import LabelForm, write_labels
from mlops_workbench.monitor.performance import Performance, performance
from mlops_workbench.serving.tables import slug

START = datetime(2013, 7, 1, tzinfo=UTC).timestamp()
ROWS = 400
FEATURES = {
    "Entfernung in km": sa.Double,
    "航空": sa.Text,
    "seats": sa.BigInteger,
    "night": sa.Boolean,
    "dep": sa.Text,
}


def log(path: Path, model: str = "flights", *, prediction: Any = sa.Text, rows: int = ROWS) -> str:
    """A log as the runtime writes it: two rows a request, one request a minute."""
    url = f"sqlite:///{path / 'inference.db'}"
    table = sa.Table(
        f"predictions_{slug(model)}",
        sa.MetaData(),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("row_index", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("model_version", sa.Text),
        sa.Column("role", sa.Text),
        sa.Column("latency_ms", sa.Double),
        sa.Column("prediction", prediction),
        sa.Column("score", sa.Double),
        sa.Column("probabilities", sa.Text),
        *(sa.Column(f"x_{name}", kind) for name, kind in FEATURES.items()),
    )
    rng = np.random.default_rng(0)
    score = rng.random(rows)
    late = (score > 0.5).astype(int)
    answers = {sa.Text: ["late" if v else "on time" for v in late], sa.Double: late.astype(float).tolist()}
    made = [
        {
            "request_id": f"r{i // 2}",
            "row_index": i % 2,
            "at": START + 60 * (i // 2),
            "model_version": "1" if i < rows // 2 else "2",
            "role": "champion",
            "latency_ms": 2.0,
            "prediction": answers[prediction][i],
            "score": float(score[i]),
            "probabilities": None,
            "x_Entfernung in km": None if i == 0 else float(i),
            "x_航空": "UA" if i % 3 else None,
            "x_seats": 100 + i,
            "x_night": i % 2 == 0,
            "x_dep": datetime.fromtimestamp(START + i, UTC).isoformat(),
        }
        for i in range(rows)
    ]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        table.create(connection)
        connection.execute(sa.insert(table), made)
    engine.dispose()
    return url


@pytest.fixture
def url(tmp_path: Path) -> str:
    return log(tmp_path)


def measured(
    url: str,
    model: str,
    selection: LogSelection = inference.EVERYTHING,
    *,
    limit: int | None = None,
    **options: Any,
) -> Performance:
    found = performance(inference.read(url, model, selection, limit=limit), **options)
    assert found is not None
    return found


def truth(rows: int = ROWS) -> pd.DataFrame:
    """Labels that agree with the score's draw in about four of five cases."""
    score = np.random.default_rng(0).random(rows)
    flip = np.random.default_rng(1).random(rows) < 0.2
    late = (score > 0.5) ^ flip
    return pd.DataFrame(
        {
            "request_id": [f"r{i // 2}" for i in range(rows)],
            "row_index": [i % 2 for i in range(rows)],
            "outcome": np.where(late, "late", "on time"),
        }
    )


def test_rows_come_back_typed_and_in_order(url: str) -> None:
    rows = inference.read(url, "flights", features=list(FEATURES), datetimes=["dep"])
    frame, facts = rows.features, rows.facts
    assert list(frame.columns) == list(FEATURES)
    assert list(facts.columns) == [*inference.FACTS, "label"]
    assert len(rows) == len(frame) == len(facts) == ROWS
    assert frame["Entfernung in km"].dtype == np.float64
    assert np.isnan(frame["Entfernung in km"][0])
    assert frame["seats"].dtype == np.int64
    assert frame["night"].tolist()[:2] == [True, False]
    assert frame["航空"][0] is None
    assert frame["dep"][1] == pd.Timestamp(START + 1, unit="s", tz="UTC")
    assert facts["at"].is_monotonic_increasing
    assert facts["at"][0] == pd.Timestamp("2013-07-01", tz="UTC")
    assert facts["label"].isna().all()
    assert list(inference.read(url, "flights").features.columns) == list(frame.columns)


def test_period_versions_and_limit(url: str) -> None:
    def ids(limit: int | None = None, **selected: Any) -> list[str]:
        found = inference.read(url, "flights", LogSelection(**selected), features=["seats"], limit=limit)
        return found.facts["request_id"].tolist()

    assert set(ids(versions=[2])) == {f"r{i}" for i in range(100, 200)}
    assert ids(since=datetime(2013, 7, 1, 0, 3), until=START + 240) == ["r3", "r3"]
    assert ids(limit=3) == ["r198", "r199", "r199"]
    assert ids(since=datetime(2014, 1, 1)) == []
    assert inference.count(url, "flights") == ROWS
    assert inference.count(url, "flights", LogSelection(["1"], since=START + 60)) == 198
    with pytest.raises(UsageError, match="limit"):
        ids(limit=0)


def test_what_is_not_logged(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'delays'"):
        inference.read(url, "delays")
    assert inference.count(url, "delays") == 0
    absent = tmp_path / "absent.db"
    assert inference.count(f"sqlite:///{absent}", "flights") == 0
    assert not absent.exists()
    with pytest.raises(InvalidData, match=r"'seat'.*'seats'"):
        inference.read(url, "flights", features=["seat"])
    with pytest.raises(InvalidConfig):
        inference.count("no url", "flights")


def test_labels_are_matched_kept_and_replaced(url: str) -> None:
    labels = truth().iloc[:10]
    receipt = write_labels(url, "flights", labels)
    assert (receipt.matched, receipt.unmatched, receipt.replaced, receipt.total) == (10, 0, 0, 10)
    more = pd.DataFrame(
        {
            "request_id": ["r0", "r0", "unknown", "r7"],
            "row_index": 0,
            "label": ["late", "on time", "late", None],
        }
    )
    receipt = write_labels(url, "flights", more)
    assert (receipt.matched, receipt.unmatched, receipt.replaced) == (1, 1, 1)
    assert (receipt.skipped, receipt.total, receipt.doubled) == (1, 2, 1)
    assert receipt.title == (
        "1 of 2 labels found their prediction; 1 wait for theirs and are kept; 1 replaced an earlier one; "
        "1 of these were corrections, whose earlier value is kept; "
        "1 were there twice, and the later one counts; 1 rows had none."
    )
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT label FROM labels_flights WHERE request_id='r0' AND row_index=0"
        )
        assert found.scalar_one() == "on time"
        assert connection.exec_driver_sql("SELECT count(*) FROM labels_flights").scalar_one() == 11
    engine.dispose()


@pytest.mark.parametrize(
    ("frame", "column", "message"),
    [
        (pd.DataFrame({"id": ["r0"], "y": ["late"]}), None, "no column 'request_id'"),
        (pd.DataFrame({"request_id": ["r0"]}), None, "0 columns that could be"),
        (pd.DataFrame({"request_id": ["r0"], "a": [1], "b": [2]}), None, "2 columns that could be"),
        (
            pd.DataFrame({"request_id": ["r0"], "late": [1]}),
            "latex",
            "no column 'latex'. Did you mean 'late'",
        ),
    ],
)
def test_labels_that_do_not_fit(url: str, frame: pd.DataFrame, column: str | None, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        write_labels(url, "flights", frame, LabelForm(column))


def test_labels_of_one_request_are_told_apart(url: str) -> None:
    """Without row_index only a request of one row can be labelled: of two rows, one label would be lost."""
    for requests in (["r1", "r1"], ["r1"]):
        frame = pd.DataFrame({"request_id": requests, "y": ["late"] * len(requests)})
        with pytest.raises(InvalidData, match="The request 'r1' has several rows"):
            write_labels(url, "flights", frame)
    assert measured(url, "flights", task="classification").n == 0


@pytest.mark.parametrize("place", [1.5, -1, None, "second"])
def test_a_place_that_is_none_is_refused(url: str, place: Any) -> None:
    frame = pd.DataFrame({"request_id": ["r1", "r2"], "row_index": [0, place], "y": "late"})
    with pytest.raises(InvalidData, match="'row_index' of a label must be a whole number from 0 up"):
        write_labels(url, "flights", frame)


def test_labels_that_find_no_prediction_are_no_success(url: str) -> None:
    frame = pd.DataFrame({"request_id": ["x1", "x2"], "row_index": 0, "y": "late"})
    with pytest.raises(
        InvalidData, match=r"None of the 2 labels belongs to a logged prediction, such as .* 'x1'"
    ):
        write_labels(url, "flights", frame)


@pytest.mark.parametrize(("given", "shown"), [("LATE", "'LATE'"), ("maybe", "'maybe'"), (1, "1")])
def test_labels_that_are_no_class_replace_nothing(url: str, given: Any, shown: str) -> None:
    classes = ["late", "on time"]
    right = truth().iloc[:10]
    write_labels(url, "flights", right, LabelForm(classes=classes))
    before = measured(url, "flights", task="classification", classes=classes)
    wrong = right.assign(outcome=[given, *right["outcome"][1:]])
    with pytest.raises(
        InvalidData, match=rf"1 of 10 labels are no class .*: {shown} is none of 'late', 'on time'"
    ):
        write_labels(url, "flights", wrong, LabelForm(classes=classes))
    assert measured(url, "flights", task="classification", classes=classes) == before


def test_classes_of_texts_do_not_disturb_a_log_of_numbers(tmp_path: Path) -> None:
    """Two versions of a model, of which the first answered with texts."""
    url = log(tmp_path, prediction=sa.Double)
    labels = truth().assign(outcome=lambda f: f["outcome"] == "late")
    form = LabelForm(classes=["late", "on time", False, True])
    assert write_labels(url, "flights", labels, form).matched == ROWS
    with pytest.raises(InvalidData, match="is none of"):
        write_labels(url, "flights", labels.assign(outcome=2), form)


def test_other_words_for_the_classes_are_mapped(tmp_path: Path) -> None:
    words = {"YES": "late", "NO": "on time"}
    url = log(tmp_path)
    other = truth().assign(outcome=lambda f: np.where(f["outcome"] == "late", "YES", "NO"))
    form = LabelForm(classes=["late", "on time"], mapping=words)
    with pytest.raises(UsageError, match="No label is 'YEP'"):
        write_labels(url, "flights", other, LabelForm(mapping={"YEP": "late"}))
    write_labels(url, "flights", other, form)
    found = measured(url, "flights", task="classification", classes=("late", "on time"))
    assert found.metrics["accuracy"] == pytest.approx(0.8, abs=0.1)
    numbers = truth().assign(outcome=lambda f: (f["outcome"] == "late").astype(float))
    again = LabelForm(classes=["late", "on time"], mapping={"1": "late", "0": "on time"})
    assert write_labels(url, "flights", numbers, again).replaced == ROWS
    assert measured(url, "flights", task="classification", classes=("late", "on time")) == found


def test_numeric_models_take_numeric_labels(tmp_path: Path) -> None:
    url = log(tmp_path, prediction=sa.Double)
    with pytest.raises(InvalidData, match="'late' is not a number"):
        write_labels(url, "flights", truth(), LabelForm("outcome"))
    labels = truth().assign(outcome=lambda f: f["outcome"] == "late")
    write_labels(url, "flights", labels)
    found = measured(url, "flights", task="classification", classes=(False, True))
    assert found.metrics["accuracy"] == pytest.approx(0.8, abs=0.1)
    assert 0 < found.metrics["roc_auc"] < 1
    found = measured(url, "flights", task="regression")
    assert found.metrics["mae"] == pytest.approx(1 - inference_accuracy(labels), abs=1e-9)


def inference_accuracy(labels: pd.DataFrame) -> float:
    score = np.random.default_rng(0).random(ROWS)
    return float(np.mean((score > 0.5) == labels["outcome"]))


def test_performance_is_scikit_learns_on_the_joined_rows(url: str) -> None:
    none = measured(url, "flights", task="classification")
    assert (none.n, none.rows, none.title) == (0, ROWS, f"0 of {ROWS} rows are labelled yet")
    labels = truth()
    write_labels(url, "flights", labels.iloc[:300])
    found = measured(
        url,
        "flights",
        task="classification",
        classes=("on time", "late"),
        baseline={"roc_auc": 0.9, "other": 1},
    )
    assert found.n == 300
    score = np.random.default_rng(0).random(ROWS)[:300]
    late = labels["outcome"][:300] == "late"
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(late, score > 0.5))
    assert found.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(late, score))
    assert found.metrics["log_loss"] == pytest.approx(metrics.log_loss(late, score))
    assert found.metrics["positive_rate"] == pytest.approx(late.mean())
    assert found.baseline == {"roc_auc": 0.9}
    first = measured(
        url,
        "flights",
        LogSelection(until=START + 600),
        task="classification",
        classes=("on time", "late"),
    )
    assert first.n == 20
    late_period = LogSelection(since=START + 60 * 180)
    assert measured(url, "flights", late_period, task="classification").n == 0
    newest = measured(url, "flights", task="classification", classes=("on time", "late"), limit=ROWS - 290)
    assert (newest.n, newest.rows) == (10, ROWS - 290)
    assert newest.title == f"Performance on the 10 of {ROWS - 290} rows that are labelled"


def test_readers_name_the_roles_that_they_want(tmp_path: Path) -> None:
    """The default is what was answered: a shadow's rows neither count, nor are matched with labels."""
    url = log(tmp_path)
    engine = sa.create_engine(url)
    with engine.begin() as connection:  # as a log is keyed now: the same rows once more, answered otherwise
        rows = connection.exec_driver_sql("SELECT * FROM predictions_flights").mappings().all()
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'table'").scalar_one()
        connection.exec_driver_sql("DROP TABLE predictions_flights")
        connection.exec_driver_sql(made.replace("(request_id, row_index)", "(request_id, row_index, role)"))
        table = sa.Table("predictions_flights", sa.MetaData(), autoload_with=connection)
        connection.execute(
            sa.insert(table), [{**row, "role": "canary" if row["row_index"] else "champion"} for row in rows]
        )
        connection.execute(
            sa.insert(table), [{**row, "role": "shadow", "prediction": "late", "score": 1.0} for row in rows]
        )
    engine.dispose()
    assert inference.count(url, "flights") == len(inference.read(url, "flights")) == ROWS
    assert inference.count(url, "flights", LogSelection(roles=["canary"])) == ROWS // 2
    assert inference.count(url, "flights", LogSelection(["2"], ["canary", "shadow"])) == 3 * ROWS // 4
    assert set(inference.read(url, "flights", LogSelection(roles=["shadow"])).facts["prediction"]) == {"late"}
    assert set(inference.read(url, "flights").facts["prediction"]) == {"late", "on time"}
    labels = truth()
    receipt = write_labels(url, "flights", labels)
    assert (receipt.matched, receipt.total) == (ROWS, ROWS)
    every = {"task": "classification", "classes": ("on time", "late")}
    answered = measured(url, "flights", **every)
    assert (answered.n, answered.metrics["accuracy"]) == (ROWS, pytest.approx(0.8, abs=0.1))
    shadow = measured(url, "flights", LogSelection(roles=["shadow"]), **every)
    assert shadow.metrics["accuracy"] == pytest.approx((labels["outcome"] == "late").mean())
    assert measured(url, "flights", LogSelection(roles=[]), **every).n == 0


def test_labels_let_the_runtime_write_between(url: str) -> None:
    """Labels go in by short transactions: a writer of predictions never waits for all of them."""
    many = pd.DataFrame(
        {"request_id": ["r0", *(f"x{i}" for i in range(59_999))], "row_index": 0, "label": "late"}
    )
    import threading

    worker = threading.Thread(target=write_labels, args=(url, "flights", many))
    engine = sa.create_engine(url, connect_args={"timeout": 5})
    longest = 0.0
    worker.start()
    while worker.is_alive():
        started = time.perf_counter()
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE predictions_flights SET role='champion' WHERE request_id='r0'")
        longest = max(longest, time.perf_counter() - started)
        time.sleep(0.005)
    worker.join()
    engine.dispose()
    assert longest < 2
    assert write_labels(url, "flights", many.iloc[:5]).replaced == 5


def test_reads_what_the_runtime_writes(tmp_path: Path) -> None:
    """The runtime's own table: names that differ in case, or are too long, find their columns."""
    from mlops_workbench.manifest import Field, Manifest
    from mlops_workbench.serving.tables import predictions_table

    names = ["distance", "Distance", "ü" * 40]
    manifest = Manifest(
        name="Flights 2013",
        task="regression",
        inputs=tuple(Field(name, "double") for name in names),
        model_file="model.skops",
        serialization="skops",
        trusted=(),
        sha256="",
        python="3.11",
        requirements=(),
    )
    url = f"sqlite:///{tmp_path / 'log.db'}"
    engine = sa.create_engine(url)
    table = predictions_table(sa.MetaData(), manifest, manifest.name)
    fixed = {"request_id": "r", "row_index": 0, "at": START, "model_version": "1", "role": "champion"}
    values = dict(
        zip([c.name for c in table.columns if c.name.startswith("x_")], (1.0, 2.0, 3.0), strict=True)
    )
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [fixed | {"latency_ms": 1.0, "prediction": 7.0} | values])
    engine.dispose()
    frame = inference.read(url, "Flights 2013", features=names).features
    assert frame[names].to_numpy().tolist() == [[1.0, 2.0, 3.0]]
    assert inference.count(url, "flights 2013") == 0
