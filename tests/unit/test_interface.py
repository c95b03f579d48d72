from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench import verbs as verbs_package
from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface import parsers, parsing, words
from mlops_workbench.interface.checking import checked
from mlops_workbench.interface.parsing import HelpRequested
from mlops_workbench.interface.payloads import changes
from mlops_workbench.interface.spec import Arg, Verb
from mlops_workbench.workbench import Workbench, verbs

VERBS = verbs()


def parse(typed: Any, prog: str) -> parsing.ParsedLine:
    return parsing.parse(typed, prog, VERBS)


def line(verb: str, options: dict[str, Any]) -> str:
    return words.line(VERBS[verb], options)


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda v: v.name)
def test_a_verb_is_a_file_of_its_name_and_a_line_of_the_table(verb: Verb) -> None:
    assert verb.function.__module__ == f"mlops_workbench.verbs.{verb.name}"
    assert getattr(Workbench, verb.name) is verb.function
    assert verb.summary
    assert all(arg.help for arg in verb.args)


def test_the_table_holds_every_file() -> None:
    files = {p.stem for p in Path(verbs_package.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(VERBS)


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda v: v.name)
def test_its_options_are_the_functions_parameters(verb: Verb) -> None:
    _, *parameters = inspect.signature(verb.function).parameters.values()
    assert [p.name for p in parameters] == [a.name for a in verb.args]
    for parameter, arg in zip(parameters, verb.args, strict=True):
        assert bool(arg.flags) == (parameter.kind is inspect.Parameter.KEYWORD_ONLY)
        assert arg.required == (parameter.default is inspect.Parameter.empty)
        assert arg.required or arg.default == parameter.default


def test_every_public_method_that_is_no_verb_is_known() -> None:
    public = {n for n, f in vars(Workbench).items() if not n.startswith("_") and inspect.isfunction(f)}
    assert public - set(VERBS) == {"run_job"}


def test_long_verbs_say_what_their_job_does_and_can_be_left_alone() -> None:
    long = {name for name, verb in VERBS.items() if verb.long}
    assert long == {"build", "retrain", "reproduce"}
    for name in long:
        assert VERBS[name].work is not None
        assert VERBS[name].arg("detach").switch


def test_what_changes_something_follows_from_the_effect() -> None:
    reading = {name for name, verb in VERBS.items() if changes(verb, {}) is None}
    assert {"status", "images", "alerts", "card", "ledger", "compare", "drift"} <= reading
    assert not {"promote", "run", "build", "init", "label"} & reading
    assert changes(VERBS["alerts"], {"action": "list"}) is None
    assert changes(VERBS["alerts"], {"action": "ack", "id": 3}) == "The option 'action' of 'alerts'"
    assert changes(VERBS["card"], {"name": "m", "out": "card.md"}) == "The option 'out' of 'card'"
    assert changes(VERBS["jobs"], {"cancel": 3}) == "The option 'cancel' of 'jobs'"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb: str) -> None:
    with pytest.raises(HelpRequested) as asked:
        parse([verb, "--help"], "%mlops")
    assert f"%mlops {verb}" in asked.value.text


def test_alone_it_lists_all_verbs() -> None:
    with pytest.raises(HelpRequested) as asked:
        parse("", "%mlops")
    assert all(f" {name} " in asked.value.text for name in VERBS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("promte flights", "There is no verb 'promte'. Did you mean 'promote'?"),
        ("promote flights --vrsion 2", "no option '--vrsion'. Did you mean '--version'?"),
        ("promote flights --version two --why x", "Got 'two' instead"),
        ("promote flights --version 0 --why x", "from 1 up. Got '0' instead"),
        ("promote flights --version 2", "--why"),
        ("serve flights --port 99999", "Got '99999' instead"),
        ("register m --name flights --format onnx", "onnx"),
        ("retrain flights --notebook a.ipynb -p month", "must be name=value. Got 'month' instead"),
        ("status --why 'x", "No closing quotation"),
    ],
)
def test_a_wrong_word_gets_one_sentence(words: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(words, "%mlops")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("promote flights --why better  # than before", "better"),
        ("promote flights --why '# 5'  # 'it is", "# 5"),
        ('promote flights --why "a \\" # b"', 'a " # b'),
        ("promote flights --why a#b", "a#b"),
    ],
)
def test_a_comment_is_no_part_of_a_line(line: str, why: str) -> None:
    assert parse(line, "%mlops").options["why"] == why


def test_quotes_are_no_part_of_a_value() -> None:
    assert parse('promote flights -v 3 --why "it is better"', "mlops").options["why"] == "it is better"


text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)


_OF_A_FORM: dict[str, list[Any]] = {
    "cpus": [0.5, 1.0, 16.0],
    "memory": ["64m", "2g"],
    "platform": ["linux/amd64", "linux/arm64", "linux/arm/v7"],
}


def values_of(arg: Arg) -> st.SearchStrategy[Any]:
    if arg.switch:
        return st.booleans()
    if arg.choices:
        return st.sampled_from(arg.choices)
    if arg.name in _OF_A_FORM:
        one: st.SearchStrategy[Any] = st.sampled_from(_OF_A_FORM[arg.name])
    elif arg.parse not in (str, parsers.setting):
        one = st.integers(1, 65535)
    elif arg.parse is parsers.setting:
        one = st.tuples(text.map(str.strip).filter(lambda t: t and "=" not in t and t[0] != "-"), text)
    else:
        one = text.filter(lambda t: not t.startswith("-"))
    if arg.repeat:
        return st.lists(one, min_size=int(arg.required), max_size=3)
    return one if arg.required else st.none() | one


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    verb = draw(st.sampled_from(sorted(VERBS)))
    options = {a.name: draw(values_of(a)) for a in VERBS[verb].args}
    return verb, {k: a if (a := options[k]) is not None else _default(verb, k) for k in options}


def _default(verb: str, name: str) -> Any:
    return next(a.default for a in VERBS[verb].args if a.name == name)


@given(calls())
def test_a_line_parses_back_to_its_options(call: tuple[str, dict[str, Any]]) -> None:
    verb, options = call
    again = parse(line(verb, options), "%mlops")
    assert again.verb.name == verb
    assert again.options == options


@given(calls())
def test_json_gives_the_same_options_as_words(call: tuple[str, dict[str, Any]]) -> None:
    verb, options = call
    pairs = {arg.name for arg in VERBS[verb].args if arg.parse is parsers.setting}
    raw = {k: dict(v) if k in pairs else v for k, v in options.items()}
    wanted = {k: list(dict(v).items()) if k in pairs else v for k, v in options.items()}
    assert checked(VERBS[verb], raw) == wanted


@pytest.mark.parametrize(
    ("verb", "raw", "sentence"),
    [
        ("promote", {"name": "m", "version": 1}, "needs 'why'"),
        ("promote", {"name": "m", "version": 1, "why": "x", "froce": True}, "Did you mean 'force'?"),
        ("promote", {"name": "m", "version": 1, "why": "x", "force": "yes"}, "true or false"),
        ("promote", {"name": "m", "version": "1; drop", "why": "x"}, "Got '1; drop' instead"),
        ("serve", {"name": "m", "kind": "rocket"}, "container, process"),
    ],
)
def test_wrong_json_gets_one_sentence(verb: str, raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(VERBS[verb], raw)
    assert sentence in str(refused.value)
