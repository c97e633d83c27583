"""Databases by the presets of streams: dumped under writes, dropped, restored, compared; their passwords never seen."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import DamageError
from backupd.model.events import FromJob, Log
from backupd.model.streams import StreamOrder, StreamText
from tests.support.daemon import Daemon, running_daemon
from tests.support.filling import filling_below
from tests.support.servers import mariadb, postgres
from tests.support.servers.database_server import running
from tests.support.servers.mariadb import MariaDB
from tests.support.servers.postgres import Postgres
from tests.support.while_it_runs import is_seen, no_secret, seen_processes, writing

_ROWS = 2000
_AT_ONCE = 50
"""Transactions by one client: to start it takes longer than they do."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d") / "home") as started:
        yield started


def _apply(daemon: Daemon, name: str, stream: str, *, secret: str = "") -> None:
    """A set of one stream."""
    above = daemon.home.parent
    if secret:
        (above / f"{name}.password").write_text(secret)
        (above / f"{name}.password").chmod(0o600)
        stream += f", password: {{file: {above / name}.password}}"
    text = f"destinations: [{{name: {name}-place, place: {above / name}}}]\n"
    text += f"sets: [{{name: {name}, to: [{name}-place], streams: [{{name: data, {stream}}}]}}]\n"
    daemon.good("set", "apply", "-f", "-", stdin=text.encode())


@pytest.fixture(scope="module")
def postgresql() -> Generator[Postgres, None, None]:
    with running(Postgres) as server:
        server.sql("create database shop")
        server.sql(
            f"create table item(id serial primary key, name text); create view names as select name from item;"
            f"insert into item(name) select 'é' || n from generate_series(1, {_ROWS}) n;"
            "create table pair(a int, b int); insert into pair values (0, 0);",
            "shop",
        )
        yield server


def test_postgresql_comes_back_as_it_was_at_one_moment(daemon: Daemon, postgresql: Postgres) -> None:
    _apply(
        daemon,
        "pg",
        f"postgresql: shop, host: {postgresql.folder}, login: owner, user: {postgres.USER}",
        secret=postgres.PASSWORD,
    )
    update = "begin; update pair set a = {0}; select pg_sleep(0.001); update pair set b = {0}; commit;" * _AT_ONCE
    rows = "select md5(string_agg(id || name, ',' order by id)) from item"
    before = postgresql.sql(rows, "shop")
    with seen_processes() as seen, writing(lambda n: postgresql.sql(update.format(n), "shop")):
        # On a busy machine a small dump is over before anybody has looked.
        for _ in range(5):
            run = daemon.good("backup", "pg")["runs"][0]
            if is_seen(seen, b"pg_dump"):
                break
    assert run["problems"]["count"] == 0
    daemon.good("restore", "pg", "--into-database", "again", "--dry-run")
    assert postgresql.sql("select count(*) from pg_database where datname = 'again'") == "0", "a dry run makes nothing"
    for words in (("again", "--owner", "number"), ("all",)):
        refused = daemon.json("restore", "pg", "--into-database", *words)
        assert refused["exit"] == 2, refused
    full = daemon.json("restore", "pg", "--into-database", "shop")
    assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
    postgresql.sql("drop database shop")
    with seen_processes() as seen_back:
        filled = daemon.good("restore", "pg", "/.streams/data", "--into-database", "shop")
    assert filled["database"] == {"kind": "postgresql", "name": "shop", "stream": "data"}
    assert postgresql.sql(rows, "shop") == before
    assert postgresql.sql("select count(*) from names", "shop") == str(_ROWS)
    assert postgresql.sql("select a = b from pair", "shop") == "t", "half of a transaction was dumped"
    no_secret(seen, postgres.PASSWORD, b"pg_dump")
    no_secret(seen_back, postgres.PASSWORD, b"pg_restore")


def test_a_wrong_password_is_a_failed_run_without_a_snapshot(daemon: Daemon, postgresql: Postgres) -> None:
    stream = f"postgresql: shop, host: {postgresql.folder}, login: owner, user: {postgres.USER}"
    _apply(daemon, "pgbad", stream, secret="no")
    document = daemon.json("backup", "pgbad")
    assert (document["exit"], document["error"]["code"]) == (1, "source.stream_failed"), document
    assert "password authentication failed" in document["error"]["message"]
    listed = daemon.json("snapshot", "list", "pgbad")["result"]
    assert listed is None or listed["snapshots"] == []


