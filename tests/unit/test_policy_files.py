"""`mlops.toml` as files: the template, the schema that editors read, and digests that records refer to."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.config import describing
from mlops_workbench.config import project as projects
from mlops_workbench.config.approval import ApprovalPolicy
from mlops_workbench.config.gate import RegressionPolicy
from mlops_workbench.workbench import Workbench

HEAD = '[project]\nname = "x"\n'
RICH = """\
[gate]
metric = "roc_auc"
tolerance = 0
confidence = 0.95
first_version = "allow"
[gate.thresholds]
roc_auc = 0.6
"größe" = 3
[gate.slices]
columns = ["carrier", "hour"]
minimum_rows = 7
tolerance = 1
metric = "accuracy"
[gate.fairness]
column = "sex"
metric = "rmse_ratio"
limit = 0.8
minimum_rows = 5
[gate.latency]
p99_ms = 50
rows = 10
memory_mb = 512.5
[gate.regression]
cases = "contracts/cases.csv"
tolerance = 1
[approval]
required = 2
second_person = false
expires_days = 7
"""


def written(folder: Path, text: str) -> projects.Project:
    (folder / "mlops.toml").write_text(text)
    return projects.load(folder)


@pytest.mark.parametrize(
    ("text", "governance", "gate"),
    [
        (
            "",
            "06ceaa0e9a5aff6033c489f1a2ff6ef6ad2c577ed90b84dfe998e1c97be9b212",
            "256b7e6cab0cf0bf005c5d089b64ac0ac043a6d803f6b3983f0bc37663506aa3",
        ),
        (
            RICH,
            "f4a8cfa6c84cfb2e6ed3ec2fbf7a39596d8158c84b8179cb10e5dba2a5370bcd",
            "2111322bc9cedc75f115cd515c1bee1313c53bfb1c86344eb80f5da05bed9403",
        ),
    ],
    ids=["defaults", "everything set"],
)
def test_digests_are_those_of_the_first_release(
    tmp_path: Path, text: str, governance: str, gate: str
) -> None:
    """Stored approvals and gate reports name them. A key that is added must not change them while it is unset."""
    policy = written(tmp_path, HEAD + text).policy
    assert (policy.governance, policy.gate.digest) == (governance, gate)


def test_every_example_of_the_template_can_be_uncommented(tmp_path: Path) -> None:
    made = projects.init(tmp_path, "flights")
    text = (tmp_path / "mlops.toml").read_text()
    assert max(map(len, text.splitlines())) <= 120
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    policy = written(tmp_path, uncommented).policy
    assert len(re.findall(r"^#", uncommented, re.MULTILINE)) == 2  # the schema's line, and the sentence
    assert policy.gate.regression == RegressionPolicy("contracts/cases.csv")
    assert policy.serving.log_exclude == ("name",)
    assert policy.stores.tracking == "postgresql+psycopg://…"
    assert policy.approval == made.policy.approval == ApprovalPolicy()


def test_every_key_says_what_it_means() -> None:
    described = [(s.title, k.name, k.description) for s in describing.sections() for k in s.keys]
    assert len(described) == len({(section, name) for section, name, _ in described}) > 35
    assert all(len(text) > 5 and not text.endswith(".") for *_, text in described)
    text = json.dumps(describing.schema(), ensure_ascii=False)
    assert all(json.dumps(about, ensure_ascii=False) in text for *_, about in described)


# the schema for editors


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    made = json.loads(describing.schema_text())
    jsonschema.Draft7Validator.check_schema(made)
    assert "$ref" not in describing.schema_text()
    return jsonschema.Draft7Validator(made)


@pytest.mark.parametrize(
    "text", [describing.template("x"), HEAD, HEAD + RICH, HEAD + "[serving]\nmemory = ' 512MB '\n"]
)
def test_the_schema_takes_what_the_reader_takes(
    tmp_path: Path, schema: jsonschema.Draft7Validator, text: str
) -> None:
    written(tmp_path, text)
    assert [e.message for e in schema.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", []),
        ("[project]\nname = 3\n", ["project", "name"]),
        (HEAD + "more = 1\n", ["project"]),
        (HEAD + "[gat]\n", []),
        (HEAD + "[gate]\ntolerence = 0.1\n", ["gate"]),
        (HEAD + "[gate]\nlatency = 5\n", ["gate", "latency"]),
        (HEAD + "[gate]\ntolerance = -1\n", ["gate", "tolerance"]),
        (HEAD + "[gate]\nconfidence = 1\n", ["gate", "confidence"]),
        (HEAD + "[gate]\nfirst_version = 'maybe'\n", ["gate", "first_version"]),
        (HEAD + "[gate.thresholds]\nroc_auc = 'high'\n", ["gate", "thresholds", "roc_auc"]),
        (HEAD + "[gate.slices]\ncolumns = 'carrier'\n", ["gate", "slices", "columns"]),
        (HEAD + "[gate.fairness]\ncolumn = 'a'\nmetric = 'parity'\n", ["gate", "fairness", "metric"]),
        (HEAD + "[gate.regression]\ncases = 'x.xlsx'\n", ["gate", "regression", "cases"]),
        (HEAD + "[approval]\nrequired = true\n", ["approval", "required"]),
        (HEAD + "[approval]\nexpires_days = 0\n", ["approval", "expires_days"]),
        (HEAD + "[serving]\nlog_hash = ['a', \"b\\n\"]\n", ["serving", "log_hash", 1]),
        (HEAD + "[serving]\nmemory = 'lots'\n", ["serving", "memory"]),
        (HEAD + "[serving]\ncpus = 0\n", ["serving", "cpus"]),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(
    tmp_path: Path, schema: jsonschema.Draft7Validator, text: str, where: list[str | int]
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        written(tmp_path, text)
    (fault,) = schema.iter_errors(tomllib.loads(text))
    assert list(fault.absolute_path) == where
    *_, key = ("", *(name for name in where if isinstance(name, str)))
    assert key in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[approval]\nexpires_days = 0\n",
            "[approval] expires_days must be 1 or more. Got 0 instead.",
        ),
        (
            "[approval]\nsecond_person = 1\n",
            "[approval] second_person must be true or false. Got 1 instead.",
        ),
        ("[serving]\nmemory = '32m'\n", "[serving] memory must be memory from 64m up, such as 512m or 2g."),
        ("[serving]\ncpus = 0\n", "[serving] cpus must lie between 0.01 and 1024. Got 0 instead."),
        ("[gate]\nconfidence = nan\n", "[gate] confidence must lie between 0 and 1. Got nan instead."),
        ("[gate]\nfirst_version = 3\n", "[gate] first_version must be 'allow' or 'refuse'. Got 3 instead."),
        ("[drift]\nwarn = 0\n", "[drift] warn must be above 0. Got 0 instead."),
        ("[drift]\nwarn = 1970-01-01\n", "[drift] warn must be a number. Got datetime.date(1970, 1, 1)"),
        (f"[drift]\ndrift = 1{'0' * 400}\n", "[drift] drift must be "),
        ("[stores]\ntracing = ''\n", "[stores] has no key 'tracing'. Did you mean 'tracking'?"),
    ],
)
def test_a_fault_in_words(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        written(tmp_path, HEAD + text)
    assert str(refused.value).startswith(f"{tmp_path / 'mlops.toml'}: {sentence}")


def test_the_schema_lies_where_the_first_line_says(tmp_path: Path) -> None:
    projects.init(tmp_path, "flights")
    first = (tmp_path / "mlops.toml").read_text().splitlines()[0]
    path = tmp_path / first.removeprefix("#:schema ")
    assert path.read_text() == describing.schema_text()
    path.write_text("{}")
    assert not projects.has_schema(tmp_path)
    projects.init(tmp_path, "flights")
    assert projects.has_schema(tmp_path)


def test_doctor_says_when_the_schema_is_not_this_releases(workbench: Workbench) -> None:
    project = workbench.project
    (project.root / "mlops.schema.json").write_text("{}")
    (found,) = (f for f in workbench.doctor().findings if "schema" in f.what)
    assert (found.level, found.next_step) == ("note", f"Write it: `init {project.name}`.")
    workbench.init(project.name)
    (found,) = (f for f in workbench.doctor().findings if "schema" in f.what)
    assert found.level == "ok"
