"""What MongoDB's tools are called with to fill a database; that they take it, tests/e2e/test_mongodb.py shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from backupd.errors import UsageError
from backupd.model.streams import StreamOrder, StreamText
from backupd.operations.streams.filling import Filling
from backupd.store_errors import DatabaseInUseError, StreamError
from tests.support.filling import filling_below
from tests.support.mongodb_archives import archive

_DUMP = """#!/bin/sh
echo "$@" > {folder}/asked
cat {folder}/there
# All that it has: who only wants to know what there is, does not wait for that.
exec sleep 60
"""
_RESTORE = """#!/bin/sh
echo "$@" > {folder}/called
cat > {folder}/fed
"""


def _filling(folder: Path, there: bytes, name: str, **text: object) -> tuple[Filling, list[str]]:
    """One whose server has that, as its tool says it; and the warnings that come."""
    folder.mkdir(exist_ok=True)
    (folder / "there").write_bytes(there)
    for program, script in (("mongodump", _DUMP), ("mongorestore", _RESTORE)):
        (folder / program).write_text(script.format(folder=shlex.quote(str(folder))))
        (folder / program).chmod(0o755)
    given = {"name": "data", "mongodb": "shop", "environment": {"PATH": f"{folder}:/usr/bin:/bin"}, **text}
    filling, context = filling_below(folder, StreamOrder(text=StreamText(**given), secret=None), name)  # type: ignore[arg-type]
    return filling, context.warnings


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def test_one_database_goes_into_that_and_nothing_else(tmp_path: Path) -> None:
    data = archive(("shop", "item"), documents=9)
    filling, warnings = _filling(tmp_path, archive(), "again", host="db", port=27018, login="me")
    filling.refuse_full()
    connected = ["--port=27018", "--host=db", "--username=me", "--authenticationDatabase=shop"]
    assert _words(tmp_path / "asked") == ["--archive", *connected, "--db=again"]
    filling.make()
    filling.fill(iter([data[:99], data[99:]]))
    renamed = ["--nsInclude=shop.*", "--nsFrom=shop.*", "--nsTo=again.*"]
    assert _words(tmp_path / "called") == ["--archive", "--stopOnError", *connected, *renamed]
    assert (tmp_path / "fed").read_bytes() == data
    assert warnings == []
    filling, _ = _filling(tmp_path, archive(), "again", mongodb="a*b")
    filling.fill(iter([archive(("a*b", "item"))]))
    assert _words(tmp_path / "called")[-3:] == [r"--nsInclude=a\*b.*", r"--nsFrom=a\*b.*", "--nsTo=again.*"]


def test_of_the_options_of_a_dump_it_gets_those_that_connect(tmp_path: Path) -> None:
    options = ["--gzip", "--authenticationDatabase", "admin", "--ssl", "--collection=a", "--tlsInsecure", "-j", "2"]
    options += ["--sslCAFile=/ca.pem", "--readPreference=nearest", "-u", "me", "--socketTimeout", "5"]
    filling, _ = _filling(tmp_path, archive(), "again", options=options)
    filling.fill(iter([archive(("shop", "item"), is_gzip=True)]))
    kept = ["--authenticationDatabase", "admin", "--ssl", "--tlsInsecure", "--sslCAFile=/ca.pem", "-u", "me"]
    called = _words(tmp_path / "called")
    assert called[2 : 2 + len(kept) + 2] == [*kept, "--socketTimeout", "5"]
    assert called[-1] == "--gzip", "that is how this archive is, whatever the options say now"


def test_what_holds_something_is_not_filled(tmp_path: Path) -> None:
    filling, _ = _filling(tmp_path, archive(("again", "a"), ("again", "b")), "again")
    with pytest.raises(DatabaseInUseError, match="the database again holds 2 collections"):
        filling.refuse_full()
    whole, _ = _filling(tmp_path, archive(("admin", "system.users"), ("b", "x"), ("a", "y")), "all", mongodb="all")
    with pytest.raises(DatabaseInUseError, match="the server has the databases a, b already"):
        whole.refuse_full()
    whole, _ = _filling(tmp_path, archive(("admin", "mine")), "all", mongodb="all")
    with pytest.raises(DatabaseInUseError, match="the server has the database admin already"):
        whole.refuse_full()


def test_all_goes_onto_a_server_that_has_only_its_own(tmp_path: Path) -> None:
    own = archive(("admin", "system.version"), ("admin", "system.users"), ("config", "settings"))
    filling, warnings = _filling(tmp_path, own, "all", mongodb="all", login="root")
    filling.refuse_full()
    assert _words(tmp_path / "asked") == ["--archive", "--username=root"]
    assert warnings == ["users and roles of the dump are added to those that the server has"]
    filling.fill(iter([archive(("shop", "a"), ("blog", "b"))]))
    assert _words(tmp_path / "called") == ["--archive", "--stopOnError", "--username=root"]
    filling.fill(iter([archive(("shop", "a"), ("", "oplog"))]))
    assert _words(tmp_path / "called")[-1] == "--oplogReplay", "else it is as of no moment"


def test_a_tool_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    filling, warnings = _filling(tmp_path, b"", "again")
    (tmp_path / "mongodump").write_text("#!/bin/sh\necho 'no such login' >&2\nexit 1\n")
    with pytest.raises(StreamError, match="mongodump ended with exit code 1: no such login"):
        filling.refuse_full()
    (tmp_path / "mongorestore").write_text("#!/bin/sh\ncat > /dev/null\necho 'bad index' >&2\nexit 1\n")
    with pytest.raises(StreamError, match="bad index") as caught:
        filling.fill(iter([archive(("shop", "item"))]))
    left = "part of it may be in again: drop that database before you try again"
    assert (caught.value.hint, warnings) == (left, [left])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["mongodb+srv://me@cluster/", "--gzip"], ["mongodb+srv://me@cluster/"]),
        (["--uri", "mongodb://me@a,b/?tls=true"], ["--uri", "mongodb://me@a,b/?tls=true"]),
        (["-u", "me"], ["-u", "me", "--authenticationDatabase=shop"]),
        (["-ume", "--authenticationMechanism=SCRAM-SHA-256"], None),
        (["-ume", "--authenticationMechanism", "PLAIN"], ["-ume", "--authenticationMechanism", "PLAIN"]),
    ],
)
def test_it_goes_to_the_server_that_was_dumped(tmp_path: Path, options: list[str], said: list[str] | None) -> None:
    """Else to the one of this machine, which may be another's."""
    filling, _ = _filling(tmp_path, archive(), "again", options=options)
    filling.refuse_full()
    expected = said if said is not None else [*options, "--authenticationDatabase=shop"]
    assert _words(tmp_path / "asked") == ["--archive", *expected, "--db=again"]
    filling.fill(iter([archive(("shop", "item"))]))
    assert _words(tmp_path / "called")[: 2 + len(expected)] == ["--archive", "--stopOnError", *expected]


def test_what_does_not_come_back_is_told(tmp_path: Path) -> None:
    filling, warnings = _filling(tmp_path, archive(), "again")
    filling.fill(iter([archive(("shop", "item"), ("shop", "$admin.system.users"))]))
    (warning,) = warnings
    assert warning.startswith("users and roles of shop are left out")
    with pytest.raises(StreamError, match="the archive holds no collection") as caught:
        filling.fill(iter([archive()]))
    assert "right database" in (caught.value.hint or ""), "of a database that is not there it is all that there is"


def test_a_tool_that_says_something_else_is_not_waited_for(tmp_path: Path) -> None:
    filling, _ = _filling(tmp_path, b"a warning of a wrapper\n" * 10_000, "again")
    with pytest.raises(StreamError, match="does not begin as one"):
        filling.refuse_full()


@pytest.mark.parametrize("into", ["admin", "local", "config", "a.b", "a*b", "$a", "x" * 64, "é" * 32])
def test_names_that_are_none_are_refused(tmp_path: Path, into: str) -> None:
    with pytest.raises(UsageError):
        _filling(tmp_path, archive(), into)
