"""Each kind of bad input: one clear sentence with the value and the next step, a failed cell, nothing changed."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from projects import trips

from mlops_workbench.data import profiles

STORY = [
    "%mlops validate train --contract trips",
    (
        "%%mlops run --name first --data train --eval test\n"
        'model = pipeline().fit(train.drop(columns="late"), train["late"])'
    ),
    "%mlops register model --name trips",
    "%mlops gate trips --version 1 --first",
    '%mlops promote trips --version 1 --why "first"',
]


@pytest.fixture
def told(notebook: Any) -> Any:
    return tell(notebook)


@pytest.fixture(scope="module")
def once_told(shared_notebook: Any) -> Any:
    return tell(shared_notebook)


@pytest.fixture
def unharmed(once_told: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same one for all that must not change it."""
    monkeypatch.chdir(once_told.folder)
    return once_told


def tell(notebook: Any) -> Any:
    for cell in STORY:
        ran = notebook.run(cell)
        assert ran.success, ran.text
    return notebook


def records(folder: Path) -> dict[str, Any]:
    """All rows of all tables and all contract files."""
    found: dict[str, Any] = {p.name: p.read_text() for p in folder.glob("contracts/*")}
    for name in ("workbench.db", "mlflow.db"):
        engine = sa.create_engine(f"sqlite:///{folder}/.mlops/{name}")
        with engine.connect() as connection:
            for table in sa.inspect(connection).get_table_names():
                rows = connection.execute(sa.text(f'SELECT * FROM "{table}"')).all()
                found[f"{name}:{table}"] = hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()
        engine.dispose()
    return found


