"""How large images are and how long they take: `python benchmarks/image.py [BASE_IMAGE]`.

Four images of a scikit-learn pipeline on the same base: ours, ours with the fast path alone, one with the whole of
mlflow and the model's own requirements (installed by pip from the same wheels, as MLflow's Dockerfile does), and each
again after only the model changed. MLflow's Dockerfile copies the model before it installs. All wheels are fetched
before, so no time holds a download. What was built is removed, but for the libraries' images.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import fast_models
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.manifest import Manifest, Servable
from mlops_workbench.package import wheels as wheel_store
from mlops_workbench.package.build import build_image
from mlops_workbench.package.docker_client import DockerEngine, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE, ImageOptions
from mlops_workbench.package.image import Image, image_repository
from mlops_workbench.package.parts import wheel_target
from mlops_workbench.rollout.runtime import deployments, proofs
from mlops_workbench.rollout.runtime.deployment import Launch
from mlops_workbench.track.requirements import for_model, locked

_WHOLE = """\
FROM {base}
COPY model /opt/ml/model
COPY wheels /wheels
RUN python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install --quiet --no-index --no-deps /wheels/*.whl
ENTRYPOINT ["/opt/venv/bin/mlflow", "models", "serve", "-m", "/opt/ml/model", "--env-manager", "local"]
"""


def main(base: str) -> None:
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder, connect() as engine:
        tmp = Path(folder)
        requirements = for_model(["sklearn"])
        models = [_model(tmp / str(seed), seed, requirements) for seed in range(3)]
        target = wheel_target(base)
        wheel_store.fetch(requirements, target, tmp / "cache")
        whole = sorted({*locked(["mlflow"]), *requirements})
        wheels = wheel_store.fetch(whole, target, tmp / "cache")
        try:
            _ours(name, base, tmp, models, engine)
            added = {fast: _built(name, base, tmp, models[0], fast, "9").added_mb for fast in (False, True)}
            theirs = _theirs(engine, f"mlops/{name}-whole:1", base, tmp, models, wheels)
            print(f"{'the whole of mlflow':<44} {theirs:8.1f} MB added")
            print(f"{'ours / the whole of mlflow':<44} {added[False] / theirs:8.3f}")
            print(f"{'ours, fast path alone / the whole of mlflow':<44} {added[True] / theirs:8.3f}")
        finally:
            for repository in (image_repository(name), f"mlops/{name}-whole"):
                for tag in engine.tags(repository):
                    engine.remove_image(f"{repository}:{tag}", force=True)


def _model(folder: Path, seed: int, requirements: tuple[str, ...]) -> tuple[Path, Manifest]:
    data = fast_models.frame(seed=seed)
    model = make_pipeline(fast_models.prepared(), LogisticRegression()).fit(data, fast_models.target(data, 2))
    return folder, fast_models.saved(folder, model, 2, data, requirements=requirements)


def _built(
    name: str, base: str, tmp: Path, model: tuple[Path, Manifest], fast_only: bool, version: str
) -> Image:
    folder, manifest = model
    servable = Servable(name, version, manifest.sha256, manifest.extra["fast"]["sha256"], fast_only)
    return build_image(
        folder,
        servable,
        ImageOptions(base),
        cache_dir=tmp / "cache",
        records_dir=tmp / "records",
        prove=lambda tag, manifest: proofs.prove(tag, manifest, servable),
    )


def _ours(name: str, base: str, tmp: Path, models: list[tuple[Path, Manifest]], engine: DockerEngine) -> None:
    for fast_only, what in ((False, "ours"), (True, "ours, fast path alone")):
        for at, how in ((0, "first build"), (1, "only the model changed"), (2, "only the model changed")):
            image = _built(name, base, tmp, models[at], fast_only, str(at))
            proof = image.proof.seconds
            print(f"{what + ', ' + how:<44} {image.seconds:8.2f} s, of which the proof {proof:.2f} s")
        print(f"{what:<44} {image.added_mb:8.1f} MB added")
        started = time.perf_counter()
        running = deployments.start_container(
            image.tag, Servable(name, "2", models[2][1].sha256), Launch(), cpus=2
        )
        print(f"{what + ', start to ready':<44} {time.perf_counter() - started:8.2f} s")
        deployments.stop(running)


def _theirs(
    engine: DockerEngine,
    tag: str,
    base: str,
    tmp: Path,
    models: list[tuple[Path, Manifest]],
    wheels: list[Path],
) -> float:
    """MB that it adds."""
    for (folder, _), how in zip(models, ("first build", "only the model changed"), strict=False):
        seconds = _timed(lambda folder=folder: _build(engine, tag, base, folder, wheels))
        print(f"{'the whole of mlflow, ' + how:<44} {seconds:8.2f} s")
    image, under = engine.image(tag), engine.image(base)
    assert image is not None
    assert under is not None
    return (image.size - under.size) / 1e6 - wheel_store.total_mb(wheels)  # theirs come over the network


def _build(engine: DockerEngine, tag: str, base: str, folder: Path, wheels: list[Path]) -> None:
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            text = _WHOLE.format(base=base).encode()
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            tar.add(folder, "model")
            for wheel in wheels:
                tar.add(wheel, f"wheels/{wheel.name}")
        context.seek(0)
        for message in engine.build(context, tag=tag):
            assert "error" not in message, message


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_BASE)
