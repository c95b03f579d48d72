"""Reading the tracking store by SQL: the same as MLflow's client says, value for value, and without MLflow."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from projects import champion, fit

from mlops_workbench.base.errors import NotFound
from mlops_workbench.track import sql_reader, writing
from mlops_workbench.track.client import Client
from mlops_workbench.track.ranking import RunTest as Comparison
from mlops_workbench.track.reading import RunQuery, TrackingReader
from mlops_workbench.track.records import PREFIX
from mlops_workbench.workbench import Workbench

ODD = 'o\'clock "ö" % _ \\ 日本'
KEY = "größe a/b: 日本"
"""as odd as MLflow lets a name be"""
FIRST = 1_700_000_000_000


def fill(workbench: Workbench) -> None:
    """Runs, models and versions in all the states that MLflow knows."""
    from mlflow.entities import Metric, Param, RunTag

    client, experiment = workbench.tracking.client, workbench.tracking.experiment_id
    client.set_experiment_tag(experiment, PREFIX + "ledger", "7:abc")
    metrics = {"auc": [0.5, 0.7], "nan": [1.0, math.nan], "inf": [math.inf], "low": [-math.inf], KEY: [-0.0]}
    runs = []
    for number, status in enumerate(("FINISHED", "FAILED", "KILLED", "RUNNING", "FINISHED", "FINISHED")):
        started = FIRST + number * 1000
        name = ODD if number == 1 else "twice" if number in (2, 4) else f"run {number}"
        parent = {"mlflow.parentRunId": runs[0]} if number == 2 else {}
        tags = {PREFIX + "target": "late", PREFIX + KEY: ODD, "other": "x"} | parent
        run = client.create_run(experiment, start_time=started, run_name=name, tags=tags).info.run_id
        runs.append(run)
        client.log_batch(
            run,
            metrics=[
                Metric(key, value + number / 8, started, step)
                for key, values in (metrics if number != 3 else {}).items()
                for step, value in enumerate(values)
            ],
            params=[Param("c", str(10 ** (number - 2))), Param(KEY, ODD)] if number != 4 else [],
            tags=[RunTag("note", "")],
        )
        if status != "RUNNING":
            client.set_terminated(run, status, end_time=started + 100 * (number + 1))
    client.delete_run(runs[5])
    client.create_run(client.create_experiment("another"), run_name="elsewhere")
    model = client.create_logged_model(experiment, name="m", source_run_id=runs[0])
    gone = client.create_logged_model(experiment, name="gone")
    client.delete_logged_model(gone.model_id)
    client.set_experiment_tag(experiment, PREFIX + "gone", gone.model_id)
    for name in ("trips", "Trips-2", "removed", "empty"):
        client.create_registered_model(name)
    tags = {"metrics": '{"auc": 0.5}', KEY: ODD}
    for _ in range(11):
        workbench.tracking.create_version("trips", f"models:/{model.model_id}", runs[0], tags)
    for name in ("Trips-2", "removed"):
        client.create_model_version(name, "/somewhere/else", tags={"other": "x"})
    for alias, number in (("champion", "10"), ("challenger", "2"), ("Second", "10"), ("lost", "3")):
        client.set_registered_model_alias("trips", alias, number)
    client.set_registered_model_alias("Trips-2", "champion", "1")
    for number in ("3", "11"):
        client.delete_model_version("trips", number)
    client.delete_registered_model("removed")
    registry = client._get_registry_client()
    prompt = {"mlflow.prompt.is_prompt": "true"}
    registry.create_registered_model("prompt", tags=prompt)
    registry.create_model_version("prompt", "prompt", tags=prompt)


def readers(workbench: Workbench) -> tuple[TrackingReader, TrackingReader]:
    ours = sql_reader.reader(workbench.project.tracking_url)
    assert ours is not None
    return ours, Client(workbench.project)


def plain(value: Any) -> Any:
    """Comparable, also where NaN is in it and mappings come in another order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return repr(value) if isinstance(value, float) else value


