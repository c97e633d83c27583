"""MongoDB by its preset, with MongoDB's own tools and a server of its protocol: dumped, dropped, restored, compared."""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.model.streams import StreamOrder, StreamText
from backupd.store_errors import StreamError
from tests.support.daemon import Daemon, running_daemon
from tests.support.filling import filling_below
from tests.support.servers import mongodb
from tests.support.servers.mongodb import MongoServer
from tests.support.while_it_runs import no_secret, seen_processes, writing

pytestmark = [pytest.mark.nightly, pytest.mark.needs("go"), pytest.mark.timeout(900)]
_DOCUMENTS = 3000


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mongodb.build(tmp_path_factory.mktemp("mongodb"))


@pytest.fixture(scope="module")
def server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[MongoServer, None, None]:
    with mongodb.ferretdb(programs, tmp_path_factory.mktemp("s") / "server", with_login=True) as started:
        shop = started.client["shop"]
        shop["item"].insert_many([{"_id": n, "name": f"é{n}", "raw": bytes([n % 256]) * n} for n in range(_DOCUMENTS)])
        shop["item"].create_index([("name", 1)], unique=True)
        shop["empty"].insert_one({"_id": 1})
        shop["empty"].delete_one({"_id": 1})
        started.client["other"]["mine"].insert_one({"_id": 1, "kept": True})
        yield started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d") / "home") as started:
        yield started


def _apply(daemon: Daemon, programs: Path, name: str, secret: str = "", **stream: object) -> None:
    above = daemon.home.parent
    whole: dict[str, object] = {"name": "data", "host": "127.0.0.1", "environment": {"PATH": str(programs)}, **stream}
    if secret:
        (above / f"{name}.password").write_text(secret)
        (above / f"{name}.password").chmod(0o600)
        whole["password"] = {"file": str(above / f"{name}.password")}
    text: dict[str, Any] = {
        "destinations": [{"name": f"{name}-place", "place": str(above / name)}],
        "sets": [{"name": name, "to": [f"{name}-place"], "streams": [whole]}],
    }
    daemon.good("set", "apply", "-f", "-", stdin=msgspec.json.encode(text))


def _refused(daemon: Daemon, name: str, into: str) -> tuple[object, object]:
    document = daemon.json("restore", name, "--into-database", into)
    return document["exit"], document["error"]["code"]


@pytest.mark.parametrize("options", [[], ["--gzip"]])
def test_a_database_comes_back_under_its_name_and_another(
    daemon: Daemon, programs: Path, server: MongoServer, options: list[str]
) -> None:
    name = f"one{len(options)}"
    options = [*options, "--authenticationDatabase", "admin"]
    secret = mongodb.PASSWORD
    _apply(
        daemon, programs, name, secret, mongodb="shop", port=server.port, login=mongodb.LOGIN, options=options
    )
    before, others = server.content("shop"), server.content("other")
    numbers = count()
    with seen_processes() as seen, writing(lambda _: server.client["busy"]["a"].insert_one({"n": next(numbers)})):
        daemon.good("backup", name)
    for into in ("shop", "other"):
        assert _refused(daemon, name, into) == (17, "target.database_in_use")
    for into in ("all", "admin", "a.b", "a*", "x" * 64):
        assert _refused(daemon, name, into)[0] == 2, into
    daemon.good("restore", name, "--into-database", "again", "--dry-run")
    assert "again" not in server.client.list_database_names()
    server.client.drop_database("shop")
    with seen_processes() as seen_back:
        for into in ("again", "shop"):
            daemon.good("restore", name, "/.streams/data", "--into-database", into)
    assert server.content("again") == server.content("shop") == before
    assert server.content("other") == others
    no_secret(seen, secret, b"mongodump")
    no_secret(seen_back, secret, b"mongorestore")
    server.client.drop_database("again")


def test_a_wrong_password_says_so(daemon: Daemon, programs: Path, server: MongoServer) -> None:
    given: dict[str, Any] = {"mongodb": "shop", "port": server.port, "login": mongodb.LOGIN}
    _apply(daemon, programs, "bad", mongodb.PASSWORD, options=["--authenticationDatabase=admin"], **given)
    daemon.good("backup", "bad")
    (daemon.home.parent / "bad.password").write_text("no")
    document = daemon.json("restore", "bad", "--into-database", "never")
    assert document["error"]["code"] == "source.stream_failed", document
    assert "uthentication" in document["error"]["message"], document
    document = daemon.json("backup", "bad")
    assert (document["exit"], document["error"]["code"]) == (1, "source.stream_failed"), document


def test_an_archive_that_breaks_off_says_what_is_left(programs: Path, server: MongoServer, tmp_path: Path) -> None:
    text = StreamText(
        name="data",
        mongodb="shop",
        host="127.0.0.1",
        port=server.port,
        login=mongodb.LOGIN,
        options=["--authenticationDatabase=admin"],
        environment={"PATH": str(programs)},
    )
    order = StreamOrder(text=text, secret=mongodb.PASSWORD.encode())
    archive = _dumped(tmp_path, order)
    filling, context = filling_below(tmp_path, order, "half")
    filling.refuse_full()
    with pytest.raises(StreamError, match="mongorestore ended with exit code 1"):
        filling.fill(iter([archive[: len(archive) // 2]]))
    assert context.warnings == ["part of it may be in half: drop that database before you try again"]
    wanted = StreamOrder(text=msgspec.structs.replace(text, mongodb="wanted"), secret=order.secret)
    filling, _ = filling_below(tmp_path, wanted, "half")
    with pytest.raises(StreamError, match="archive is of 'shop', not of wanted alone"):
        filling.fill(iter([archive]))
    server.client.drop_database("half")


def _dumped(folder: Path, order: StreamOrder) -> bytes:
    programs = filling_below(folder, order, "half")[0]._programs  # type: ignore[attr-defined]
    words = ["--archive", "--db=shop", f"--port={order.text.port}", f"--username={mongodb.LOGIN}", *order.text.options]
    return programs.beginning(["mongodump"], words, b"".join)  # type: ignore[no-any-return]


def test_all_of_a_server_comes_back(daemon: Daemon, programs: Path, tmp_path: Path) -> None:
    with mongodb.ferretdb(programs, tmp_path / "first", with_login=False) as server:
        for database in ("shop", "blog"):
            server.client[database]["item"].insert_many([{"_id": n, "name": f"é{n}"} for n in range(500)])
            server.client[database]["item"].create_index([("name", -1)])
        before = [server.content(database) for database in ("shop", "blog")]
        _apply(daemon, programs, "every", mongodb="all", port=server.port)
        daemon.good("backup", "every")
        assert _refused(daemon, "every", "shop")[0] == 2
        full = daemon.json("restore", "every", "--into-database", "all")
        assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
        assert re.search("the databases blog, shop already", full["error"]["message"])
    with mongodb.ferretdb(programs, tmp_path / "second", with_login=False) as server:
        _apply(daemon, programs, "every", mongodb="all", port=server.port)
        daemon.good("restore", "every", "--into-database", "all")
        assert [server.content(database) for database in ("shop", "blog")] == before
