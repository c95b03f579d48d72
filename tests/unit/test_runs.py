"""What a tracked run writes down by itself, and how runs are found again. Real MLflow stores, real models."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import fit
from sklearn.neural_network import MLPClassifier

from mlops_workbench.base.errors import NotFound, UsageError
from mlops_workbench.track import evaluation, notebook, queries, seeds, source
from mlops_workbench.track.runs import CHANGES, NOTEBOOK, SOURCE, Cell
from mlops_workbench.workbench import Workbench

FIT = 'from projects import pipeline\nmodel = pipeline().fit(train.drop(columns="late"), train["late"])\n'


def run(workbench: Workbench, code: str, space: dict[str, Any] | None = None, **options: Any) -> Any:
    names = dict(workbench.namespace) if space is None else space
    options = {"name": "r"} | options
    earlier = options.pop("earlier", ())
    return workbench.run(Cell(code, lambda: exec(code, names), names, earlier=earlier), **options)


def text(workbench: Workbench, done: Any, file: str) -> str:
    return workbench.tracking.text(done.run.id, file)


def test_the_cell_and_those_before_it_are_one_notebook(workbench: Workbench) -> None:
    earlier = ("%load_ext mlops_workbench", "x = 1")
    done = run(workbench, "y = 2", earlier=earlier)
    assert notebook.read(text(workbench, done, NOTEBOOK)) == [*earlier, "y = 2"]
    assert text(workbench, done, SOURCE) == "y = 2"


def test_a_script_has_no_notebook(workbench: Workbench) -> None:
    file = workbench.project.root / "fit.py"
    file.write_text("x = 1\n")
    done = workbench.run(str(file), name="script")
    assert text(workbench, done, NOTEBOOK) == ""
    assert text(workbench, done, SOURCE) == "x = 1\n"


@pytest.mark.both_stores
def test_all_parameters_seeds_and_what_it_took(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    code = (
        FIT
        + "import numpy as np\nSEED = 7\nnp.random.seed(SEED)\n"
        + "ballast = np.ones(30_000_000)\nimport time; time.sleep(0.2)"
    )
    done = run(workbench, code, data="train", evaluate="test", earlier=("import random", "random.seed(3)"))
    assert done.run.params["logisticregression__C"] == "1.0"
    assert done.run.params["logisticregression__max_iter"] == "100"
    tags = done.run.tags
    assert (tags["seed.np.random.seed"], tags["seed.random.seed"]) == ("7", "3")
    assert tags["seed.PYTHONHASHSEED"] == "0"
    assert float(tags["system.seconds"]) > 0.2
    assert float(tags["system.peak_memory_mb"]) - float(tags["system.memory_before_mb"]) > 200
    assert int(tags["data.bytes"]) > 1000
    assert not [name for name in done.run.metrics if "system" in name]


def test_a_failed_run_keeps_what_was_seen(workbench: Workbench) -> None:
    with pytest.raises(ZeroDivisionError):
        run(workbench, "import random\nrandom.seed(5)\n1 / 0")
    (failed,) = workbench.runs().runs
    assert failed.status == "failed"
    assert failed.tags["seed.random.seed"] == "5"
    assert "system.peak_memory_mb" in failed.tags


def test_printed_named_and_measured_metrics(workbench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        FIT
        + "lift = 2.5\n"
        + "for i in range(3): print(f'epoch {i} - loss: {1 / (i + 1)} - accuracy: 0.1')\n"
        + "print('auc: 0.7')\nprint('roc_auc: 0.99')\nprint('rows: 800')"
    )
    done = run(workbench, code, data="train", evaluate="test", metrics=["lift"])
    metrics = done.run.metrics
    assert (metrics["auc"], metrics["lift"]) == (0.7, 2.5)
    assert "rows" not in metrics
    assert 0.75 < metrics["roc_auc"] < 0.95  # measured on held-out rows, not what was printed
    assert metrics["accuracy"] > 0.6
    history = workbench.tracking.client.get_metric_history(done.run.id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert "epoch 2" in capsys.readouterr().out
    assert (
        "'lift' is no metric: it must be a finite number"
        in run(workbench, "lift = 'high'", metrics=["lift"]).note
    )
    with pytest.raises(NotFound, match="no variable 'lfit'"):
        run(workbench, "lift = 1", metrics=["lfit"])


def test_what_the_cell_logs_itself_stays(workbench: Workbench) -> None:
    code = (
        "import mlflow\nmlflow.log_metric('auc', 0.6)\nmlflow.log_metric('roc_auc', 0.1, step=9)\n"
        "mlflow.log_param('model', 'mine')\nprint('auc: 0.9')\n"
        "with mlflow.start_run(run_name='inner', nested=True): mlflow.log_metric('auc', 0.5)\n" + FIT
    )
    done = run(workbench, code, data="train", evaluate="test")
    assert done.run.metrics["auc"] == 0.6
    assert done.run.metrics["roc_auc"] > 0.7  # measured: the gate reads it
    assert done.run.params["model"] == "mine"
    inner = workbench.tracking.run("inner")
    assert inner.metrics == {"auc": 0.5}
    assert workbench.tracking.client.get_run(inner.id).data.tags["mlflow.parentRunId"] == done.run.id


def test_mlflows_own_autologging_lands_in_the_run(workbench: Workbench) -> None:
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        done = run(workbench, FIT, data="train", evaluate="test")
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert "training_accuracy_score" in done.run.metrics
    assert done.run.metrics["roc_auc"] > 0.7
    assert len(workbench.runs().runs) == 1


def test_an_open_run_is_the_parent_and_stays_open(workbench: Workbench, tmp_path: Path) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(workbench.project.tracking_url)
    try:
        with mlflow.start_run(experiment_id=workbench.tracking.experiment_id, run_name="outer") as outer:
            done = run(workbench, "x = 1", name="inside")
            assert mlflow.active_run().info.run_id == outer.info.run_id
            mlflow.log_metric("later", 1.0)
    finally:
        mlflow.set_tracking_uri(before)
    kept = workbench.tracking.client.get_run(done.run.id)
    assert kept.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert workbench.tracking.run("outer").metrics == {"later": 1.0}


def test_an_estimators_own_curves(workbench: Workbench) -> None:
    frame = workbench.namespace["train"][["hour", "größe", "late"]]
    space = {"frame": frame, "MLPClassifier": MLPClassifier}
    code = "model = MLPClassifier((4,), max_iter=5, tol=0, n_iter_no_change=9)\n"
    code += "model.fit(frame[['hour', 'größe']], frame['late'])"
    with pytest.warns(match="Maximum iterations"):
        done = run(workbench, code, space, data="frame")
    history = workbench.tracking.client.get_metric_history(done.run.id, "loss_curve")
    assert [m.step for m in history] == list(range(5))
    assert done.run.params["hidden_layer_sizes"] == "(4,)"


def test_git_and_its_patch(workbench: Workbench, tmp_path: Path) -> None:
    root = workbench.project.root

    def git(*words: str) -> str:
        config = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", "-C", root, *config, *words], check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q", "-b", "main")
    (root / "features.py").write_text("RATE = 1\n")
    git("add", "features.py", "mlops.toml")
    git("commit", "-qm", "one")
    assert text(workbench, run(workbench, "x = 1"), CHANGES).count("features.py") == 0
    (root / "features.py").write_text("RATE = 2\n")
    (root / "new größe.py").write_text("x = 1\n")
    (root / "large.bin").write_bytes(b"\0" * 1000)
    done = run(workbench, "x = 1", name="second")
    patch = text(workbench, done, CHANGES)
    assert "+RATE = 2" in patch
    assert done.run.tags["git.omitted_files"] == "new: large.bin"
    workbench.tracking.log(done.run.id, tags={"git.untold": "new: older.bin"})
    assert "git.untold" not in workbench.tracking.run(done.run.id).tags, (
        "older runs are read by today's names"
    )
    assert done.run.tags["git.dirty"] == "yes"
    clone = tmp_path / "clone"
    git("clone", "-q", str(root), str(clone))
    (tmp_path / "p.diff").write_text(patch)
    subprocess.run(["git", "-C", clone, "apply", str(tmp_path / "p.diff")], check=True)
    assert (clone / "features.py").read_text() == "RATE = 2\n"
    assert (clone / "new größe.py").read_text() == "x = 1\n"
    assert "+RATE = 2" in workbench.compare("r", "second").changes
    (root / "part").mkdir()
    (root / "part" / "own.py").write_text("x = 2\n")
    patch, omitted = source.changes(root / "part")
    assert "own.py" in patch
    assert "RATE" not in patch
    assert omitted == ["outside: features.py"]


def test_a_patch_that_is_too_large_says_so(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    root = workbench.project.root
    for words in (["init", "-q"], ["add", "mlops.toml"]):
        subprocess.run(["git", "-C", root, *words], check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", root, *identity, "commit", "-qm", "one"], check=True)
    (root / "mlops.toml").write_text((root / "mlops.toml").read_text() + "# more\n" * 500)
    monkeypatch.setattr(source, "LARGEST_DIFF", 1000)
    patch, _ = source.changes(root)
    assert patch.startswith("# cut at 1,000 of")
    assert len(patch) < 1200


def test_pictures_that_are_open_at_the_end(workbench: Workbench) -> None:
    before = plt.figure()
    code = "import matplotlib.pyplot as plt\nplt.figure()\nplt.plot([1, 2])\nplt.figure()\nplt.plot([2, 1])"
    done = run(workbench, code)
    folder = workbench.tracking.client.list_artifacts(done.run.id, "figures")
    plt.close("all")
    assert [a.path for a in folder] == ["figures/1.png", "figures/2.png"]
    content = workbench.tracking.content(done.run.id, "figures/1.png")
    assert content is not None
    assert content.startswith(b"\x89PNG")
    assert before is not None


def test_rows_are_recorded_as_they_were_given(workbench: Workbench) -> None:
    train = workbench.namespace["train"]
    given = workbench.snapshot("train").sha256  # type: ignore[union-attr]
    done = run(workbench, FIT + "train.loc[:, 'hour'] = 0", data="train", evaluate="test")
    assert (train["hour"] == 0).all()
    assert done.data.sha256 == given
    made = run(workbench, "train = train.head(100)", {"train": train}, data="train")
    assert made.data.rows == 100
    wider = run(workbench, "train['fast'] = train['hour'] > 3", {"train": train}, data="train")
    assert wider.data.columns == 6
    frame = train.drop(columns="fast")
    narrower = run(workbench, "frame.drop(columns='late', inplace=True)", {"frame": frame}, data="frame")
    assert narrower.data.columns == 5


def test_held_out_rows_that_the_cell_spoils_are_measured_as_given(workbench: Workbench) -> None:
    first = run(workbench, FIT, data="train", evaluate="test")
    spoilt = run(workbench, FIT + "test['hour'] = 0.0; test['größe'] = 0.0", data="train", evaluate="test")
    assert spoilt.run.metrics["roc_auc"] == first.run.metrics["roc_auc"]


def test_several_frames(workbench: Workbench) -> None:
    done = run(workbench, FIT, data=["train", "test"], evaluate="test")
    assert done.data.name == "train"
    assert done.run.tags["data.name"] == "train"
    assert done.run.tags["data.test.sha256"] == done.run.tags["evaluate.sha256"]
    again = run(workbench, FIT, data=["train"], evaluate="test", name="other")
    differences = {(d.what, d.name): d.second for d in workbench.compare("r", "other").differences}
    assert differences["data", "data test"] is None
    assert again.also == ()


def test_a_snapshot_gives_a_run_the_same_rows_again(workbench: Workbench) -> None:
    kept = workbench.snapshot("train", name="trips-train")
    workbench.namespace["train"].loc[0, "hour"] += 1  # type: ignore[index]
    second = workbench.snapshot("train", name="trips-train")
    assert (kept.version, second.version) == (1, 2)  # type: ignore[union-attr]
    code = "rows = len(trips_train)\nhour = trips_train.loc[0, 'hour']"
    space: dict[str, Any] = {}
    done = run(workbench, code, space, data="trips-train@1", params=["rows"])
    assert done.data.sha256 == kept.sha256  # type: ignore[union-attr]
    assert done.run.tags["data.snapshot"] == "trips-train@1"
    assert done.run.params["rows"] == "800"
    by_hash = run(workbench, "n = len(trips_train)", {}, data=second.sha256[:10])  # type: ignore[union-attr]
    assert by_hash.run.tags["data.snapshot"] == "trips-train@2"
    with pytest.raises(NotFound, match="no version 9"):
        run(workbench, "x = 1", {}, data="trips-train@9")
    assert len(workbench.runs().runs) == 2  # what cannot be found starts no run


def three_runs(workbench: Workbench) -> None:
    for c in (0.01, 10.0, 2.0):
        fit(workbench, c=c, run=f"c{c}")


three = pytest.mark.prepared(by=three_runs)


def names(found: Any) -> list[str]:
    return [r.name for r in found.runs]


@three
@pytest.mark.both_stores
def test_runs_are_sorted_and_filtered(workbench: Workbench) -> None:
    c = "logisticregression__C"
    assert names(workbench.runs()) == ["c2.0", "c10.0", "c0.01"]
    assert names(workbench.runs(sort=c)) == ["c10.0", "c2.0", "c0.01"]  # as numbers, not as texts
    assert names(workbench.runs(sort=c, ascending=True, limit=2)) == ["c0.01", "c2.0"]
    losses = [r.metrics["log_loss"] for r in workbench.runs(sort="log_loss", ascending=True).runs]
    assert losses == sorted(losses)
    seconds = [r.seconds for r in workbench.runs(sort="seconds").runs]
    assert seconds == sorted(seconds, key=lambda s: -(s or 0))
    assert names(workbench.runs(where=f"{c} = '2.0' and roc_auc > 0.5 and status = finished")) == ["c2.0"]
    assert names(workbench.runs(where="name like 'c%0.0'")) == ["c10.0"]
    assert names(workbench.runs(name="c0.01")) == ["c0.01"]
    assert names(workbench.runs(sort=c, where=f"{c} != '10.0'")) == ["c2.0", "c0.01"]
    assert names(workbench.runs(where="target = late and started > '2020-01-01'", limit=1)) == ["c2.0"]
    assert names(workbench.runs(where="started < '2020-01-01'")) == []
    assert names(workbench.runs(where="params.estimator = 'Pipeline' and metrics.roc_auc >= 0.99")) == []


@three
@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("ruc_auc > 0.5", "Did you mean 'roc_auc'"),
        ("roc_auc >", "cannot be read"),
        ("roc_auc > high", "compared with a number"),
        ("roc_auc > 'x", "is not closed"),
        ("estimator > 3", "kept as a text"),
        ("status = done", "must be one of finished"),
        ("started > soon", "must be compared with a time"),
        ("roc_auc > 0.5 or roc_auc < 0.1", "joined by 'and' only"),
        ("roc_auc > 0.5 estimator = x", "where 'and' is expected"),
        ("seconds > 3", "cannot be a condition"),
    ],
)
def test_a_condition_that_cannot_be_is_one_sentence(workbench: Workbench, where: str, sentence: str) -> None:
    with pytest.raises((UsageError, NotFound), match=sentence):
        workbench.runs(where=where)


@three
@pytest.mark.both_stores
def test_nothing_slips_out_of_a_quoted_value(workbench: Workbench) -> None:
    assert names(workbench.runs(where="""estimator = "x' OR status = 'FINISHED" """)) == []
    with pytest.raises(NotFound, match="No run has"):
        workbench.runs(sort="x` DESC, metrics.`y")
    with pytest.raises(NotFound, match="'nothing'"):
        workbench.runs(plot=["nothing"])


@given(st.text(max_size=60))
def test_any_condition_is_read_or_refused(text: str) -> None:
    try:
        found = queries.parse(text)
    except UsageError:
        return
    assert all(c.name and c.operator in queries._OPERATORS for c in found)


@three
def test_pictures_of_runs(workbench: Workbench) -> None:
    towards = workbench.runs(plot=["roc_auc"])
    assert towards._repr_html_().count("<polyline") == 3
    scattered = workbench.runs(plot=["logisticregression__C", "roc_auc"])
    assert scattered._repr_html_().count("<circle") == 3
    assert "<svg" not in workbench.runs()._repr_html_()


def test_notebook_and_seeds_are_compared(workbench: Workbench) -> None:
    run(workbench, "import random\nrandom.seed(1)", earlier=("x = 1",), name="a")
    run(workbench, "import random\nrandom.seed(2)", earlier=("x = 2",), name="b")
    found = workbench.compare("a", "b")
    assert {(d.what, d.name): (d.first, d.second) for d in found.differences}["seed", "random.seed"] == (
        "1",
        "2",
    )
    assert "+x = 2" in found.notebook
    assert "+random.seed(2)" in found.code
    assert "cells before" in found.text()


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("np.random.seed(0)", {"np.random.seed": "0"}),
        ("rng = np.random.default_rng(SEED)", {"np.random.default_rng": "7"}),
        (
            "train_test_split(x, random_state=1)\ntrain_test_split(y, random_state=2)",
            {"train_test_split.random_state": "1, 2"},
        ),
        ("torch.manual_seed(int(time()))", {}),
        ("np.random.default_rng()", {}),
        ("%time x\nrandom.seed(4)", {"random.seed": "4"}),
        ("x = = 1", {}),
    ],
)
def test_seeds_in_code(code: str, wanted: dict[str, str]) -> None:
    assert seeds.seeds_in(code, ["np.random.choice(3, random_state=9)"], {"SEED": np.int64(7)}) == wanted


def test_two_versions_of_one_name_are_two_variables(workbench: Workbench) -> None:
    workbench.snapshot("train", name="rows")
    workbench.snapshot("test", name="rows")
    code = FIT.replace("train", "rows") + "second = len(rows_2)"
    done = run(workbench, code, {}, data="rows@1", evaluate="rows@2")
    assert done.data.name == "rows"
    assert done.evaluate.name == "rows_2"
    assert done.run.metrics["roc_auc"] > 0.7


def test_a_model_that_cannot_be_drawn_is_still_a_run(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "SEGMENT_VALUES", "many")
    done = run(workbench, FIT, data="train", evaluate="test")
    assert done.run.metrics["roc_auc"] > 0.7
    assert "no evaluation: TypeError" in done.text()
    assert workbench.runs().runs[0].tags["evaluation"] == done.note
