"""What the Jupyter server refuses: no token, a wrong XSRF token, a person who may not; and what GET leaves."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from mlops_jupyter import handlers, performing
from projects import champion
from tornado.web import create_signed_value

from mlops_workbench.workbench import Workbench, verbs

ADDRESSES = ("version", "verbs", "overview", "verbs/status", "verbs/promote", "jobs/1/notebook", "line")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
WITH_BODY = ("POST", "PUT", "PATCH")

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
Send = Callable[..., Awaitable[int]]


class ReadsOnly(Authorizer):
    """Lets everybody read, and nobody write."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"


class Nobody(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return False


@pytest.fixture
def jp_server_config(jp_server_config: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    authorizer = getattr(request, "param", None)
    server = jp_server_config["ServerApp"] | ({"authorizer_class": authorizer} if authorizer else {})
    return jp_server_config | {"ServerApp": server}


@pytest.fixture
def send(jp_serverapp: Any, http_server_client: Any, jp_base_url: str) -> Send:
    """The status of a request with exactly these headers."""

    async def one(method: str, path: str, headers: dict[str, str], query: str = "") -> int:
        body = "{}" if method in WITH_BODY else None
        answer = await http_server_client.fetch(
            f"{jp_base_url}mlops/api/{path}{query}",
            method=method,
            headers=headers,
            body=body,
            follow_redirects=False,
            raise_error=False,
        )
        return int(answer.code)

    return one


@pytest.fixture
def cookie(jp_serverapp: Any, jp_http_port: int) -> str:
    """Of a person whose browser is logged in."""
    provider = jp_serverapp.identity_provider
    fields = ("username", "name", "display_name", "initials", "color", "avatar_url")
    user = json.dumps(dict.fromkeys(fields, "p"))
    name = provider.cookie_name or f"username-127-0-0-1-{jp_http_port}"
    value = create_signed_value(jp_serverapp.web_app.settings["cookie_secret"], name, user)
    return f"{name}={value.decode()}"


def test_every_route_is_asked() -> None:
    patterns = [pattern for pattern, _ in handlers.ROUTES]
    assert len(patterns) == 6
    assert {p.split("/")[3] for p in patterns} == {a.split("/")[0] for a in ADDRESSES}


@pytest.mark.parametrize("method", METHODS)
async def test_without_a_token_nothing_is_answered(send: Send, method: str) -> None:
    for address in ADDRESSES:
        for headers in ({}, {"Authorization": "token wrong"}, {"Authorization": "Basic Og=="}):
            assert await send(method, address, headers) in (403, 405), (address, headers)
        assert await send(method, address, {}, "?token=wrong") in (403, 405)


async def test_a_browser_without_the_right_xsrf_token_changes_nothing(send: Send, cookie: str) -> None:
    for address in ("verbs/promote", "verbs/status", "line"):
        for extra in ({}, {"X-XSRFToken": "wrong"}, {"X-XSRFToken": ""}):
            assert await send("POST", address, {"Cookie": cookie, **extra}) == 403, (address, extra)
        forged = {"Cookie": f"{cookie}; _xsrf=2|aaaaaaaa|{'0' * 32}|1", "X-XSRFToken": "2|bbbbbbbb|00|1"}
        assert await send("POST", address, forged) == 403
    assert await send("GET", "version", {"Cookie": cookie, "X-XSRFToken": "wrong"}) in (200, 403)
    matching = {"Cookie": f"{cookie}; _xsrf=abc", "X-XSRFToken": "abc"}
    assert await send("POST", "line", matching) == 400  # so the cookie is one of a person who is logged in


@pytest.mark.parametrize("jp_server_config", [Nobody], indirect=True)
async def test_where_the_authorizer_denies_nothing_is_answered(ask: Ask) -> None:
    for address in ADDRESSES:
        for body in (None, {}):
            status, _ = await ask(address, body=body)
            assert status in (403, 405), address


@pytest.mark.parametrize("jp_server_config", [ReadsOnly], indirect=True)
async def test_who_may_only_read_changes_nothing(ask: Ask) -> None:
    assert (await ask("version"))[0] == 200
    for name in verbs():
        assert (await ask(f"verbs/{name}", body={}))[0] == 403, name


ESCAPES = (
    "..", "../secret", "../../secret", "a/../../secret",
    "%2e%2e/secret", "..%2fsecret", "%252e%252e%252fsecret", "..\\secret",
    "....//secret", "/etc", "//etc", "file:///etc", "~", "~root", "link", "link/sub", "a\0b", "../root-2", "./.mlops",
    "\uff0e\uff0e/secret", "a/link", ".hidden",
)  # fmt: skip


@pytest.fixture
def outside(jp_root_dir: Path) -> Path:
    """A project beside the root, which links lead to."""
    secret = jp_root_dir.parent / "secret"
    for folder in (secret, secret / "sub", jp_root_dir.parent / f"{jp_root_dir.name}-2", jp_root_dir / "a"):
        folder.mkdir(exist_ok=True)
        (folder / "mlops.toml").write_text('[project]\nname = "x"\n')
    (jp_root_dir / ".hidden").mkdir()
    (secret / "rows.csv").write_text("a\n1\n")
    for link in (jp_root_dir / "link", jp_root_dir / "a" / "link"):
        link.symlink_to(secret)
    (jp_root_dir / "a" / "report.html").symlink_to(secret / "report.html")
    return secret


async def test_no_path_leads_out_of_the_root(ask: Ask, outside: Path, jp_root_dir: Path) -> None:
    before = beside(jp_root_dir)
    for path in ESCAPES:
        for address in ("verbs/status", "overview", "verbs/ledger", "jobs/1/notebook"):
            status, answer = await ask(address, project=path)
            assert (status, answer.get("error")) == (404, "NotFound"), (address, path, answer)
        file = path if path.startswith(("/", "~", "file:")) else f"../{path}"  # from the project's folder
        data = f"{file}/rows.csv"
        status, answer = await ask("verbs/drift", project="a", name="x", data=data)
        assert (status, answer["error"]) == (404, "NotFound"), (path, answer)
        for name, options in {
            "backup": {"out": f"{file}/b.tar.gz"},
            "export": {"what": "grafana", "out": file},
            "ledger": {"action": "anchor", "to": f"{file}/x"},
            "restore": {"archive": data},
            "retrain": {"name": "x", "notebook": data},
            "run": {"script": data},
        }.items():
            status, answer = await ask(f"verbs/{name}", body=options, project="a")
            # a folder that is made may have any name: what counts is where
            assert name == "export" or status in (400, 404, 409), (name, options, answer)
    for name, options in {
        "ledger": {"action": "anchor", "to": "report.html"},
        "drift": {"name": "x", "report": "report.html"},
        "export": {"what": "grafana", "out": ".."},
        "backup": {"out": ".hidden"},
    }.items():
        status, answer = await ask(f"verbs/{name}", body=options, project="a")
        assert (status, answer["error"]) == (404, "NotFound"), (name, answer)
    for name in ("../../secret", "..%2f..%2fsecret", "/etc/passwd"):
        assert (await ask("verbs/contract", project="a", name=name))[0] in (400, 404)
    assert beside(jp_root_dir) == before


async def test_a_project_above_the_root_is_not_opened(ask: Ask, jp_root_dir: Path) -> None:
    (jp_root_dir.parent / "mlops.toml").write_text('[project]\nname = "above"\n')
    for address in ("verbs/status", "overview", "jobs/1/notebook"):
        assert (await ask(address))[0] == 404
    assert not (jp_root_dir.parent / ".mlops").exists()


def beside(root: Path) -> dict[str, str]:
    return {path: digest for path, digest in tree(root.parent).items() if not Path(path).is_relative_to(root)}


def tree(root: Path) -> dict[str, str]:
    """All that is there, by content: databases by what is in them."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.name.endswith(("-wal", "-shm", "-journal")) or path.is_dir():
            continue
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                content = "\n".join(connection.iterdump()).encode()
        else:
            content = path.read_bytes() if path.is_file() else b"link"
        found[str(path)] = hashlib.sha256(content).hexdigest()
    return found


READS = {
    "history": {"name": "trips"},
    "lineage": {"name": "trips"},
    "card": {"name": "trips"},
    "compare": {"first": "first", "second": "first"},
    "drift": {"name": "trips", "data": "rows.csv"},
    "contract": {"name": "trips"},
    "ledger": {"action": "verify"},
    "quality": {"name": "trips/1"},
}


@pytest.mark.prepared(by=champion)
async def test_get_leaves_everything_as_it_was(
    workbench: Workbench, ask: Ask, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbench.validate("train", contract="trips", infer=True)
    root = workbench.project.root
    workbench.namespace["test"].to_csv(root / "rows.csv", index=False)
    workbench.close()
    monkeypatch.setitem(jp_serverapp.web_app.settings, "server_root_dir", str(root))
    before = tree(root)
    for name, verb in verbs().items():
        status, answer = await ask(f"verbs/{name}", html="1", **READS.get(name, {}))
        right = (404,) if name == "quality" else (200,)  # nothing was answered yet
        assert status in (right if verb.effect == "reads" else (405, 409)), (name, answer)
        after = tree(root)
        assert after == before, (name, [p for p in after if after[p] != before.get(p)])
    for address in ("version", "verbs", "overview"):
        assert (await ask(address))[0] == 200
    assert tree(root) == before


async def test_all_work_of_every_handler_is_done_in_threads(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also reading the options, and JSON: either may be megabytes."""
    seen: dict[str, set[str]] = {}

    def watched(name: str) -> None:
        room = performing if name == "call" else handlers
        whole = getattr(room, name)

        def call(*given: Any, **options: Any) -> Any:
            seen.setdefault(name, set()).add(threading.current_thread().name.partition("_")[0])
            return whole(*given, **options)

        monkeypatch.setattr(room, name, call)

    for name in ("verbs", "describe", "from_query", "call", "line", "checked", "project_folder"):
        watched(name)
    dumps, loads = json.dumps, json.loads
    answers: set[str] = set()
    monkeypatch.setattr(
        handlers, "json", type("Json", (), {
            "dumps": staticmethod(lambda v: answers.add(threading.current_thread().name.partition("_")[0]) or dumps(v)),
            "loads": staticmethod(loads),
        }),
    )  # fmt: skip
    for address, body in {
        "verbs": None,
        "overview": None,
        "verbs/status": None,
        "verbs/promote": {},
        "jobs/1/notebook": None,
        "line": {"verb": "gate", "options": {"name": "x"}},
    }.items():
        await ask(address, body=body)
    assert set(seen) == {"verbs", "describe", "from_query", "call", "line", "checked", "project_folder"}
    assert set.union(*seen.values()) == {"mlops"}
    assert answers == {"mlops", "MainThread"}  # errors are short: they are written where they are found
