"""The API does what its document says: requests made up from it are answered as it says, with nothing of 5xx."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Generator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from backupd.daemon.parameters import schema_of
from backupd.daemon.routes import ROUTES, document
from tests.support.daemon import Daemon, running_daemon

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_SECONDS = 20
"""A request that takes so long hangs."""
DESCRIBED = {
    f"{verb.upper()} {path}": one
    for path, verbs in document()["paths"].items()
    for verb, one in verbs.items()
    if verb in ("get", "put", "post", "delete")
}
TAKES_WORDS = [
    label
    for label, one in DESCRIBED.items()
    if "requestBody" in one or any(word["in"] == "query" for word in one.get("parameters", ()))
]


@cache
def operations() -> dict[str, Any]:
    """By label; taken from the document where they are used: each of the processes that runs tests loads this file."""
    schema = schemathesis.openapi.from_dict(document())
    return {one.label: one for one in (found.ok() for found in schema.get_all_operations() if isinstance(found, Ok))}


class _Connection(HTTPConnection):
    """Goes to a Unix socket whatever its host."""

    path: str

    def _new_conn(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(_SECONDS)
        end.connect(self.path)
        return end


class _ToSocket(HTTPAdapter):
    """For requests."""

    def __init__(self, path: Path) -> None:
        super().__init__()

        class Pool(HTTPConnectionPool):
            ConnectionCls = type("To", (_Connection,), {"path": str(path)})

        self._pool = Pool("localhost")

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with a set that ran, and one whose source is nowhere."""
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        (made.home / "src").mkdir()
        (made.home / "src" / "a").write_text("a")
        made.good("set", "create", "home", "--source", made.home / "src", "--to", made.home / "repo")
        made.good("backup", "home")
        made.good("set", "disable", "home")
        made.good("notice", "add", "admins", "mailto:anna@example.org")
        made.good("contact", "add", "anna", "anna@example.org")
        yield made


@pytest.fixture
def is_night(request: pytest.FixtureRequest) -> bool:
    """Each operation is asked more often then."""
    return bool(request.config.getoption("--nightly") or request.config.getoption("--full-size"))


@pytest.mark.parametrize("label", DESCRIBED)
def test_answers_are_as_the_document_says(daemon: Daemon, label: str, is_night: bool) -> None:
    """Who writes a client from the document must be able to read each answer, and find the daemon alive."""
    check_answers(daemon, label, GenerationMode.POSITIVE, 12 if is_night else 7)


@pytest.mark.parametrize("label", TAKES_WORDS)
def test_what_the_document_does_not_allow_is_refused(daemon: Daemon, label: str, is_night: bool) -> None:
    """A client's mistake must come out at once, not as something else that is done."""
    check_answers(daemon, label, GenerationMode.NEGATIVE, 8 if is_night else 5)


def check_answers(daemon: Daemon, label: str, mode: GenerationMode, times: int) -> None:
    """Ask so many times."""
    session = requests.Session()
    session.mount("http://", _ToSocket(daemon.socket))
    job = daemon.good("job", "list")["jobs"][-1]["id"]
    known = {"set": "home", "destination": "repo", "job": job, "name": "0" * 32, "notice": "admins", "contact": "anna"}
    numbers = count()

    @settings(
        max_examples=times,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=operations()[label].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        if next(numbers) % 2 == 0 and case.method != "DELETE":
            case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        if mode is GenerationMode.POSITIVE:
            body: Any = _harmless(case.body, daemon.home / "fuzz")
            if case.method == "PUT":
                body["text"]["name"] = next(known[part] for part in known if f"{{{part}}}" in label)
            case.body = body
        answer = case.call(base_url="http://localhost", session=session, timeout=_SECONDS)
        if mode is GenerationMode.NEGATIVE:
            assert answer.status_code >= 400 or _lacks_its_kind_alone(case.body), case.body
        case.validate_response(answer, checks=_CHECKS)

    ask()
    assert daemon.process is not None
    assert daemon.process.poll() is None
    assert "Traceback" not in daemon.said()


def test_all_that_is_described_is_tried() -> None:
    """An operation that schemathesis does not know by its label would be asked by no test."""
    assert list(operations()) == list(DESCRIBED)
    assert [label for label, one in operations().items() if one.body or one.query] == TAKES_WORDS


def test_every_verb_and_parameter_is_described() -> None:
    """What the document leaves out nobody finds."""
    made = document()
    listed = [(method.upper(), path) for path, verbs in made["paths"].items() for method in verbs]
    assert sorted(listed) == sorted((route.method, route.path) for route in ROUTES)
    for route in ROUTES:
        operation = made["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        assert operation["description"]
        assert all("description" in schema_of(route.name, name) for name in route.query), route.name
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_the_daemon_serves_the_document(daemon: Daemon) -> None:
    """A client made from the checkout's document would meet another daemon."""
    session = requests.Session()
    session.mount("http://", _ToSocket(daemon.socket))
    assert session.get("http://localhost/v1/openapi.json", timeout=_SECONDS).json() == json.loads(
        json.dumps(document())
    )


def _lacks_its_kind_alone(body: Any) -> bool:
    """An order of a verb that takes one kind need not say which it is."""
    return isinstance(body, dict) and isinstance(body.get("order"), dict) and "type" not in body["order"]


def _harmless(value: Any, below: Path) -> Any:
    """The same, but whatever is written or read lies below that directory, and names are of what is there."""
    if isinstance(value, list):
        return [_harmless(one, below) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: _harmless(one, below) for name, one in value.items()}
    if isinstance(made.get("name"), str) and len(made["name"]) % 2:
        made["name"] = f"n{len(made['name'])}"
    for name, inside in (("place", below / "place"), ("file", below / "file"), ("temporary_directory", below)):
        if isinstance(made.get(name), str) and ("/" in made[name] or "name" in made):
            made[name] = str(inside)
    if isinstance(made.get("to"), list):
        made["to"] = ["repo"]
    elif isinstance(made.get("to"), str):
        made["to"] = base64.b64encode(str(below / "to").encode()).decode()
    if isinstance(made.get("sources"), list):
        is_order = made.get("type") == "backup"
        made["sources"] = [base64.b64encode(str(below).encode()).decode() if is_order else str(below)]
    if isinstance(made.get("command"), list):
        made["command"] = ["false"]
    if isinstance(made.get("sets"), list):
        made["sets"] = [one if isinstance(one, dict) else "home" for one in made["sets"]]
    if "filters" in made:
        made["filters"] = [{"exclude": "*.tmp"} for _ in made["filters"]]
    return made
