"""`[serving]`: read, checked, and told to what serves."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import projects
import pytest
import sqlalchemy as sa
from serving_kit import ask

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.config import project
from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.rollout.runtime import environment
from mlops_workbench.serving.keys import Keys
from mlops_workbench.serving.settings import Settings
from mlops_workbench.workbench import Workbench

KEY = "a-key-of-the-team-1"


def written(folder: Path, section: str) -> project.Project:
    (folder / "mlops.toml").write_text(f'[project]\nname = "p"\n[serving]\n{section}\n')
    return project.load(folder)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("max_rows = 0", "max_rows must be above 0. Got 0 instead"),
        ("timeout_seconds = -1", "timeout_seconds must be above 0"),
        ("grace_seconds = 90", "grace_seconds must be above 0 and at most 30. Got 90 instead"),
        ('when_log_fails = "shrug"', "must be 'refuse' or 'answer'. Got 'shrug' instead"),
        ('log_exclude = [""]', "must hold names of columns"),
        ('api_keys = ["x"]', "has no key 'api_keys'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, section: str, says: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        written(tmp_path, section)
    assert says in str(error.value)


def test_what_is_said_reaches_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"# ours\n{KEY}\n")
    policy = written(
        tmp_path,
        "max_body_mb = 2.5\nmax_rows = 9\nmax_waiting_rows = 99\ntimeout_seconds = 7\ngrace_seconds = 8\n"
        'when_log_fails = "answer"\nlog_exclude = ["a b", "ä,c"]\nlog_hash = ["d"]\napi_keys_file = "keys"',
    ).policy.serving
    monkeypatch.setenv("MLOPS_LOG_HASH_KEY", "salt")
    told = environment.variables(policy, tmp_path)
    names = {"MLOPS_MODEL_DIR": "m", "MLOPS_MODEL_NAME": "n", "MLOPS_MODEL_VERSION": "1"}
    got = Settings.from_env(names | told)
    assert (got.limits.body_bytes, got.limits.request_rows, got.limits.waiting_rows) == (5 << 19, 9, 99)
    assert (got.limits.request_seconds, got.grace_seconds, got.answer_unlogged) == (7, 8, True)
    assert (got.privacy.excluded, got.privacy.hashed, got.privacy.key) == ({"a b", "ä,c"}, {"d"}, b"salt")
    assert got.keys is not None
    assert got.keys.admit(KEY)
    assert environment.api_key(policy, tmp_path) == KEY
    usual = Settings.from_env(names | environment.variables(ServingPolicy(), tmp_path))
    assert (usual.limits, usual.keys) == (Settings.from_env(names).limits, None)


def test_what_a_platform_set_for_another_runtime_stays_out() -> None:
    foreign = {
        "AIP_HTTP_PORT": "1",
        "SAGEMAKER_BIND_TO_PORT": "2",
        "MLOPS_API_KEYS": KEY,
        "MLOPS_MAX_ROWS": "1",
    }
    assert environment.without_platform(foreign | {"PATH": "/bin", "MLOPS_USER": "me"}) == {
        "PATH": "/bin",
        "MLOPS_USER": "me",
    }


def test_keys_and_columns_of_a_served_version(workbench: Workbench) -> None:
    root = workbench.project.root
    (root / "keys").write_text(KEY)
    with (root / "mlops.toml").open("a") as file:
        file.write('[serving]\napi_keys_file = "keys"\nlog_exclude = ["hour"]\nlog_hash = ["carrier"]\n')
    with closing(Workbench(root, namespace=workbench.namespace)) as workbench:
        projects.champion(workbench)  # the gate's own trial needs no key
        live = workbench.serve("trips", kind="process")
        try:
            assert ask(f"{live.deployment.url}/").status == 401
            assert workbench.predict("trips", "test").requests == 2
            report = workbench.drift("trips")
        finally:
            workbench.stop("trips")
        assert {f.name for f in report.features} == {"wind speed", "größe"}
        engine = sa.create_engine(workbench.project.inference_url)
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT x_hour, x_carrier FROM predictions_trips")).fetchall()
        engine.dispose()
    assert {hour for hour, _ in rows} == {None}
    assert {len(carrier) for _, carrier in rows} == {32}
    assert len({carrier for _, carrier in rows}) == 3
    for path in (root / ".mlops").rglob("*.db"):
        assert KEY.encode() not in path.read_bytes()


def test_keys_reach_a_container_as_a_file_that_only_its_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_API_KEYS", f"{KEY},{KEY}-2")
    said = environment.variables(ServingPolicy(), tmp_path)
    inside = environment.without_keys(said, tmp_path / "keys", None)
    assert not [value for value in inside.values() if KEY in value]
    file = Path(inside["MLOPS_API_KEYS_FILE"])
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    keys = Keys.from_env(inside)
    assert keys is not None
    assert keys.admit(KEY)
    assert keys.admit(f"{KEY}-2")
    assert not keys.admit(f"{KEY}-3")
    told = said | {"MLOPS_API_KEYS_FILE": "keys"}
    assert environment.without_keys(told, tmp_path / "keys", None) == told  # the runtime reads one file
    assert environment.without_keys({"PORT": "1"}, tmp_path / "none", None) == {"PORT": "1"}
    assert not (tmp_path / "none").exists()
