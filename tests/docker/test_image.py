"""A small real pipeline as an image: built, run, asked, rebuilt. Everything made here is removed again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import model_folders
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from serving_kit import ask, wait_ready
from wheels_kit import wheel

from mlops_workbench.base.errors import BuildFailed, Conflict, NotFound, ServingFailed
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.manifest import Manifest, Servable
from mlops_workbench.package.build import Image, build_image, image_repository
from mlops_workbench.package.context import dependency_files, service_files, write_context
from mlops_workbench.package.docker_client import DockerEngine
from mlops_workbench.package.dockerfile import ImageOptions, render_dockerfile
from mlops_workbench.package.parts import wheel_target
from mlops_workbench.package.wheelinfo import lock, read
from mlops_workbench.package.wheels import fetch
from mlops_workbench.rollout.records import Live
from mlops_workbench.rollout.runtime import deployments, proofs
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch
from mlops_workbench.track.requirements import for_model

pytestmark = pytest.mark.docker

_PROCESSES = """
import json, pathlib
stats = [p.read_text().rpartition(")")[2].split() for p in pathlib.Path("/proc").glob("[0-9]*/stat")]
print(json.dumps([(state, int(parent)) for state, parent, *_ in stats]))
"""


@dataclass
class Built:
    name: str
    folder: Path
    manifest: Manifest
    cache: Path
    base: str
    image: Image = None  # type: ignore[assignment]  # the fixture builds it

    def build(
        self, folder: Path, manifest: Manifest, version: str, progress: Progress = silent, **options: Any
    ) -> Image:
        servable = Servable(self.name, version, manifest.sha256)
        return build_image(
            folder,
            servable,
            ImageOptions(**({"base_image": self.base} | options)),
            cache_dir=self.cache,
            records_dir=self.cache / version,
            prove=lambda tag, manifest: proofs.prove(tag, manifest, servable),
            progress=progress,
        )

    def start(self, *, digest: str = "", **options: Any) -> Deployment:
        servable = Servable(self.name, "1", digest or self.manifest.sha256)
        launch = {n: options.pop(n) for n in ("port", "log_url", "environment", "role") if n in options}
        return deployments.start_container(self.image.tag, servable, Launch(**launch), **options)


@pytest.fixture(scope="module")
def built(engine: DockerEngine, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    tmp = tmp_path_factory.mktemp("image")
    name = f"test-{uuid.uuid4().hex[:8]}"
    requirements = for_model(["sklearn"])
    manifest = model_folders.save(tmp / "1", model_folders.classifier(), name=name, requirements=requirements)
    steps: list[str] = []
    made = Built(name, tmp / "1", manifest, tmp / "cache", base_image)
    try:
        made.image = made.build(
            tmp / "1",
            manifest,
            "1",
            commit="0123abc",
            labels={"mlops.ledger": 'entry "7" costs $HOME'},
            progress=lambda message, fraction=None: steps.append(message),
        )
        print(f"\nfirst build: {made.image.seconds} s, {made.image.added_mb} MB over {base_image}")
        assert any(step.startswith("step 1/") for step in steps)
        assert steps[-1].startswith("proving")
        yield made
    finally:
        for tag in engine.tags(image_repository(name)):
            engine.remove_image(f"{image_repository(name)}:{tag}", force=True)


@pytest.fixture(scope="module")
def running(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Path]]:
    inference = tmp_path_factory.mktemp("host") / "inference"
    deployment = built.start(inference_dir=inference)
    yield deployment, inference
    deployments.stop(deployment)


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


def _dangling(client: Any) -> set[str]:
    return {image.id for image in client.images.list(filters={"dangling": True})}


def test_the_container_answers_as_the_model(built: Built, running: tuple[Deployment, Path]) -> None:
    deployment, inference = running
    assert deployments.alive(deployment) == "ready"
    frame = model_folders.flights(200, seed=5)
    model = model_folders.classifier()
    answer = deployments.predict(deployment, frame.to_dict(orient="records"), "from-the-test")
    assert answer["predictions"] == model.predict(frame).tolist()
    flat = [p for row in answer["probabilities"] for p in row]
    assert flat == pytest.approx(model.predict_proba(frame).ravel().tolist(), rel=1e-9)
    with closing(sqlite3.connect(inference / "inference.db")) as log:
        table = f"predictions_{built.name.replace('-', '_')}"
        tables = [r[0] for r in log.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (found,) = [t for t in tables if t.startswith(table)]
        rows = log.execute(
            f'SELECT prediction, role, model_version FROM "{found}" WHERE request_id = ? ORDER BY row_index',
            ("from-the-test",),
        ).fetchall()
    assert [r[0] for r in rows] == answer["predictions"]
    assert {r[1:] for r in rows} == {("champion", "1")}
    assert ask(deployment.url).json["sample_rows_that_differ"] == 0


def test_one_image_speaks_four_contracts(built: Built, client: Any, tmp_path: Path) -> None:
    """Started by the word `serve`, as SageMaker does, with Vertex's variables, and a file of keys."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "team").write_text("a-key-of-the-team-1")
    (tmp_path / "keys" / "team").chmod(0o644)
    tmp_path.chmod(0o755)
    frame = model_folders.flights(20, seed=5)
    rows = model_folders.rows_of(frame)
    expected = model_folders.classifier().predict(frame).tolist()
    deployment = built.start(
        log_url="sqlite:////tmp/i.db",
        environment={
            "AIP_PREDICT_ROUTE": "/vertex",
            "AIP_HEALTH_ROUTE": "/vertex-health",
            "MLOPS_API_KEYS_FILE": str(tmp_path / "keys" / "team"),
        },
    )
    try:
        url, key = deployment.url, {"X-API-Key": "a-key-of-the-team-1"}
        assert ask(f"{url}/invocations", {"instances": rows}).status == 401
        assert ask(f"{url}/ping").status == ask(f"{url}/vertex-health").status == 200
        for path, name in (("/predict", "rows"), ("/invocations", "instances"), ("/vertex", "instances")):
            assert ask(f"{url}{path}", {name: rows}, headers=key).json["predictions"] == expected
        file = io.BytesIO()
        frame.to_parquet(file)
        parquet = {"Content-Type": "application/x-parquet"}
        assert (
            ask(f"{url}/invocations", file.getvalue(), headers=key | parquet).json["predictions"] == expected
        )
        assert ask(f"{url}/v2/models/{built.name}/versions/1", headers=key).json["versions"] == ["1"]
    finally:
        deployments.stop(deployment)
    port = {"8080/tcp": ("127.0.0.1", None)}
    served = client.containers.run(built.image.tag, "serve", detach=True, ports=port)
    try:
        served.reload()
        wait_ready(f"http://127.0.0.1:{served.ports['8080/tcp'][0]['HostPort']}")
    finally:
        served.remove(force=True)