Change = Callable[[Any], Any]
FRAMES: dict[str, tuple[Change, str]] = {
    "missing": (lambda f: f.drop(columns="größe"), "größe"),
    "extra": (lambda f: f.assign(**{"new column ü": 1}), "new column ü"),
    "empty": (lambda f: f.assign(**{"wind speed": None}), "wind speed"),
    "allnan": (lambda f: f.assign(größe=np.nan), "größe"),
    "wrong": (lambda f: f.assign(hour="noon"), "hour"),
    "infinite": (lambda f: f.assign(größe=np.inf), "größe"),
    "norows": (lambda f: f.head(0), "no rows"),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_broken_frame_fails_validation_and_names_the_column(unharmed: Any, kind: str) -> None:
    change, named = FRAMES[kind]
    unharmed.shell.user_ns["bad"] = change(trips())
    before = records(unharmed.folder)
    ran = unharmed.run("%mlops validate bad --contract trips")
    assert not ran.success
    assert named in ran.text
    assert "Traceback" not in ran.text
    after = records(unharmed.folder)
    kept = "workbench.db:workbench_validations"  # that it failed is a record of its own
    assert {k: v for k, v in after.items() if k != kept} == {k: v for k, v in before.items() if k != kept}


WORDS = [
    ("%mlops promte trips", "There is no verb 'promte'", "Did you mean 'promote'"),
    ("%mlops promote trips --vers 1 --why x", "no option '--vers'", "Did you mean '--version'"),
    ("%mlops gate tripz --version 1", "There is no model 'tripz'", "Did you mean 'trips'"),
    ("%mlops gate trips --version 7", "no version 7", "There is: '1'"),
    ("%mlops register modell --name trips", "no variable 'modell'", "Did you mean 'model'"),
    ("%mlops register train --name trips", "'train' must be a fitted model", "Got DataFrame"),
    ("%mlops register model --name 'a b'", "Got 'a b' instead", "letters, digits"),
    ("%mlops register model --name trips --data trian", "no DataFrame 'trian'", "Did you mean 'train'"),
    ("%mlops validate nowhere.csv --contract trips", "no file 'nowhere.csv'", "Check the path"),
    ("%mlops validate train --contract ../up", "Got '../up' instead", "letters, digits"),
    ("%mlops promote trips --version 1 --why again", "is the champion already", ""),
    ("%mlops rollback trips --why x", "had no champion before", "Look at its history"),
    ("%mlops predict trips train", "Nothing serves 'trips'", "Serve it first"),
    ("%mlops stop trips", "Nothing serves 'trips'", ""),
    ("%mlops drift trips", "No prediction of 'trips' has been logged", "Serve"),
    ("%mlops drift trips --data train --report no/x.html", "no folder 'no'", "Make it first"),
    ("%mlops label trips train", "request_id", ""),
    ("%mlops serve trips --kind container", "Version 1 of 'trips' has no image", "Build it first"),
    ("%mlops retrain trips --notebook gone.ipynb", "no notebook", ""),
    ("%mlops jobs --cancel 5", "There is no job 5", "List the jobs"),
    ("%mlops init other", "already names this project 'trips', not 'other'", "Use another folder"),
    ("%%mlops promote trips\nx = 1", "'promote' takes no cell", "on a line of its own"),
    ("%mlops run --name x", "needs a cell", "same cell"),
    ("%%mlops run --name x --data trian\nmodel = 1", "no variable 'trian'", "Did you mean 'train'"),
]


@pytest.mark.parametrize(("cell", "sentence", "step"), WORDS, ids=[w[0].split("\n")[0] for w in WORDS])
def test_a_wrong_word_is_one_sentence_and_changes_nothing(
    unharmed: Any, cell: str, sentence: str, step: str
) -> None:
    before = records(unharmed.folder)
    ran = unharmed.run(cell)
    assert not ran.success
    assert sentence in ran.text
    assert step in ran.text
    assert "Traceback" not in ran.text
    assert len(ran.text.strip().splitlines()) <= 2
    assert records(unharmed.folder) == before


def test_a_typo_in_the_policy_stops_every_verb(told: Any) -> None:
    path = told.folder / "mlops.toml"
    path.write_text(path.read_text().replace("[gate]", "[gte]"))
    told.run("%unload_ext mlops_workbench")
    told.run("%load_ext mlops_workbench")
    ran = told.run("%mlops status")
    assert not ran.success
    assert "[gte]" in ran.text
    assert "Did you mean 'gate'" in ran.text


def test_without_docker_build_says_so(told: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    before = records(told.folder)
    ran = told.run("%mlops build trips")
    assert not ran.success
    assert "EngineUnavailable" in ran.text
    assert records(told.folder) == before
    assert told.run("%mlops doctor").success


def test_a_port_in_use_is_named(told: Any) -> None:
    before = records(told.folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = told.run(f"%mlops serve trips --port {port}")
    assert not ran.success
    assert str(port) in ran.text
    assert records(told.folder) == before


@pytest.mark.slow
def test_a_served_model_is_asked_labelled_and_watched(told: Any) -> None:
    told.shell.user_ns["later"] = trips(seed=9, shift=20.0)
    ran = told.run("%mlops serve trips")
    assert ran.success, ran.text
    try:
        ran = told.run("answers = %mlops predict trips later --batch 100")
        assert ran.success, ran.text
        assert "answered 800 rows in 8 requests" in ran.plain
        answers = told.shell.user_ns["answers"].frame
        model = told.shell.user_ns["model"]
        later = told.shell.user_ns["later"]
        wanted = model.predict_proba(later.drop(columns="late"))[:, 1]
        assert np.allclose(answers["score"], wanted, rtol=0, atol=1e-12)
        assert (answers["prediction"] == model.predict(later.drop(columns="late"))).all()
        told.run("arrived = answers.frame.assign(late=later['late'])")
        ran = told.run("%mlops label trips arrived")
        assert ran.success, ran.text
        ran = told.run("report = %mlops drift trips")
        assert ran.success, ran.text
        report = told.shell.user_ns["report"]
        assert "wind speed" in report.drifted
        assert report.performance.n == 800
        assert "application/vnd.jupyter.widget-view+json" in ran.outputs[-1]
        assert "wind speed" in ran.html
        profile = "--profile rows.bin" if profiles.available() else ""
        ran = told.run(f"%mlops drift trips --last 300 {profile} --report full.html")
        assert ran.success, ran.text
        assert "300 logged rows" in ran.plain
        if profile:
            assert profiles.summary((told.folder / "rows.bin").read_bytes())["hour"]["rows"] == 300
        assert "<html" in (told.folder / "full.html").read_text()[:2000]
        for bad, named in ((later.drop(columns="größe"), "größe"), (later.assign(größe=np.inf), "größe")):
            told.shell.user_ns["bad"] = bad
            ran = told.run("%mlops predict trips bad")
            assert not ran.success
            assert named in ran.text
    finally:
        stopped = told.run("%mlops stop trips")
    assert stopped.success, stopped.text
    assert "stopped" in stopped.plain