def asked(reader: TrackingReader, workbench: Workbench) -> Iterator[tuple[str, Any]]:
    """Every question of `reading.Reader`, with its answer."""
    name = workbench.project.name
    found = reader.experiment(name)
    assert found is not None
    yield "experiment", found
    yield "no experiment", reader.experiment("none")
    for run in workbench.tracking.client.search_runs([found.id], run_view_type=3):
        yield f"run {run.info.run_name}", reader.run(run.info.run_id)
        yield f"artifacts {run.info.run_name}", reader.artifact_location(run.info.run_id)
    yield "no run", (reader.run("0" * 32), reader.artifact_location("0" * 32))
    for run_name in ("twice", "run 0", "run 5", "none"):
        yield f"newest {run_name}", reader.newest_run(found.id, run_name)
    for kind, key in KEYS:
        stored = PREFIX + key if kind == "tag" else key
        yield f"has {kind} {key}", kind == "attribute" or reader.has(found.id, kind, stored)
        for ascending in (True, False):
            for limit in (3, 100):
                query = RunQuery(found.id, (), kind, stored, ascending, limit)
                yield f"sorted by {kind} {key} {ascending} {limit}", reader.find_runs(query)
    for test in TESTS:
        yield f"{test}", reader.find_runs(RunQuery(found.id, [test], "attribute", "started", True, 100))
    yield "all tests", reader.find_runs(RunQuery(found.id, TESTS[:3], "metric", "auc", True, 100))
    yield "models", reader.model_names()
    yield "versions", reader.versions()
    for model in ("trips", "Trips-2", "removed", "empty", "prompt", "none"):
        yield f"versions of {model}", reader.versions(model)
        yield f"numbers of {model}", sorted(reader.version_numbers().get(model, ()))
        yield f"aliases of {model}", dict(reader.aliases().get(model, {}))
        for number in (1, 2, 3, 10, 11, 99) if model != "prompt" else ():
            yield f"{model}/{number}", reader.version(model, number)
    for logged in workbench.tracking.client.search_logged_models(experiment_ids=[found.id]):
        yield f"model {logged.name}", reader.model_location(logged.model_id)
    yield "deleted model", reader.model_location(found.tags["gone"])
    yield "no model", reader.model_location("m-" + "0" * 32)


KEYS: list[tuple[Any, str]] = [
    *(("metric", key) for key in ("auc", "nan", "inf", "low", KEY, "none")),
    *(("param", key) for key in ("c", KEY, "none")),
    *(("tag", key) for key in ("target", KEY, "none")),
    *(("attribute", key) for key in ("started", "seconds", "name", "status")),
]
TESTS = [
    Comparison("metric", "auc", ">", 0.8),
    Comparison("param", "c", "!=", "1"),
    Comparison("attribute", "status", "=", "FINISHED"),
    Comparison("metric", "nan", "<=", 100.0),
    Comparison("metric", "inf", ">", 1.0),
    Comparison("param", KEY, "=", ODD),
    Comparison("tag", PREFIX + KEY, "=", ODD),
    Comparison("attribute", "name", "like", "run%"),
    Comparison("attribute", "started", ">=", FIRST + 2000),
]


@pytest.mark.both_stores
@pytest.mark.prepared(by=fill)
def test_sql_says_what_mlflow_says(workbench: Workbench, stores: str | None) -> None:
    ours, theirs = readers(workbench)
    answers = dict(asked(theirs, workbench))
    seen = {question: (plain(found), plain(answers[question])) for question, found in asked(ours, workbench)}
    assert {question: pair for question, pair in seen.items() if pair[0] != pair[1]} == {}
    assert len(seen) == len(answers) > 100
    assert len(answers["versions"]) == 10
    assert [run.status for run in answers["sorted by attribute started True 100"]] == [
        *("finished", "failed", "killed", "running", "finished")
    ]


