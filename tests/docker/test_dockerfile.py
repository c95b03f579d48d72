"""The Dockerfile and the wheels, without an engine."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import model_folders
import pytest

from mlops_workbench.base.errors import BuildFailed, EngineUnavailable, UsageError
from mlops_workbench.manifest import Servable
from mlops_workbench.package.build import image_repository
from mlops_workbench.package.context import dependency_files, runtime_files, service_files, write_context
from mlops_workbench.package.docker_client import connect, engine_answers
from mlops_workbench.package.dockerfile import ImageOptions, render_dockerfile
from mlops_workbench.package.wheels import WheelTarget, fetch

BOOKWORM = WheelTarget("3.11", "x86_64", 36)


def _rendered(**options: Any) -> str:
    named = Servable(options.pop("name", "flights"), "3", "ab12")
    return render_dockerfile(named, ImageOptions(**options))


def test_layers_go_from_what_changes_least_to_what_changes_most() -> None:
    lines = _rendered().splitlines()
    order = [
        "COPY --from=build /tree /",
        "USER 10001",
        "COPY runtime",
        "COPY model",
        "ENV MLOPS_MODEL_NAME",
        "LABEL",
    ]
    at = [next(i for i, line in enumerate(lines) if line.startswith(word)) for word in order]
    assert at == sorted(at)
    assert not any("flights" in line or "ab12" in line for line in lines[: at[3]])


def test_it_needs_no_network_and_no_packages_of_the_system() -> None:
    text = _rendered()
    assert "--no-index" in text
    assert "apt" not in text
    assert "curl" not in text
    assert 'ENTRYPOINT ["python", "-m", "mlops_workbench.serving"]' in text


def test_labels_are_quoted() -> None:
    text = _rendered(labels={"a": 'x "$y" \\'})
    assert r'"a"="x \"\$y\" \\"' in text
    with pytest.raises(UsageError, match="one line"):
        _rendered(name="a\nRUN rm -rf /")
    with pytest.raises(UsageError, match="base image"):
        render_dockerfile(Servable("a", "1", "0"), ImageOptions("python\nRUN x"))


def test_the_context_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    manifest = model_folders.save(tmp_path / "model", model_folders.classifier())
    (tmp_path / "model" / "MLmodel").write_text("not needed to serve")
    (tmp_path / "w-1-py3-none-any.whl").write_bytes(b"x")

    def context() -> bytes:
        out = io.BytesIO()
        parts = dependency_files([tmp_path / "w-1-py3-none-any.whl"], "w==1")
        write_context(out, "FROM x", [*parts, *service_files(tmp_path / "model", manifest)])
        return out.getvalue()

    first = context()
    (tmp_path / "model" / "model.skops").touch()
    assert context() == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        names = [m.name for m in tar if m.isfile()]
        assert {m.uid for m in tar} == {0}
    assert names == sorted(names)
    assert {n for n in names if not n.startswith("runtime/")} == {
        "Dockerfile",
        "requirements.txt",
        "slim.py",
        "wheels/w-1-py3-none-any.whl",
        "model/opt/model/model.skops",
        "model/opt/model/workbench.json",
    }


def test_of_ours_only_the_runtime_goes_along() -> None:
    names = {name for name, _ in runtime_files()}
    assert {n.split("/")[1] for n in names} == {"__init__.py", "manifest.py", "serving", "summary"}
    assert {"mlops_workbench/serving/__main__.py", "mlops_workbench/serving/docs.html"} <= names
    assert not any("__pycache__" in n for n in names)


def test_targets() -> None:
    assert WheelTarget.from_probe('[3, 11, "x86_64", "2.36"]\n') == BOOKWORM
    assert BOOKWORM.platforms[0] == "manylinux_2_36_x86_64"
    assert "manylinux2014_x86_64" in BOOKWORM.platforms
    assert WheelTarget.from_probe('[3, 12, "aarch64", ""]').platforms[0] == "musllinux_1_2_aarch64"


def test_wheels_are_fetched_once(tmp_path: Path) -> None:
    said: list[str] = []
    (wheel,) = fetch(["six==1.17.0"], BOOKWORM, tmp_path, lambda message, fraction=None: said.append(message))
    assert wheel.name.startswith("six-1.17.0-")
    assert len(said) == 1
    stamp = wheel.stat().st_mtime_ns
    assert fetch(
        ["six==1.17.0"], BOOKWORM, tmp_path, lambda message, fraction=None: said.append(message)
    ) == [wheel]
    assert wheel.stat().st_mtime_ns == stamp
    assert len(said) == 1


def test_a_wheel_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"(?s)could not be fetched.*six==1\.0\.99\.7"):
        fetch(["six==1.0.99.7"], BOOKWORM, tmp_path)
    assert not list(tmp_path.rglob("*.whl"))


def test_repositories() -> None:
    assert image_repository("flights") == "mlops/flights"
    names = ["Flights", "flights!", "flug verspätung", "a/b", "ä", "a--b", "x_y"]
    made = {image_repository(n) for n in names}
    assert len(made) == len(names)
    assert "mlops/flights" not in made


def test_without_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert not engine_answers()
    with pytest.raises(EngineUnavailable, match="No container engine answers") as caught:
        connect()
    assert "DOCKER_HOST" in caught.value.next_step
