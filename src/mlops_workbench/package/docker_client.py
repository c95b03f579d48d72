"""The container engine: the only module that knows docker-py. Podman's compatible socket answers too."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import docker
import docker.errors
import requests

from mlops_workbench.base.errors import Conflict, EngineUnavailable, MlopsError, NotFound, ServingFailed

_SECONDS = 900
"""silence that is tolerated: an install step of a build says nothing until it is done"""

_REMEDY = "Start Docker or Podman, or point DOCKER_HOST to the socket of a running engine."


def engine_answers() -> bool:
    """Whether an engine is there, for those who only show it."""
    try:
        connect().close()
    except EngineUnavailable:
        return False
    return True


def connect() -> DockerEngine:
    """The engine of the environment (DOCKER_HOST, else the default socket). Raises EngineUnavailable."""
    try:
        _knock()
        client = docker.from_env(timeout=_SECONDS)
        client.ping()
    except (OSError, docker.errors.DockerException, requests.RequestException) as error:
        raise EngineUnavailable(f"No container engine answers: {_reason(error)}.", _REMEDY) from error
    return DockerEngine(client)


def _knock() -> None:
    """OSError if nothing listens at the engine's local socket: docker-py says it less plainly, in three
    nested exceptions, and leaves its own socket open."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://") or sys.platform == "win32":
        return
    path = host.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            raise OSError(f"{path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    id: str
    size: int
    """bytes of all layers"""
    created: str
    tags: tuple[str, ...]
    labels: dict[str, str]
    user: str
    platform: str
    """`linux/amd64`"""
    parent: str
    """id of the image that it was made of by a step of a build; empty when it came otherwise"""


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    id: str
    status: str
    """created, running, restarting, paused, exited or dead"""
    exit_code: int
    port: int | None
    """the published port on the host"""


CONFINED: Mapping[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "pids_limit": 512,
    "tmpfs": {"/tmp": "rw,nosuid,nodev,size=64m"},  # noqa: S108 (the container's own)
}
"""every container that is started: nothing but its own /tmp to write to. `pids_limit`: processes and threads; a runtime
has some tens, and one for each core in every library"""


class DockerEngine:
    """A connection. What the engine refuses comes out as one of our errors."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._api = client.api

    def __enter__(self) -> DockerEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def image(self, reference: str) -> ImageFacts | None:
        """An image by tag or id; None if it is not here."""
        with _translated():
            try:
                found = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        config = found.get("Config") or {}
        return ImageFacts(
            id=found["Id"],
            size=found["Size"],
            created=found["Created"],
            tags=tuple(found.get("RepoTags") or ()),
            labels=config.get("Labels") or {},
            user=config.get("User") or "",
            platform=f"{found.get('Os', 'linux')}/{found.get('Architecture', '')}".rstrip("/"),
            parent=found.get("Parent") or "",
        )

    @property
    def platform(self) -> str:
        """What the engine itself runs on."""
        with _translated():
            about = self._api.version()
        return f"{about['Os']}/{about['Arch']}"

    def pull(self, reference: str, platform: str | None = None) -> None:
        with _translated():
            self._client.images.pull(reference, platform=platform)

    def tags(self, repository: str) -> tuple[str, ...]:
        """The tags (without the repository) of its images that are here."""
        with _translated():
            found = self._api.images(name=repository)
        names = (name for image in found for name in image.get("RepoTags") or ())
        # Podman says `docker.io/` or `localhost/` before the name
        return tuple(
            tag
            for path, _, tag in (n.rpartition(":") for n in names)
            if f"/{path}".endswith(f"/{repository}")
        )

    def unnamed(self) -> tuple[str, ...]:
        """Ids of the images that have no name, and on which nothing else is built."""
        with _translated():
            return tuple(image["Id"] for image in self._api.images(filters={"dangling": True}))

    def has_children(self, image: str) -> bool:
        """Whether an image was built on this one (by full id)."""
        with _translated():
            return any(i.get("ParentId") == image for i in self._api.images(all=True))

    def containers_of(self, images: frozenset[str]) -> tuple[str, ...]:
        """Ids of the containers, running or not, that were made of one of these images (by full id)."""
        with _translated():
            return tuple(c["Id"] for c in self._api.containers(all=True) if c["ImageID"] in images)

    def remove_containers(self, image: str) -> None:
        """End and remove the containers that were made of an image under this name."""
        with _translated():
            for container in self._api.containers(all=True):
                if container["Image"] == image:
                    self._api.remove_container(container["Id"], force=True, v=True)

    def tag(self, image_id: str, repository: str, tag: str) -> None:
        with _translated():
            self._api.tag(image_id, repository, tag, force=True)

    def remove_image(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image with its unused layers; False if something still uses it or it is not here."""
        with _translated():
            try:
                self._api.remove_image(reference, force=force)
            except docker.errors.APIError as error:
                if error.status_code in (404, 409):
                    return False
                raise
        return True

    def run_once(self, image: str, command: list[str]) -> str:
        """Standard output of a command in a fresh container without network. Raises MlopsError if it fails."""
        with _translated():
            container = self._client.containers.create(
                image,
                command[1:],
                entrypoint=command[:1],
                network_mode="none",
                use_config_proxy=False,
                **CONFINED,
            )
            try:
                container.start()
                code = container.wait()["StatusCode"]
                output: bytes = container.logs(stdout=True, stderr=False)
                if code:
                    errors = container.logs(stdout=False, stderr=True).decode(errors="replace")
                    last = (errors.strip().splitlines() or [f"it ended with {code}"])[-1]
                    raise MlopsError(f"The command '{command[0]}' failed there: {last}.")
            finally:  # also when the wait was interrupted
                container.remove(force=True)
        return output.decode(errors="replace")

    def build(
        self, context: IO[bytes], *, tag: str, platform: str | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """The classic builder's messages for a tar of a context (BuildKit's protocol is not in docker-py).

        When the iterator is closed before its end, the connection is, too: then the engine gives the build up.
        """
        asked = {"t": tag, "rm": "1", "forcerm": "1"} | ({"platform": platform} if platform else {})
        with _translated():
            # docker-py's own `build` keeps the connection to itself
            answer = self._api.post(
                f"{self._api.base_url}/v{self._api.api_version}/build",
                params=asked,
                data=context,
                headers={"Content-Type": "application/x-tar"},
                stream=True,
                timeout=_SECONDS,
            )
            with answer:
                if answer.status_code >= 400:
                    raise MlopsError(f"The container engine refused: {_refusal(answer)}.")
                for line in answer.iter_lines():
                    if line:
                        yield json.loads(line)

    def start(self, image: str, *, port: int, host_port: int | None, **options: Any) -> str:
        """Start a container whose `port` is published on 127.0.0.1 only; its id."""
        with _translated():
            try:
                container = self._client.containers.create(
                    image,
                    detach=True,
                    ports={f"{port}/tcp": ("127.0.0.1", host_port)},
                    use_config_proxy=False,  # a proxy's address may hold a password
                    **{**CONFINED, **options},
                )
            except docker.errors.ImageNotFound:
                raise NotFound(f"There is no image '{image}' here.", "Build it first.") from None
            try:
                container.start()
            except docker.errors.APIError as error:
                container.remove(force=True)
                reason = _reason(error)
                if "already allocated" in reason or "address already in use" in reason:
                    raise Conflict(
                        f"The port {host_port} of 127.0.0.1 is in use.", "Choose another port, or none."
                    ) from error
                raise ServingFailed(f"The container of '{image}' did not start: {reason}.") from error
        return str(container.id)

    def container(self, container_id: str) -> ContainerFacts | None:
        with _translated():
            try:
                found = self._api.inspect_container(container_id)
            except docker.errors.NotFound:
                return None
        published = [p for ports in (found["NetworkSettings"]["Ports"] or {}).values() for p in ports or ()]
        state = found["State"]
        port = int(published[0]["HostPort"]) if published else None
        return ContainerFacts(found["Id"], state["Status"], state["ExitCode"], port)

    def logs(self, container_id: str, lines: int = 40) -> str:
        with _translated():
            output: bytes = self._api.logs(container_id, stdout=True, stderr=True, tail=lines)
        return output.decode(errors="replace")

    def remove_container(self, container_id: str, *, grace: int) -> None:
        """SIGTERM, SIGKILL after `grace` seconds, then remove. Nothing happens if it is gone."""
        with _translated():
            try:
                self._api.stop(container_id, timeout=grace)
                self._api.remove_container(container_id, force=True, v=True)
            except docker.errors.NotFound:
                return


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise MlopsError(f"The container engine refused: {_reason(error)}.") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise EngineUnavailable(
            f"The container engine does not answer: {_reason(error)}.", _REMEDY
        ) from error


def _refusal(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"]).strip().rstrip(".")
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error).strip().rstrip(".")