def test_the_container_is_confined(running: tuple[Deployment, Path], client: Any) -> None:
    deployment, inference = running
    container = client.containers.get(deployment.container_id)

    def run(script: str) -> str:
        return str(container.exec_run(["python", "-c", script]).output.decode())

    expected = 10001 if os.getuid() == 0 else os.getuid()
    assert run("import os; print(os.getuid(), os.geteuid())").split() == [str(expected)] * 2
    assert (inference / "inference.db").stat().st_uid == expected
    assert "Read-only file system" in run("open('/opt/model/x', 'w')")
    assert run("open('/tmp/x', 'w').write('x'); print('fine')") == "fine\n"
    status = dict(
        line.split(":\t") for line in run("print(open('/proc/1/status').read())").splitlines() if line
    )
    assert status["NoNewPrivs"] == "1"
    assert {int(status[kind], 16) for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {0}
    host = container.attrs["HostConfig"]
    assert (host["ReadonlyRootfs"], host["PidsLimit"], host["CapDrop"]) == (True, 512, ["ALL"])
    variables = {line.partition("=")[0] for line in container.attrs["Config"]["Env"]}
    usual = {
        "PATH",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "HOME",
        "HOST",
        "PORT",
        "LANG",
    }
    assert {
        name for name in variables if not name.startswith("MLOPS_")
    } <= usual  # nothing of ours comes along
    assert not {"MLOPS_API_KEYS", "MLOPS_LOG_HASH_KEY"} & variables
    published = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"]
    assert [p["HostIp"] for p in published] == ["127.0.0.1"]


def test_the_image_holds_the_runtime_and_little_else(
    running: tuple[Deployment, Path], built: Built, client: Any
) -> None:
    deployment, _ = running
    container = client.containers.get(deployment.container_id)
    listing = "import pathlib; print(*pathlib.Path('/opt/runtime').rglob('*.py'))"
    files = container.exec_run(["python", "-c", listing]).output.decode().split()
    assert {f.split("/")[4] for f in files} == {"__init__.py", "manifest.py", "serving", "summary"}
    absent = ("pip", "mlflow", "jupyterlab", "docker", "evidently")
    there = f"import importlib.util as u; print([m for m in {absent} if u.find_spec(m)])"
    assert container.exec_run(["python", "-c", there]).output == b"[]\n"
    model = container.exec_run(["python", "-c", "import os; print(sorted(os.listdir('/opt/model')))"]).output
    assert model == b"['model.skops', 'workbench.json']\n"
    config = client.images.get(built.image.tag).attrs["Config"]
    assert config["User"] == "10001:10001"
    labels = config["Labels"]
    assert labels["mlops.model.digest"] == built.manifest.sha256
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["mlops.ledger"] == 'entry "7" costs $HOME'


def test_docker_sees_that_it_is_healthy(built: Built, running: tuple[Deployment, Path], client: Any) -> None:
    config = client.images.get(built.image.tag).attrs["Config"]
    deployment, _ = running
    check = config["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    container = client.containers.get(deployment.container_id)
    assert container.exec_run(check[1:]).exit_code == 0
    container.exec_run(["python", "-c", "pass"])
    wrong = container.exec_run(check[1:], environment={"PORT": "1"})
    assert wrong.exit_code != 0


def test_a_new_model_rebuilds_its_own_layer(
    built: Built, tmp_path: Path, client: Any, engine: DockerEngine
) -> None:
    before = _dangling(client)
    manifest = model_folders.save(
        tmp_path, model_folders.classifier(1), name=built.name, requirements=built.manifest.requirements
    )
    wheels = sorted((built.cache / "wheels").rglob("*.whl"))
    times = {w: w.stat().st_mtime_ns for w in wheels}
    image = built.build(tmp_path, manifest, "2")
    print(f"\nrebuild with a changed model: {image.seconds} s, {image.cached} of {image.steps} steps cached")
    assert image.id != built.image.id
    assert image.steps - image.cached <= 5, "only FROM twice, the model, its ENV and its LABEL"
    assert {w: w.stat().st_mtime_ns for w in sorted((built.cache / "wheels").rglob("*.whl"))} == times
    first, second = (client.images.get(t).attrs["RootFS"]["Layers"] for t in (built.image.tag, image.tag))
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]
    # the same version again: the older image loses its name, and must not stay as rubbish
    again = model_folders.save(
        tmp_path, model_folders.classifier(2), name=built.name, requirements=built.manifest.requirements
    )
    assert built.build(tmp_path, again, "2").id != image.id
    assert engine.image(image.id) is None
    assert _dangling(client) == before


def test_the_same_model_is_the_same_image(built: Built) -> None:
    again = built.build(
        built.folder, built.manifest, "1", commit="0123abc", labels={"mlops.ledger": 'entry "7" costs $HOME'}
    )
    assert again.id == built.image.id


def test_a_failed_build_says_why_and_leaves_nothing(
    built: Built, tmp_path: Path, client: Any, engine: DockerEngine
) -> None:
    before = _dangling(client)
    manifest = model_folders.save(tmp_path, model_folders.classifier(), requirements=("six==1.0.99.7",))
    with pytest.raises(BuildFailed, match=r"six==1\.0\.99\.7"):
        built.build(tmp_path, manifest, "bad")
    # a wheel that is none: the engine's own build fails, in the step that installs
    folder = next((built.cache / "wheels").iterdir())
    broken = folder / "broken-1.0-py3-none-any.whl"
    with zipfile.ZipFile(broken, "w") as wheel:
        wheel.writestr("broken-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    manifest = model_folders.save(tmp_path, model_folders.classifier(), requirements=("broken==1.0",))
    with pytest.raises(BuildFailed, match=r"(?s)pip.*broken.*WHEEL"):
        built.build(tmp_path, manifest, "bad")
    broken.unlink()
    assert engine.image(f"{image_repository(built.name)}:bad") is None
    assert _dangling(client) == before


def test_what_cannot_be_built(built: Built, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="the registry recorded 0000"):
        built.build(built.folder, replace(built.manifest, sha256="0" * 64), "1")
    with pytest.raises(NotFound, match="is no model's folder"):
        built.build(tmp_path, built.manifest, "3")
    with pytest.raises(BuildFailed, match=r"'127\.0\.0\.1:1/none:1' is not here and could not be pulled"):
        built.build(built.folder, built.manifest, "1", base_image="127.0.0.1:1/none:1")


def test_containers_that_cannot_start(built: Built, running: tuple[Deployment, Path], client: Any) -> None:
    before = {c.id for c in client.containers.list(all=True)}
    with pytest.raises(NotFound, match="no image"):
        deployments.start_container("mlops/none:1", Servable("x", "1", "0" * 64), Launch())
    with pytest.raises(ServingFailed, match="holds another model"):
        built.start(digest="0" * 64)
    with pytest.raises(Conflict, match=f"The port {running[0].port} "):
        built.start(port=running[0].port)
    with pytest.raises(ServingFailed, match="oracle"):
        built.start(log_url="oracle://x/y")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict):
        built.start(port=taken.getsockname()[1])
    assert {c.id for c in client.containers.list(all=True)} == before


def test_states_of_a_container(built: Built, client: Any) -> None:
    deployment = built.start(memory="1g", cpus=0.5)
    assert deployments.alive(deployment) == "ready"
    container = client.containers.get(deployment.container_id)
    assert container.attrs["HostConfig"]["Memory"] == 1 << 30
    container.kill("SIGTERM")
    assert container.wait(timeout=40)["StatusCode"] == 0
    assert deployments.alive(deployment) == "stopped"
    container.start()
    container.kill("SIGKILL")
    container.wait(timeout=40)
    assert deployments.alive(deployment) == "failed"
    assert '"event": "serving"' in deployments.logs(deployment)
    deployments.stop(deployment)
    assert deployments.alive(deployment) == "stopped"
    deployments.stop(deployment)


def test_signals_and_orphans(running: tuple[Deployment, Path], client: Any) -> None:
    """As below tini: the service is a child of the first process, which buries what nobody else waits for."""
    container = client.containers.get(running[0].container_id)

    def run(script: str) -> str:
        return str(container.exec_run(["python", "-c", script]).output.decode())

    assert [p[1] for p in json.loads(run(_PROCESSES))].count(1) == 1, (
        "the service is the one child of process 1"
    )
    # a grandchild whose parent ends before it: the kernel gives it to process 1, where it ends as well
    run(
        "import os, time; os.fork() or (os.setsid(), os.fork() or (time.sleep(0.3), os._exit(0)), os._exit(0))"
    )
    end = time.monotonic() + 20
    while len(found := json.loads(run(_PROCESSES))) > 3 and time.monotonic() < end:
        time.sleep(0.2)
    assert "Z" not in {state for state, _ in found}
    assert len(found) == 3, "process 1, the service, and who asks"


def test_limits_are_recorded(built: Built, client: Any) -> None:
    deployment = built.start(memory="700m", cpus=0.7)
    try:
        limits = client.containers.get(deployment.container_id).attrs["HostConfig"]
        assert (limits["Memory"], limits["NanoCpus"]) == (700 << 20, 700_000_000)
        assert Live(Deployment.from_dict(deployment.to_dict()), "ready").limits == "700m, 0.7 cores"
    finally:
        deployments.stop(deployment)


def test_what_is_recorded_of_an_image(built: Built, client: Any) -> None:
    assert [(c.contract, c.rows, c.equal) for c in built.image.proof.contracts] == [
        (name, 5, 5) for name in proofs.CONTRACTS
    ]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(built.image.sbom).read_text()) is None
    lock = Path(built.image.lock).read_text()
    names = [line.partition(" ")[0] for line in lock.splitlines() if "==" in line]
    assert sorted(names) == sorted(built.manifest.requirements)
    labels = client.images.get(built.image.tag).labels
    assert labels["mlops.requirements.digest"] == hashlib.sha256(lock.encode()).hexdigest()
    assert labels["org.opencontainers.image.base.digest"] == client.images.get(built.base).id
    assert labels["org.opencontainers.image.version"] == "1"
    assert built.image.platform == "linux/amd64"


