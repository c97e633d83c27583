"""FerretDB, which speaks MongoDB's protocol, with MongoDB's own tools: none has a package, so all are built here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from pymongo import MongoClient

from tests.support.servers.process import ServerProcess, free_port

LOGIN, PASSWORD = "owner", 'pass"wo:rd\\1'
_SERVER = "github.com/FerretDB/FerretDB", "v1.24.2"
_TOOLS = "github.com/mongodb/mongo-tools", "v0.0.0-20240723193119-837c2bc263f4"


def build(folder: Path) -> Path:
    """A directory with the programs mongodump, mongorestore and ferretdb."""
    programs = folder / "programs"
    programs.mkdir()
    tools = _source(folder / "tools", _TOOLS)
    for name in ("mongodump", "mongorestore"):
        _go(tools, "build", "-mod=mod", "-trimpath", "-o", str(programs / name), f"./{name}/main")
    server = _source(folder / "server", _SERVER)
    (server / "build/version/version.txt").write_text(_SERVER[1])
    # MongoDB is told by mongorestore that it may ignore options which it does not know, this one among them.
    indexes = server / "internal/handler/msg_createindexes.go"
    before = 'case "background":'
    text = indexes.read_text()
    assert text.count(before) == 1
    indexes.write_text(text.replace(before, 'case "background", "ns":'))
    _go(server, "build", "-trimpath", "-o", str(programs / "ferretdb"), "./cmd/ferretdb")
    return programs


def _source(folder: Path, module: tuple[str, str]) -> Path:
    """A copy of a module that can be changed; the one that Go keeps is for all to share."""
    where = msgspec.json.decode(_go(folder.parent, "mod", "download", "-json", "@".join(module)))["Dir"]
    shutil.copytree(where, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return folder


def _go(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["go", *words], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def ferretdb(programs: Path, folder: Path, *, with_login: bool) -> Generator[MongoServer, None, None]:
    """A started server; its directory is made."""
    folder.mkdir()
    port = free_port()
    words = ["--handler=sqlite", f"--sqlite-url=file:{folder}/", f"--state-dir={folder}", "--telemetry=disable"]
    words += [f"--listen-addr=127.0.0.1:{port}", "--debug-addr=-"]
    if with_login:
        words += ["--test-enable-new-auth", "--setup-database=admin"]
        words += [f"--setup-username={LOGIN}", f"--setup-password={PASSWORD}"]
    process = ServerProcess([programs / "ferretdb", *words], folder)
    try:
        process.wait_for_port(port)
        login: dict[str, Any] = {"username": LOGIN, "password": PASSWORD} if with_login else {}
        with MongoClient[dict[str, Any]]("127.0.0.1", port, serverSelectionTimeoutMS=20_000, **login) as client:
            yield MongoServer(port, client)
    finally:
        process.kill()


class MongoServer:
    """A server, and a client that is logged in."""

    def __init__(self, port: int, client: MongoClient[dict[str, Any]]) -> None:
        self.port, self.client = port, client

    def content(self, database: str) -> dict[str, Any]:
        """All documents and indexes of each collection."""
        found: dict[str, Any] = {}
        for name in self.client[database].list_collection_names():
            collection = self.client[database][name]
            indexes = {index: sorted(map(str, one["key"])) for index, one in collection.index_information().items()}
            found[name] = sorted(collection.find(), key=lambda document: str(document["_id"])), indexes
        return found
