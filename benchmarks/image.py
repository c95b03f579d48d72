"""How long an image takes, and how large it is: `python benchmarks/image.py BASE_IMAGE`.

Builds a small scikit-learn pipeline twice with different models, and removes what it built. The first build
is from an empty wheel cache, but from whatever layers the engine knows already.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import model_folders

from mlops_workbench.package.build import build_image, image_repository
from mlops_workbench.package.docker_client import connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE
from mlops_workbench.rollout import deployments
from mlops_workbench.track.requirements import for_model


def main(base_image: str) -> None:
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        try:
            for version, what in (("1", "first build"), ("2", "rebuild with a changed model")):
                requirements = for_model(["sklearn"])
                manifest = model_folders.save(
                    tmp / version,
                    model_folders.classifier(int(version)),
                    name=name,
                    requirements=requirements,
                )
                image = build_image(
                    tmp / version,
                    name=name,
                    version=version,
                    digest=manifest.sha256,
                    base_image=base_image,
                    cache_dir=tmp / "cache",
                )
                print(f"{what:<30} {image.seconds:8.2f} s   {image.cached} of {image.steps} steps cached")
            print(f"{'size over the base':<30} {image.added_mb:8.1f} MB")
            started = time.perf_counter()
            running = deployments.start_container(
                image.tag, name=name, version="2", digest=manifest.sha256, cpus=2
            )
            print(f"{'container start to ready':<30} {time.perf_counter() - started:8.2f} s")
            deployments.stop(running)
        finally:
            with connect() as engine:
                for tag in ("1", "2", "build-cache"):
                    engine.remove_image(f"{image_repository(name)}:{tag}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_BASE)