_INTERRUPTED = """
import signal, sys
from pathlib import Path
from mlops_workbench.jobs.queue import end_orderly
from mlops_workbench.manifest import Servable
from mlops_workbench.package.build import build_image
from mlops_workbench.package.dockerfile import ImageOptions

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is started without it
end_orderly()
folder, name, digest, base, cache = sys.argv[1:]
build_image(
    Path(folder), Servable(name, "9", digest), ImageOptions(base), cache_dir=Path(cache),
    records_dir=Path(cache) / "9", prove=None, progress=lambda said, fraction=None: print(said, flush=True),
)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_build_that_is_cancelled_leaves_nothing(
    built: Built, tmp_path: Path, client: Any, sent: int, code: int
) -> None:
    """As a job is cancelled, and as Ctrl-C does, in the step that installs: of wheels that no layer knows yet."""
    name = f"cut{uuid.uuid4().hex[:8]}"
    (folder,) = (f for f in (built.cache / "wheels").iterdir())
    fresh = wheel(folder, name)
    needed = (*built.manifest.requirements, f"{name}==1.0")
    manifest = model_folders.save(tmp_path, model_folders.classifier(), requirements=needed)
    containers = {c.id for c in client.containers.list(all=True)}
    dangling = _dangling(client)
    words = [str(tmp_path), built.name, manifest.sha256, built.base, str(built.cache)]
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTED, *words], stdout=subprocess.PIPE, text=True
        ) as build:
            assert build.stdout is not None
            for line in build.stdout:
                if line.startswith("step 4/"):
                    time.sleep(1)
                    build.send_signal(sent)
            assert build.wait(60) == code
    finally:
        fresh.unlink()
    assert {c.id for c in client.containers.list(all=True)} == containers
    assert _dangling(client) == dangling
    assert not [t for t in client.images.list(image_repository(built.name)) if "unproven" in str(t.tags)]


def _for_another_machine(architecture: str, tag: str) -> bytes:
    """An image whose python3 is no more than the head of a program for that machine."""
    machine = {"arm64": b"\xb7\x00", "amd64": b"\x3e\x00"}[architecture]
    program = (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine).ljust(4096, b"\0")
    layer = _tarred({"usr/bin/python3": program})
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    listed = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    return _tarred(
        {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(listed).encode(),
        }
    )


def _tarred(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_a_platform_that_the_engine_cannot_run(built: Built, client: Any) -> None:
    """A base image of another machine, whose python3 is a program for that machine."""
    other = {"amd64": "arm64", "arm64": "amd64"}[built.image.platform.partition("/")[2]]
    tag = f"other-machine:{uuid.uuid4().hex[:8]}"
    client.images.load(_for_another_machine(other, tag))
    try:
        with pytest.raises(BuildFailed, match=f"The engine runs .* and cannot run linux/{other}") as caught:
            built.build(built.folder, built.manifest, "8", base_image=tag, platform=f"linux/{other}")
        assert "QEMU" in caught.value.next_step
        with pytest.raises(BuildFailed, match=f"'{built.base}' for linux/{other} is not here"):
            built.build(built.folder, built.manifest, "8", platform=f"linux/{other}")
    finally:
        client.images.remove(tag)


def test_a_log_on_the_host_is_shared_with_a_local_process(built: Built, tmp_path: Path) -> None:
    """The same SQLite file, written by a container and by a process at once."""
    inference = tmp_path / "inference"
    container = built.start(inference_dir=inference)
    local = deployments.start_local(
        built.folder,
        Servable(built.name, "1", built.manifest.sha256),
        Launch("shadow", log_url=f"sqlite:///{inference}/inference.db"),
        log_file=tmp_path / "serving.log",
    )
    rows = model_folders.rows_of(model_folders.flights(5))
    try:
        for _ in range(20):
            for deployment in (container, local):
                deployments.predict(deployment, rows)
    finally:
        deployments.stop(local)
        deployments.stop(container)
    with closing(sqlite3.connect(inference / "inference.db")) as log:
        (table,) = log.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchone()
        counts = log.execute(f'SELECT role, count(*) FROM "{table}" GROUP BY 1 ORDER BY 1').fetchall()
    assert counts == [("champion", 100), ("shadow", 100)]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_ordinary_users_log_is_theirs(built: Built, tmp_path: Path) -> None:
    inference = tmp_path / "inference"
    inference.mkdir()
    os.chown(inference, 4711, 4711)
    # what start_container does for the user 4711, in the engine's own words
    client = docker.from_env()
    container = client.containers.run(
        built.image.tag,
        detach=True,
        user="4711:4711",
        read_only=True,
        tmpfs={"/tmp": ""},
        environment={"MLOPS_LOG_URL": "sqlite:////var/lib/mlops/inference.db"},
        volumes={str(inference): {"bind": "/var/lib/mlops", "mode": "rw"}},
    )
    try:
        end = time.monotonic() + 60
        while '"event": "serving"' not in container.logs().decode() and time.monotonic() < end:
            time.sleep(0.2)
        assert (inference / "inference.db").stat().st_uid == 4711
    finally:
        container.remove(force=True)
        client.close()


def test_the_same_wheels_are_the_same_layers(built: Built, client: Any, tmp_path: Path) -> None:
    """Built twice, nothing taken from what was built before: by the engine's API, and by hand with `docker build`."""
    wanted = ("numpy", "orjson", "sqlalchemy", "typing-extensions")
    chosen = [r for r in built.manifest.requirements if r.partition("==")[0] in wanted]
    wheels = fetch(chosen, wheel_target(built.base), built.cache)
    parts = [
        *dependency_files(wheels, lock(read(wheel) for wheel in wheels)),
        *service_files(built.folder, built.manifest),
    ]
    before = _dangling(client)
    try:
        found = [
            _layers(client, built, parts, tmp_path / "context.tar", commit=commit, by_hand=by_hand)
            for commit, by_hand in (("abc", False), ("def", True))  # another label leaves the layers alone
        ]
    finally:
        for image in _dangling(client) - before:
            client.images.remove(image)
    assert found[0] == found[1]


