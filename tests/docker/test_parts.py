"""What an image is made of, without an engine: lock, bill of materials, slim libraries, who may be served how."""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fast_models
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from wheels_kit import wheel

from mlops_workbench.base.errors import BuildFailed, InvalidConfig, UsageError
from mlops_workbench.config.project import load
from mlops_workbench.interface.parsing import parse
from mlops_workbench.manifest import Manifest
from mlops_workbench.package import sbom, slim, wheelinfo
from mlops_workbench.package.docker_client import ImageFacts
from mlops_workbench.package.fastonly import require_covered
from mlops_workbench.package.parts import Parts
from mlops_workbench.package.wheels import WheelTarget, fetch
from mlops_workbench.workbench import verbs

BOOKWORM = WheelTarget("3.11", "x86_64", 36)


def _pip(tmp_path: Path, lock: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "requirements.txt").write_text(lock)
    words = ["install", "--no-index", "--no-deps", "--require-hashes", "--find-links", str(tmp_path)]
    return subprocess.run(
        [sys.executable, "-m", "pip", *words, "--target", str(tmp_path / "to"), "-r", "requirements.txt"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_lock_takes_these_very_files(tmp_path: Path) -> None:
    made = wheel(tmp_path, "alpha")
    lock = wheelinfo.lock([wheelinfo.read(made)])
    assert lock.startswith("alpha==1.0 \\\n    --hash=sha256:")
    assert _pip(tmp_path, lock).returncode == 0
    wheel(tmp_path, "alpha", "Summary: the same version with other content\n")
    other = _pip(tmp_path, lock)
    assert other.returncode != 0
    assert "HASHES" in other.stderr


def test_what_a_fast_path_needs_of_the_wheels(tmp_path: Path) -> None:
    needs = 'Requires-Dist: beta>=1\nRequires-Dist: gamma; sys_platform == "win32"\nRequires-Dist: x; extra == "all"\n'
    files = [wheel(tmp_path, "alpha", needs), *(wheel(tmp_path, n) for n in ("beta", "gamma", "delta", "x"))]
    found = wheelinfo.closure([wheelinfo.read(f) for f in files], ["Alpha"], BOOKWORM.markers)
    assert [info.name for info in found] == ["alpha", "beta"]


def test_licences(tmp_path: Path) -> None:
    def licence(name: str, said: str) -> str:
        return wheelinfo.read(wheel(tmp_path, name, said)).licence

    assert licence("a", "License-Expression: MIT OR Apache-2.0\nLicense: x\n") == "MIT OR Apache-2.0"
    assert licence("b", "License: BSD 3-Clause\n") == "BSD 3-Clause"
    long = "License: " + "all of its text " * 20 + "\nClassifier: License :: OSI Approved :: BSD License\n"
    assert licence("c", long) == "BSD License"
    assert licence("d", "") == ""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    data = fast_models.frame()
    model = make_pipeline(fast_models.prepared(), LogisticRegression()).fit(data, fast_models.target(data, 2))
    return fast_models.saved(tmp_path / "model", model, 2, data)


def test_the_bill_of_materials_is_valid_and_complete(tmp_path: Path, manifest: Manifest) -> None:
    said = ("License-Expression: MIT\n", "License: My own words\n", "License: BSD-3-Clause\n", "")
    wheels = [wheelinfo.read(wheel(tmp_path, f"lib-{i}".replace("-", "_"), s)) for i, s in enumerate(said)]
    facts = ImageFacts("sha256:" + "ab" * 32, 1, "", (), {}, "", "linux/amd64", "")
    text = sbom.bill(
        "mlops/flights:3",
        facts,
        "python:3.11-slim",
        Parts(manifest, replace(facts, id="sha256:" + "cd" * 32), (), tuple(wheels), "", ""),
        model_files=[("fast.json", "12" * 32)],
        runtime=[("manifest.py", Path(wheelinfo.__file__))],
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    parts = {c["name"]: c for c in bill["components"]}
    assert {c["type"] for c in parts.values()} == {
        *("machine-learning-model", "container", "application", "library"),
    }
    assert parts["lib-0"]["purl"] == "pkg:pypi/lib-0@1.0"
    assert parts["lib-0"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["lib-1"]["licenses"] == [{"license": {"name": "My own words"}}]
    assert "licenses" not in parts["lib-3"]
    assert parts["lib-3"]["hashes"] == [{"alg": "SHA-256", "content": wheels[3].sha256}]
    assert parts[manifest.name]["hashes"][0]["content"] == manifest.sha256
    assert bill["metadata"]["component"]["name"] == "mlops/flights"


def test_wheels_for_another_machine(tmp_path: Path) -> None:
    arm = WheelTarget.from_probe('[3, 11, "aarch64", "2.36"]')
    assert arm.platforms[0] == "manylinux_2_36_aarch64"
    assert arm.markers["platform_machine"] == "aarch64"
    (found,) = fetch(["httptools==0.7.1"], arm, tmp_path)
    assert "aarch64" in found.name
    assert "x86_64" not in found.name


def test_a_library_that_was_cut_still_loads(tmp_path: Path) -> None:
    import sqlalchemy.util

    (found,) = Path(sqlalchemy.util.__file__).parent.glob("_collections_cy*.so")
    copy = tmp_path / found.name
    shutil.copyfile(found, copy)
    slim.cut(copy)
    assert copy.stat().st_size < found.stat().st_size / 2, "most of it was symbols for a debugger"
    assert ctypes.CDLL(str(copy)).PyInit__collections_cy
    again = copy.read_bytes()
    slim.cut(copy)
    assert copy.read_bytes() == again
    text = tmp_path / "no.so"
    text.write_text("GROUP ( libm.so.6 )")
    slim.cut(text)
    assert text.read_text() == "GROUP ( libm.so.6 )"


def test_imported_modules_are_compiled_and_have_no_other_form(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "alike").mkdir(parents=True)
    (site / "alike" / "__init__.py").write_text("from alike import used\n")
    (site / "alike" / "used.py").write_text("VALUE = 7\n")
    (site / "alike" / "unused.py").write_text("VALUE = 8\n")
    (site / "alike" / "used.pyi").write_text("VALUE: int\n")
    for name in ("one.dat", "two.dat"):
        (site / "alike" / name).write_bytes(b"x" * 200_000)
    words = [sys.executable, "-I", "-B", slim.__file__, str(tmp_path), "alike", "not_there"]
    subprocess.run(words, check=True)
    names = {p.name for p in (site / "alike").iterdir()}
    assert names == {"__init__.pyc", "used.pyc", "unused.py", "one.dat", "two.dat"}
    assert (site / "alike" / "one.dat").stat().st_nlink == 2
    assert {p.stat().st_mtime for p in tmp_path.rglob("*")} == {0.0}
    code = "import alike, alike.unused; print(alike.used.VALUE + alike.unused.VALUE)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, check=True
    )
    assert done.stdout == b"15\n"


def test_who_may_be_served_by_a_fast_path_alone(manifest: Manifest, tmp_path: Path) -> None:
    record = manifest.extra["fast"]
    assert record["proven"]
    assert not any(record["only"].values()), record
    require_covered(manifest, record["sha256"])
    with pytest.raises(BuildFailed, match="not the one that the registry recorded"):
        require_covered(manifest, "0" * 64)
    old = {k: v for k, v in record.items() if k != "only"}
    with pytest.raises(BuildFailed, match="Register the model again"):
        require_covered(replace(manifest, extra={"fast": old}), record["sha256"])
    with pytest.raises(BuildFailed, match="it has none: original path: it is slow"):
        require_covered(replace(manifest, extra={"fast": {"proven": False, "reason": "it is slow"}}), None)


def test_rows_that_a_plan_leaves_to_the_original_forbid_it(tmp_path: Path) -> None:
    """No value of the column is known to a plan but those of the table; the original takes others, too."""
    data = fast_models.frame()
    texts = make_pipeline(OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(fast_models.prepared(texts=texts), LogisticRegression())
    model.fit(data, fast_models.target(data, 2))
    manifest = fast_models.saved(tmp_path, model, 2, data)
    record = dict(manifest.extra["fast"])
    record["only"] = record["only"] | {"unseen categories": 12}
    with pytest.raises(
        BuildFailed, match="leaves 12 of the proof's rows 'unseen categories' to the original"
    ):
        require_covered(replace(manifest, extra={"fast": record}), record["sha256"])


def test_the_proof_counts_what_a_plan_leaves(tmp_path: Path) -> None:
    """The real compiler and proof, with a plan that leaves every missing value."""
    from mlops_workbench.registry.fastpath import compiling, proving
    from mlops_workbench.serving.dataplane import DataPlane
    from mlops_workbench.serving.fast.evaluator import Evaluator
    from mlops_workbench.serving.fast.plan import Plan

    data = fast_models.frame()
    model = make_pipeline(fast_models.prepared(), LogisticRegression()).fit(data, fast_models.target(data, 2))
    manifest = fast_models.saved(tmp_path, model, 2, data)
    plane = DataPlane.load(tmp_path, name="m", version="1", fast=False)
    plan = compiling.compiled(model, manifest, plane.frame, tmp_path)
    fast = Evaluator(Plan.read(tmp_path, plan.sha256))
    for table in fast._tables:
        if table.column == "carrier":
            table._codes[None] = -1
    rows = [r for r in fast_models.model_folders.rows_of(data) if r["carrier"] is not None]
    found = proving.proof(plan, manifest, {"fitted on": rows}, plane.predict, fast.answer)
    assert found.proven
    assert found.only["missing"] > 0
    assert found.only["fitted on"] == 0


@pytest.mark.parametrize("words", ["--memory 1", "--memory 2x", "--memory 32m", "--cpus 0", "--cpus two"])
def test_limits_that_are_none(words: str) -> None:
    with pytest.raises(UsageError, match=rf"must be .*Got '{words.split()[1]}' instead"):
        parse(f"serve flights {words}", "mlops", verbs())


def test_limits(tmp_path: Path) -> None:
    options: dict[str, Any] = parse(
        "serve flights --memory 512M --cpus 0.5 --docker", "mlops", verbs()
    ).options
    assert (options["memory"], options["cpus"], options["docker"]) == ("512m", 0.5, True)
    (tmp_path / "mlops.toml").write_text('[project]\nname = "x"\n[serving]\nmemory = "lots"\n')
    with pytest.raises(InvalidConfig, match=r"\[serving\] memory must be memory .*Got 'lots'"):
        load(tmp_path)
    with pytest.raises(UsageError, match=r"must be a platform such as linux/arm64. Got 'arm' instead"):
        parse("build flights --platform arm", "mlops", verbs())


_FIRST = """
import os, signal, subprocess, sys, time
from mlops_workbench.serving.first import stand_aside
stand_aside()
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
print(os.getpid(), flush=True)
{then}
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("then", "sent", "code"),
    [("", signal.SIGTERM, 5), ("os.kill(os.getpid(), signal.SIGKILL)", None, 137), ("sys.exit(3)", None, 3)],
)
def test_the_first_process_hands_signals_on(then: str, sent: int | None, code: int) -> None:
    script = _FIRST.format(code=code, then=then)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert int(first.stdout.readline()) != first.pid
        if sent:
            first.send_signal(sent)
        assert first.wait(30) == code
