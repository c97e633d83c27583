"""Dumps of all databases of a server: all dropped, filled back, compared with their roles and accounts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from backupd.errors import UsageError
from backupd.model.events import FromJob
from backupd.model.streams import StreamOrder, StreamText
from backupd.store_errors import DatabaseInUseError, StreamError
from tests.support.commanded import until
from tests.support.daemon import Daemon, running_daemon
from tests.support.filling import filling_below
from tests.support.servers import mariadb, postgres
from tests.support.servers.database_server import running
from tests.support.servers.mariadb import MariaDB
from tests.support.servers.postgres import Postgres

_ROWS = "select md5(string_agg(x || name, ',' order by x)) from item"
_ROLES = (
    "select string_agg(rolname || rolsuper || rolcanlogin || coalesce(shobj_description(oid, 'pg_authid'), ''), ','"
    " order by rolname) from pg_roles where rolname !~ '^pg_'"
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d") / "home") as started:
        yield started


def _apply(daemon: Daemon, name: str, secret: str, **stream: object) -> None:
    above = daemon.home.parent
    (above / f"{name}.password").write_text(secret)
    (above / f"{name}.password").chmod(0o600)
    whole = {"name": "data", "password": {"file": str(above / f"{name}.password")}, **stream}
    text: dict[str, Any] = {
        "destinations": [{"name": f"{name}-place", "place": str(above / name)}],
        "sets": [{"name": name, "to": [f"{name}-place"], "streams": [whole]}],
    }
    daemon.good("set", "apply", "-f", "-", stdin=msgspec.json.encode(text))


@pytest.fixture(scope="module")
def postgresql() -> Generator[Postgres, None, None]:
    with running(Postgres) as server:
        yield server


def _drop_all(server: Postgres, *roles: str) -> None:
    for database in ("shop", '"a;b ""c"""', "half", "never"):
        server.sql(f"drop database if exists {database}")
    for role in roles:
        server.sql(f"drop role if exists {role}")


def test_all_of_postgresql_comes_back_with_its_roles(daemon: Daemon, postgresql: Postgres) -> None:
    sql = postgresql.sql
    sql("create role reader login password 'old'; create role boss superuser; grant reader to boss")
    sql("create role \"o;dd \"\"one\"; comment on role boss is E'it''s\\\\\n\\\\connect shop\nCREATE ROLE owner;'")
    for database, owner in (("shop", "reader"), ('"a;b ""c"""', "boss")):
        sql(f"create database {database} owner {owner}")
    sql("create table item(x int, name text); alter table item owner to reader", "shop")
    sql("insert into item select n, 'é' || n from generate_series(1, 500) n", "shop")
    before, roles = sql(_ROWS, "shop"), sql(_ROLES)
    user = postgres.USER
    _apply(daemon, "pg", postgres.PASSWORD, postgresql="all", host=str(postgresql.folder), login="owner", user=user)
    daemon.good("backup", "pg")
    full = daemon.json("restore", "pg", "--into-database", "all", "--dry-run")
    assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
    assert 'a;b "c", shop' in full["error"]["message"]
    _drop_all(postgresql, "boss", '"o;dd ""one"')
    sql("alter role reader password 'new' connection limit 7")
    hashed = sql("select rolpassword from pg_authid where rolname = 'reader'")
    daemon.good("restore", "pg", "--into-database", "all", "--dry-run")
    assert sql("select count(*) from pg_database") == "3", "a dry run makes nothing"

    document = daemon.json("restore", "pg", "--into-database", "all")
    assert document["exit"] == 0, document
    assert document["result"]["database"] == {"kind": "postgresql", "name": "all", "stream": "data"}
    assert document["warnings"] == ["there already, and left as found, passwords too: the role reader"]
    assert sql(_ROWS, "shop") == before
    assert sql(_ROLES) == roles
    owners = "select datname, pg_get_userbyid(datdba) from pg_database where datname ~ '^(shop|a)' order by 1"
    assert sql(owners) == 'a;b "c"|boss\nshop|reader'
    assert sql("select tableowner from pg_tables where tablename = 'item'", "shop") == "reader"
    kept = sql("select rolpassword, rolconnlimit from pg_authid where rolname = 'reader'")
    assert kept == f"{hashed}|7", "a role that is there stays as it is"
    assert sql("select pg_has_role('boss', 'reader', 'member')") == "t"
    _drop_all(postgresql, "boss", '"o;dd ""one"', "reader")