@pytest.mark.both_stores
@pytest.mark.prepared(by=fill)
def test_a_schema_that_is_not_known_is_left_to_mlflow(
    workbench: Workbench, stores: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (workbench.runs().runs, workbench.tracking.versions())
    monkeypatch.setattr(sql_reader, "REVISIONS", frozenset({"of another MLflow"}))
    assert sql_reader.reader(workbench.project.tracking_url) is None
    other = Workbench(workbench.project.root)
    assert isinstance(other.tracking._reader, Client)
    assert plain((other.runs().runs, other.tracking.versions())) == plain(known)
    other.close()


def test_the_schema_of_the_installed_mlflow_is_known(workbench: Workbench) -> None:
    """Red after an upgrade of MLflow: compare the tables, then add the revision."""
    _ = workbench.tracking.client
    found = sql_reader.reader(workbench.project.tracking_url)
    assert found is not None
    assert found.revision in sql_reader.REVISIONS


def test_names_that_mlflow_cannot_ask_for_are_found(workbench: Workbench) -> None:
    client, experiment = workbench.tracking.client, workbench.tracking.experiment_id
    client.create_run(experiment, run_name=ODD)
    assert workbench.tracking.run(ODD).name == ODD
    with pytest.raises(NotFound, match="There is no run"):
        workbench.tracking.run("o'clock")


def test_a_project_without_a_store_reads_as_empty_and_stays_without(tmp_path: Path) -> None:
    (tmp_path / "mlops.toml").write_text('[project]\nname = "new"\n')
    workbench = Workbench(tmp_path)
    assert workbench.runs().runs == ()
    assert workbench.models().models == ()
    assert workbench.status().models == ()
    assert workbench.tracking.noted_ledger() is None
    with pytest.raises(NotFound, match="No run has a metric"):
        workbench.runs(sort="auc")
    with pytest.raises(NotFound, match="There is no model 'm'"):
        workbench.models(name="m")
    assert not (tmp_path / ".mlops" / "mlflow.db").exists()
    assert workbench.tracking.experiment_id == "1"  # a write makes it, and it is read from then on
    assert workbench.tracking._reader.experiment("new") is not None
    workbench.close()


def test_a_run_lets_sqlite_count_its_tables(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    file = workbench.project.state / "mlflow.db"
    fit(workbench)
    assert not tables(file) & {"sqlite_stat1"}
    monkeypatch.setattr(writing, "ENOUGH_RUNS", 2)
    fit(workbench, run="second")
    assert "sqlite_stat1" in tables(file)


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


READING = {
    "status": "status",
    "models": "models",
    "runs": "runs --sort roc_auc --where 'roc_auc > 0.1'",
    "history": "history trips",
    "lineage": "lineage trips",
    "card": "card trips",
    "deployments": "deployments",
    "alerts": "alerts",
    "compare": "compare first second",
    "jobs": "jobs",
    "ledger": "ledger",
    "verify": "ledger verify",
    "images": "images",
    "contract": "contract trips",
}
HEAVY = {
    "mlflow",
    "pandas",
    "sklearn",
    "evidently",
    "sqlalchemy",
    "numpy",
    "docker",
    "nbformat",
    "IPython",
} | {
    "whylogs",
    "pandera",
}
SCRIPT = """
import json, shlex, sys
from mlops_workbench.cli import main
for line in sys.argv[1:]:
    assert main(shlex.split(line)) == 0, line
    print("LOADED" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def two_runs(workbench: Workbench) -> None:
    champion(workbench)
    fit(workbench, run="second", c=0.1)
    workbench.contract("trips", data="train")


def loaded(workbench: Workbench, *lines: str) -> list[set[str]]:
    """Packages that are loaded after each line, all in one new process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *lines],
        cwd=workbench.project.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return [set(json.loads(line.removeprefix("LOADED"))) for line in found]


@pytest.mark.prepared(by=two_runs)
def test_no_reading_verb_loads_what_takes_seconds(workbench: Workbench) -> None:
    seen = loaded(workbench, *READING.values())
    heavy = {verb: HEAVY & packages for verb, packages in zip(READING, seen, strict=True)}
    assert heavy == {verb: set() for verb in READING}


@pytest.mark.slow
@pytest.mark.prepared(by=two_runs)
def test_verbs_on_logged_rows_load_what_their_data_needs(workbench: Workbench) -> None:
    rows = workbench.namespace["test"].head(20)
    rows.drop(columns="late").to_csv(workbench.project.root / "rows.csv", index=False)
    workbench.serve("trips", kind="process")
    try:
        truth = workbench.predict("trips", rows).frame[["request_id", "row_index"]].assign(late=rows["late"])
        truth.to_csv(workbench.project.root / "truth.csv", index=False)
        seen = loaded(workbench, "predict trips rows.csv", "label trips truth.csv", "drift trips")
        assert workbench.drift("trips").performance.n == 20
        for packages in seen:
            assert packages & {"mlflow", "sklearn", "evidently", "matplotlib", "skops"} == set()
    finally:
        workbench.stop("trips")
