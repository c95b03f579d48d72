"""A real Jupyter server with the extension enabled as the installed configuration file does it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

CONFIG = Path(__file__).parents[2] / "jupyter_ext" / "server-config" / "mlops_jupyter.json"

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Verbs run in the server's threads, where all tests share what was imported; `test_beside.py` asks the process."""
    return dict(json.loads(CONFIG.read_text())) | {"MlopsExtension": {"process": False}}


@pytest.fixture
def ask(jp_fetch: Any) -> Ask:
    """`await ask("verbs/status", project="p")` → (status, JSON). With `body`, a POST."""

    async def one(
        path: str, body: Any = None, headers: Any = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        options: dict[str, Any] = {"params": query, "request_timeout": 100}
        if headers is not None:
            options["headers"] = headers
        if body is not None:
            options |= {"method": "POST", "body": body if isinstance(body, str) else json.dumps(body)}
        try:
            answer = await jp_fetch("mlops", "api", *path.split("/"), **options)
        except HTTPClientError as refused:
            answer = refused.response
        return answer.code, json.loads(answer.body)

    return one