def test_a_server_that_was_filled_half_way_is_told_of_by_name(postgresql: Postgres, tmp_path: Path) -> None:
    order = StreamOrder(
        text=StreamText(
            name="data", postgresql="all", host=str(postgresql.folder), login="owner", user=postgres.USER
        ),
        secret=postgres.PASSWORD.encode(),
    )
    told: list[FromJob] = []
    filling, context = filling_below(tmp_path, order, "all", told.append)
    for name, owner in (("x", "name"), ("all", "me")):
        with pytest.raises(UsageError):
            filling_below(tmp_path, order, name, owner=owner)
    postgresql.sql("create table left_over(x int)")
    with pytest.raises(DatabaseInUseError, match="the database postgres holds 1 "):
        filling.refuse_full()
    postgresql.sql("drop table left_over")
    filling.refuse_full()
    made = b"create role somebody;\n\\connect postgres\ncreate database half;\n"
    wrong = b"alter role somebody newer password 'hash';\ncreate database never;\n"
    with pytest.raises(StreamError) as failed:
        filling.fill(iter([made, wrong]))
    assert "exit code 3" in failed.value.message
    assert 'unrecognized role option "newer"' in failed.value.message
    told_of = "part of it may be on the server (the database half, the role somebody): drop what is there"
    assert told_of in failed.value.hint
    assert context.warnings == [failed.value.hint]
    assert "hash" not in str(told)
    with pytest.raises(DatabaseInUseError):
        filling.refuse_full()
    _drop_all(postgresql, "somebody")


def _locked_run(daemon: Daemon, name: str, waits: Callable[[], str], end: Callable[[str], object]) -> str:
    """Why a run fails whose dump waits for a locked table until it is ended there; nothing of it is stored."""
    job = daemon.good("backup", name, "--detach")["jobs"][0]["id"]
    until(lambda: bool(waits()))
    end(waits())
    document = daemon.json("job", "wait", job)
    assert (document["exit"], document["error"]["code"]) == (1, "source.stream_failed"), document
    listed = daemon.json("snapshot", "list", name)["result"]
    assert listed is None or listed["snapshots"] == []
    return str(document["error"]["message"])


@contextmanager
def _held(lock: Callable[[], object], is_held: Callable[[], object], let_go: Callable[[], object]) -> Iterator[None]:
    """Somebody else holds a lock while the block runs."""

    def hold() -> None:
        with suppress(AssertionError):
            lock()

    holding = Thread(target=hold)
    holding.start()
    try:
        until(lambda: bool(is_held()))
        yield
    finally:
        let_go()
        holding.join()


@pytest.mark.nightly
def test_a_dump_that_breaks_off_half_way_is_none(daemon: Daemon, postgresql: Postgres) -> None:
    """Of pg_dumpall all that came before is written then."""
    sql, user = postgresql.sql, postgres.USER
    sql("create database shop")
    sql("create table item(x int)", "shop")
    _apply(daemon, "pgoff", postgres.PASSWORD, postgresql="all", host=str(postgresql.folder), login="owner", user=user)
    waiting = "select pid from pg_stat_activity where application_name = 'pg_dump' and wait_event_type = 'Lock'"
    held = "from pg_stat_activity where application_name = 'psql' and wait_event = 'PgSleep'"
    with _held(
        lambda: sql("begin; lock table item; select pg_sleep(60)", "shop"),
        lambda: sql(f"select pid {held}"),
        lambda: sql(f"select pg_terminate_backend(pid) {held}"),
    ):
        said = _locked_run(
            daemon, "pgoff", lambda: sql(waiting), lambda pid: sql(f"select pg_terminate_backend({pid})")
        )
        assert "pg_dumpall ended with exit code 1" in said
    _drop_all(postgresql)