@pytest.fixture(scope="module")
def maria() -> Generator[MariaDB, None, None]:
    with running(MariaDB) as server:
        server.sql("create database shop character set utf8mb4")
        server.sql(
            "create table item(id int auto_increment primary key, name varchar(50), raw blob);"
            f"insert into item(name, raw) select concat('é', seq), char(seq % 256) from seq_1_to_{_ROWS};"
            "create table pair(a int, b int); insert into pair values (0, 0);"
            "create procedure twice(n int) select 2 * n;"
            "create trigger t before insert on pair for each row set @x = 1;",
            "shop",
        )
        yield server


def test_mariadb_comes_back_as_it_was_at_one_moment(daemon: Daemon, maria: MariaDB) -> None:
    _apply(daemon, "my", f"mysql: shop, host: {maria.socket}, login: dumper", secret=mariadb.PASSWORD)
    rows = "select md5(group_concat(id, name, hex(raw) order by id)) from item"
    sized = f"set group_concat_max_len = 10000000; {rows}"
    before = maria.sql(sized, "shop")
    update = "begin; update pair set a = {0}; update pair set b = {0}; commit;" * _AT_ONCE
    with seen_processes() as seen, writing(lambda n: maria.sql(update.format(n), "shop")):
        for _ in range(5):
            daemon.good("backup", "my")
            if is_seen(seen, b"mariadb-dump"):
                break
    full = daemon.json("restore", "my", "--into-database", "shop")
    assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
    maria.sql("drop database shop")
    with seen_processes() as seen_back:
        daemon.good("restore", "my", "--into-database", "other")
    assert maria.sql(sized, "other") == before
    assert maria.sql("select a = b from pair", "other") == "1", "half of a transaction was dumped"
    assert maria.sql("call twice(21)", "other") == "42"
    no_secret(seen, mariadb.PASSWORD, b"mariadb-dump")
    no_secret(seen_back, mariadb.PASSWORD, b"mariadb")


def test_a_restore_into_mariadb_that_breaks_off_says_so_and_runs_no_half_statement(
    maria: MariaDB, tmp_path: Path
) -> None:
    """What stands there is a part, and the client would take the end of its input for the end of the dump."""
    maria.sql("create database half")
    text = StreamText(name="data", mysql="shop", host=str(maria.socket), login="dumper")
    order = StreamOrder(text=text, secret=mariadb.PASSWORD.encode())
    told: list[FromJob] = []
    filling, context = filling_below(tmp_path, order, "half", told.append)

    def pieces() -> Generator[bytes, None, None]:
        yield b"create table t(a int);\ninsert into t values (1);\ninsert into t values (2)"
        end = time.monotonic() + 20
        while maria.sql("select count(*) from information_schema.tables where table_schema = 'half'") == "0":
            assert time.monotonic() < end
        lines = [one.message for one in told if isinstance(one, Log)]
        assert lines[-1] == "until all is in half, it holds a part of the dump", "also who is killed has said so"
        raise DamageError("a block is damaged")

    with pytest.raises(DamageError):
        filling.fill(pieces())
    assert context.warnings == ["part of it may be in half: drop that database before you try again"]
    time.sleep(0.3)
    assert maria.sql("select count(*) from t where a = 2", "half") == "0"


def test_sqlite_in_wal_mode_comes_back_as_it_was_at_one_moment(daemon: Daemon) -> None:
    path = daemon.home.parent / "live.db"
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table pair(a int, b int)")
        database.execute("insert into pair values (0, 0)")
        database.execute("create table item(id integer primary key, name text)")
        database.executemany("insert into item(name) values (?)", [(f"é{n}",) for n in range(_ROWS)])

    def write(number: int) -> None:
        with sqlite3.connect(path, timeout=30) as writer:
            writer.execute("pragma synchronous = off")
            writer.execute("update pair set a = ?", (number,))
            writer.execute("update pair set b = ?", (number,))
        writer.close()

    daemon.good("set", "create", "lite", "--stream", f"data=sqlite:{path}", "--to", daemon.home.parent / "lite")
    with writing(write):
        daemon.good("backup", "lite")
    back = daemon.home.parent / "back.db"
    daemon.good("restore", "lite", "--into-database", back)
    with sqlite3.connect(back) as found:
        assert found.execute("select count(*) from item").fetchone() == (_ROWS,)
        assert found.execute("select a = b, a > 0 from pair").fetchone() == (1, 1)
    full = daemon.json("restore", "lite", "--into-database", back)
    assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
