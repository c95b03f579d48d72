"""Documentation that cannot lie."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import mlops_workbench
from mlops_workbench import errors as public_errors
from mlops_workbench.base import errors
from mlops_workbench.config import describing, project
from mlops_workbench.config.policy import Policy
from mlops_workbench.interface.parsing import parse
from mlops_workbench.interface.reference import reference
from mlops_workbench.workbench import verbs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_reference_is_the_verbs() -> None:
    assert (ROOT / "docs" / "verbs.md").read_text() == reference(verbs()), "run make docs"


def test_the_settings_are_the_sections() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == describing.reference(), "run make docs"


def test_each_line_of_the_tour_parses() -> None:
    tour = README.split("## The tour")[1].split("\n## ")[0]
    lines = [line.strip() for line in tour.splitlines() if line.startswith("    %")]
    assert len(lines) == 12
    for line in lines[1:]:
        prog, _, words = line.partition(" ")
        parse(words, prog, verbs())


def test_what_the_readme_names_is_there() -> None:
    for name in re.findall(
        r"`((?:src|docs|templates|benchmarks|kernel_magics|jupyter_ext)/[\w./]*)`", README
    ):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_the_modules_that_the_docs_name_are_there() -> None:
    places = (ROOT, ROOT / "src" / "mlops_workbench", ROOT / "jupyter_ext" / "src")
    modules = [
        str(path) for place in places[1:] for path in place.rglob("*.*") if path.suffix in (".py", ".ts")
    ]
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`([\w/]+\.(?:py|ts))`", page.read_text()):
            known = any((place / name).exists() for place in places)
            assert known or ("/" not in name and any(m.endswith(f"/{name}") for m in modules)), (
                page.name,
                name,
            )


def test_one_version() -> None:
    version = mlops_workbench.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == version
    assert json.loads((ROOT / "jupyter_ext" / "package.json").read_text())["version"] == version
    first = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert first == f"## {version}"


def test_the_policy_template_is_the_policys_defaults(tmp_path: Path) -> None:
    assert project.init(tmp_path, "x").policy == Policy("x")


def test_every_error_can_be_imported_from_one_place() -> None:
    kinds = {n for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, errors.MlopsError)}
    assert set(public_errors.__all__) == kinds


def test_every_error_has_a_sentence_and_a_status() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.MlopsError)]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__doc__
        problem = kind("It is wrong.", "Mend it.")
        assert 400 <= problem.status < 600
        assert problem.exit_code > 0
        assert problem._render_traceback_() == [f"{kind.__name__}: It is wrong.", "→ Mend it."]


def test_no_committed_file_names_a_registry_or_a_machine() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    hosts = ("py" + "pi.org", "pythonhos" + "ted.org", "registry.np" + "mjs.org", "deb.deb" + "ian.org")
    forbidden = re.compile("|".join(map(re.escape, hosts)))
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".ico", ".parquet"} or not path.is_file():
            continue
        assert not forbidden.search(path.read_text()), name