@pytest.fixture(scope="module")
def maria() -> Generator[MariaDB, None, None]:
    with running(MariaDB) as server:
        yield server


def test_all_of_mariadb_comes_back_with_its_accounts(daemon: Daemon, maria: MariaDB, tmp_path: Path) -> None:
    sql = maria.sql
    sql("create database b; create database shop; create table shop.item(x int, name varchar(9)) character set utf8mb4")
    sql("insert into shop.item select seq, concat('é', seq) from seq_1_to_500")
    sql("create procedure b.twice(n int) select 2 * n")
    sql("create view b.v as select * from shop.item; create user anna@localhost identified by 'a'")
    rows = "select count(*), sum(crc32(concat(x, hex(name)))) from b.v"
    accounts = "select group_concat(concat(user, host, authentication_string) order by user, host) from mysql.user"
    before, known = sql(rows), sql(accounts)
    _apply(daemon, "my", mariadb.PASSWORD, mysql="all", host=str(maria.socket), login="dumper")
    daemon.good("backup", "my")
    full = daemon.json("restore", "my", "--into-database", "all")
    assert (full["exit"], full["error"]["code"]) == (17, "target.database_in_use"), full
    assert "the databases b, shop already" in full["error"]["message"]
    sql("drop database shop; drop database b; create database empty")
    sql("drop user anna@localhost; create user bob@localhost")
    document = daemon.json("restore", "my", "--into-database", "all")
    assert document["exit"] == 0, document
    assert document["warnings"] == ["accounts of the server: those of the dump take their place, passwords too"]
    assert (sql(rows), sql(accounts)) == (before, known)
    assert sql("call b.twice(21)") == "42"
    assert "USAGE" in sql("show grants for anna@localhost"), "the server knows her without being started anew"

    text = StreamText(name="data", mysql="all", host=str(maria.socket), login="dumper")
    order = StreamOrder(text=text, secret=mariadb.PASSWORD.encode())
    filling, _ = filling_below(tmp_path, order, "all")
    with pytest.raises(StreamError, match="Unknown database") as failed:
        filling.fill(iter([b"create database half;\nuse nowhere;\ncreate database never;\n"]))
    assert "make it anew" in failed.value.hint
    assert sql("show databases like 'half'; show databases like 'never'") == "half"
    one = msgspec.structs.replace(order, text=msgspec.structs.replace(text, mysql="shop"))
    filling, context = filling_below(tmp_path, one, "fresh")
    filling.make()
    for first in (b"USE `shop`;", b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop`;\nUSE `shop`;"):
        with pytest.raises(StreamError, match="made with --databases") as failed:
            filling.fill(iter([b"-- Current Database: `sh", b"op`\n\n" + first, b"\nDROP TABLE item;\n"]))
        assert ("/.streams/data --strip" in failed.value.hint, context.warnings) == (True, [])
    assert sql(rows) == before, "what is where the dump came from stays"


@pytest.mark.nightly
def test_a_dump_of_mariadb_that_breaks_off_half_way_is_none(daemon: Daemon, maria: MariaDB) -> None:
    sql = maria.sql
    sql("create or replace database b; create or replace database shop; create table shop.item(x int)")
    holder = "select id from information_schema.processlist where info like 'select sleep(6%'"
    dump = "select id from information_schema.processlist where state like 'Waiting for table metadata%'"
    _apply(daemon, "myoff", mariadb.PASSWORD, mysql="all", host=str(maria.socket), login="dumper")
    with _held(
        lambda: sql("lock tables item write; select sleep(60)", "shop"),
        lambda: sql(holder),
        lambda: sql(f"kill {sql(holder)}"),
    ):
        said = _locked_run(daemon, "myoff", lambda: sql(dump), lambda one: sql(f"kill {one}"))
    assert "Lost connection to server" in said