def _layers(client: Any, built: Built, parts: Any, tar: Path, *, commit: str, by_hand: bool) -> list[str]:
    text = render_dockerfile(
        Servable("x", "1", built.manifest.sha256), ImageOptions(built.base, commit=commit)
    )
    with tar.open("wb") as out:
        write_context(out, text, parts)
    with tar.open("rb") as context:
        if not by_hand:
            image, _ = client.images.build(
                fileobj=context, custom_context=True, nocache=True, rm=True, forcerm=True
            )
            return list(image.attrs["RootFS"]["Layers"])
        done = subprocess.run(
            ["docker", "build", "--quiet", "--no-cache", "-"],
            stdin=context,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return list(client.images.get(done.stdout.strip()).attrs["RootFS"]["Layers"])


def test_an_image_in_use_stays_until_the_next_build(built: Built, client: Any, engine: DockerEngine) -> None:
    """A version built again, with another label, while its first image serves."""
    first = built.build(built.folder, built.manifest, "7")
    before = _dangling(client)
    deployment = deployments.start_container(
        first.tag, Servable(built.name, "7", built.manifest.sha256), Launch()
    )
    try:
        built.build(built.folder, built.manifest, "7", commit="4567def")
        assert deployments.alive(deployment) == "ready"
        assert _dangling(client) == before
        assert f"replaced-{first.id[7:19]}" in engine.tags(image_repository(built.name))
    finally:
        deployments.stop(deployment)
    built.build(built.folder, built.manifest, "7", commit="4567def")
    assert not [t for t in engine.tags(image_repository(built.name)) if t.startswith("replaced-")]
    assert engine.image(first.id) is None
