"""What an HTTP request may ask for: folders, verbs and options, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlops_jupyter.request import MethodNotAllowed, call, from_query, project_folder

from mlops_workbench.base.errors import Conflict, NotFound, UsageError
from mlops_workbench.workbench import verbs

READING = {name for name, verb in verbs().items() if verb.effect == "reads"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "work" / "sub").mkdir(parents=True)
    (root / ".mlops").mkdir()
    (root / "work" / "rows.csv").write_text("a\n1\n")
    (root / "work" / "retrain.ipynb").write_text("{}")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "rows.csv").write_text("a\n1\n")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "inner-link").symlink_to(root / "work")
    return root


@pytest.mark.parametrize("relative", ["", ".", "work", "work/sub", "/", "work/../work", "inner-link"])
def test_folders_inside_the_root_are_found(root: Path, relative: str) -> None:
    # A leading slash is what the browser may send for the root; nothing above it is reached by it.
    relative = relative.lstrip("/")
    assert project_folder(root, relative).is_relative_to(root)


@pytest.mark.parametrize(
    "relative",
    [
        "..",
        "../secret",
        "work/../../secret",
        "link",
        "link/.",
        "/etc",
        "nowhere",
        ".mlops",
        "work/rows.csv",
        "a\0b",
    ],
)
def test_what_leads_out_of_the_root_is_not_found(root: Path, relative: str) -> None:
    with pytest.raises(NotFound, match="There is no folder"):
        project_folder(root, relative)


def test_an_unknown_verb_offers_the_closest(root: Path) -> None:
    with pytest.raises(NotFound, match=r"no verb 'statu'.*'status'"):
        call("statu", {}, root, root, reading=True)


@pytest.mark.parametrize("verb", sorted(set(verbs()) - READING))
def test_verbs_that_change_something_are_refused_as_get(root: Path, verb: str) -> None:
    with pytest.raises(MethodNotAllowed):
        call(verb, {}, root, root, reading=True)


@pytest.mark.parametrize("verb", ["images", "alerts", "card", "ledger", "compare"])
def test_every_reading_verb_is_answered_by_get(root: Path, verb: str) -> None:
    needed = {"card": {"name": "flights"}, "compare": {"first": "a", "second": "b"}}.get(verb, {})
    assert call(verb, needed, root, root, reading=True).verb.name == verb
    with pytest.raises(MethodNotAllowed, match="'action'"):
        call("alerts", {"action": "ack", "id": "3"}, root, root, reading=True)


def test_a_reading_verb_does_not_cancel_as_get(root: Path) -> None:
    with pytest.raises(MethodNotAllowed, match="'cancel'"):
        call("jobs", {"cancel": "3"}, root, root, reading=True)
    assert call("jobs", {"cancel": 3}, root, root, reading=False).options["cancel"] == 3


def test_query_text_is_typed_like_a_line(root: Path) -> None:
    assert call("runs", {"limit": "5"}, root, root, reading=True).options["limit"] == 5
    with pytest.raises(UsageError, match="limit"):
        call("runs", {"limit": "many"}, root, root, reading=True)
    with pytest.raises(UsageError, match="no option 'colour'"):
        call("runs", {"colour": "red"}, root, root, reading=True)


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("run", {"name": "january"}),
        ("register", {"model": "model", "name": "flights"}),
        ("predict", {"name": "flights", "data": "february"}),
        ("drift", {"name": "flights", "data": "february"}),
        ("gate", {"name": "flights", "version": 1, "data": "held_out"}),
    ],
)
def test_a_variable_of_the_notebook_is_a_conflict(root: Path, verb: str, options: dict[str, object]) -> None:
    with pytest.raises(Conflict, match="acts on the notebook"):
        call(verb, options, root, root, reading=False)


def test_a_data_file_takes_the_place_of_a_variable(root: Path) -> None:
    folder = root / "work"
    asked = call("predict", {"name": "flights", "data": "rows.csv"}, folder, root, reading=False)
    assert asked.options["data"] == str(folder / "rows.csv")


@pytest.mark.parametrize("data", ["../../secret/rows.csv", "../link/rows.csv", "other.csv", "/etc/x.csv"])
def test_a_data_file_outside_the_root_is_not_found(root: Path, data: str) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        call("predict", {"name": "flights", "data": data}, root / "work", root, reading=False)


def test_a_notebook_and_a_report_are_paths_from_the_folder(root: Path) -> None:
    folder = root / "work"
    asked = call("retrain", {"name": "flights", "notebook": "retrain.ipynb"}, folder, root, reading=False)
    assert asked.options["notebook"] == str(folder / "retrain.ipynb")
    asked = call("drift", {"name": "flights", "report": "new.html"}, folder, root, reading=False)
    assert asked.options["report"] == str(folder / "new.html")
    asked = call(
        "validate", {"data": "rows.csv", "contract": "c", "profile": "new.bin"}, folder, root, reading=False
    )
    assert asked.options["profile"] == str(folder / "new.bin")
    for option in ("report", "profile"):
        with pytest.raises(NotFound):
            call("drift", {"name": "flights", option: "../../new.html"}, folder, root, reading=False)


@pytest.mark.parametrize("options", [{"data": "rows.csv"}, {"suite": "rows.csv"}, {"replace": True}])
def test_a_contract_is_read_by_get_and_made_by_post(root: Path, options: dict[str, object]) -> None:
    folder = root / "work"
    assert call("contract", {"name": "c"}, folder, root, reading=True).options["data"] is None
    with pytest.raises(MethodNotAllowed, match="Send it with POST"):
        call("contract", {"name": "c"} | options, folder, root, reading=True)
    assert call("contract", {"name": "c"} | options, folder, root, reading=False).verb.name == "contract"


def test_a_query_has_the_types_that_json_would_have(root: Path) -> None:
    def read(name: str, **query: list[str]) -> object:
        return call(name, from_query(name, query), root, root, reading=True).options

    assert read("alerts", everything=["true"]) == {"action": None, "id": None, "everything": True}
    assert read("alerts", everything=["0"]) == {"action": None, "id": None, "everything": False}
    plotted = call("runs", from_query("runs", {"plot": ["depth", "auc"]}), root, root, reading=True)
    assert plotted.options["plot"] == ["depth", "auc"]
    with pytest.raises(UsageError, match="Got 'perhaps' instead"):
        read("alerts", everything=["perhaps"])
    with pytest.raises(NotFound, match="There is no verb 'alrts'"):
        read("alrts", everything=["true"])


def test_a_file_runs_without_a_notebook(root: Path) -> None:
    folder = root / "work"
    (folder / "fit.py").write_text("train = 1\n")
    asked = call(
        "run",
        {"script": "fit.py", "name": "x", "data": ["train"], "evaluate": "test"},
        folder,
        root,
        reading=False,
    )
    assert asked.options["script"] == str(folder / "fit.py")
    assert (asked.options["data"], asked.options["evaluate"]) == (["train"], ["test"])
    with pytest.raises(NotFound, match="There is no file"):
        call("run", {"script": "../../secret/rows.csv"}, folder, root, reading=False)
    with pytest.raises(Conflict, match="acts on the notebook"):
        call("run", {"name": "x", "data": ["train"]}, folder, root, reading=False)
