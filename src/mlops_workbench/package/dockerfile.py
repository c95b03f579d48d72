"""The Dockerfile of a model's image, as a pure function of what goes into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_workbench.base.errors import UsageError
from mlops_workbench.manifest import Servable

DEFAULT_BASE = "python:3.11-slim"
UID = 10001
"""the image's user and group: a number, so that an orchestrator can see that it is not root"""
PORT = 8080
MODEL_DIR = "/opt/model"
RUNTIME_DIR = "/opt/runtime"
INFERENCE_DIR = "/var/lib/mlops"
"""where the inference log's folder is mounted"""

_IMAGE_REFERENCE = re.compile(r"[A-Za-z0-9][\w.:/@-]*")

SERVING_MODULES = (
    *("fastapi", "fastapi.openapi.utils", "httptools", "numpy", "orjson", "prometheus_client", "pydantic"),
    *("sqlalchemy", "sqlalchemy.dialects.sqlite", "uvicorn", "uvicorn.lifespan.on", "uvicorn.loops.auto"),
    *("uvicorn.protocols.http.auto", "uvicorn.protocols.http.httptools_impl", "uvloop"),
)
"""what every start imports: compiled in the image, so that it does not wait"""
MODEL_MODULES = (
    *("arro3.io", "pandas", "skops.io", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model"),
    "sklearn.pipeline",
)
"""what the original model imports besides; those that are not installed are passed over"""

_HEALTH = (
    "import os, urllib.request as u; "
    "e = os.environ.get; port = e('SAGEMAKER_BIND_TO_PORT') or e('AIP_HTTP_PORT') or e('PORT'); "
    "u.urlopen('http://127.0.0.1:' + port + '/health/ready', timeout=3)"
)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What a version's image is made on, and what is written on it."""

    base_image: str = DEFAULT_BASE
    platform: str | None = None
    """such as `linux/arm64`; None: the engine's own"""
    commit: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def render_dockerfile(servable: Servable, options: ImageOptions) -> str:
    """The whole as one file, for a context of `dependency_files` and `service_files`."""
    libraries = render_dependencies(options.base_image, fast_only=servable.fast_only)
    return libraries + render_service(servable, options)


def render_dependencies(base_image: str, *, fast_only: bool = False) -> str:
    """What changes least: the libraries. `base_image` needs `python3` with `venv` and `pip` (22.3 or later), nothing
    else: no network, no compiler."""
    if not _IMAGE_REFERENCE.fullmatch(base_image):
        raise UsageError(f"The base image must be an image's name. Got '{base_image}' instead.")
    modules = (*SERVING_MODULES, *(() if fast_only else MODEL_MODULES))
    return f"""\
FROM {base_image} AS build
COPY wheels /build/wheels
COPY requirements.txt slim.py /build/
# The venv holds no pip; what is installed must be the very files that were locked.
RUN python3 -m venv --without-pip /opt/venv \\
 && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check install --quiet --no-compile \\
    --no-index --no-deps --require-hashes --find-links /build/wheels -r /build/requirements.txt \\
 && /opt/venv/bin/python -I -B /build/slim.py /opt/venv {" ".join(modules)} \\
 && mkdir -p /tree/opt && mv /opt/venv /tree/opt/ && touch -d @0 /tree/opt/venv /tree/opt

FROM {base_image}
# Folders that COPY makes have the time of the build; those that it copies keep theirs.
COPY --from=build /tree /
ENV PATH=/opt/venv/bin:$PATH \\
    PYTHONPATH={RUNTIME_DIR} \\
    PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    HOME=/tmp \\
    HOST=0.0.0.0 \\
    PORT={PORT} \\
    MLOPS_MODEL_DIR={MODEL_DIR} \\
    MLOPS_LOG_URL=
EXPOSE {PORT}
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-c", "{_HEALTH}"]
# An entry point, not a command: SageMaker starts images with the word `serve`.
ENTRYPOINT ["python", "-m", "mlops_workbench.serving"]
USER {UID}:{UID}
"""


def render_service(servable: Servable, options: ImageOptions) -> str:
    """What changes most: our runtime, the model, and its labels; follows the lines of `render_dependencies`.

    When it starts it verifies the digests of `servable`.
    """
    facts = {
        "org.opencontainers.image.title": servable.name,
        "org.opencontainers.image.version": servable.version,
        "org.opencontainers.image.base.name": options.base_image,
        **({"org.opencontainers.image.revision": options.commit} if options.commit else {}),
        "mlops.model.name": servable.name,
        "mlops.model.version": servable.version,
        "mlops.model.digest": servable.digest,
        **({"mlops.plan.digest": servable.plan} if servable.plan else {}),
        **({"mlops.manifest.digest": servable.manifest} if servable.manifest else {}),
        **options.labels,
    }
    env_lines = " \\\n    ".join(f"{k}={_word(v)}" for k, v in servable.variables().items())
    return f"""\
COPY runtime /
COPY model /
ENV {env_lines}
{render_labels(facts)}"""


def render_labels(labels: Mapping[str, str]) -> str:
    return "LABEL " + " \\\n      ".join(f"{_word(k)}={_word(v)}" for k, v in labels.items()) + "\n"


def _word(value: str) -> str:
    """A quoted word in which nothing is substituted."""
    if any(ord(c) < 32 for c in value):
        raise UsageError(f"A label must be one line of text. Got {value!r} instead.")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
