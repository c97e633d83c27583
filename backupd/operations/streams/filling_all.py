"""How a server is filled from a dump of all its databases: only one that has none of its own yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from backupd.errors import BackupError
from backupd.model.results import shown
from backupd.operations.streams.cluster_text import Known, without_known
from backupd.operations.streams.commands import connection
from backupd.operations.streams.database_programs import DatabasePrograms, in_use, names_of, telling_what_is_left
from backupd.operations.streams.psql import MAINTENANCE, Psql

_MOST_NAMED = 5
_DATABASES = (
    "select encode(convert_to(datname, 'UTF8'), 'hex') from pg_database"
    " where datname not in ('template0', 'template1', 'postgres') order by datname;\n"
)
_ROLES = "select encode(convert_to(rolname, 'UTF8'), 'hex') from pg_roles order by rolname;\n"
_OTHER_ROLES = (
    "select encode(convert_to(rolname, 'UTF8'), 'hex') from pg_roles"
    " where rolname !~ '^pg_' and rolname <> current_user order by rolname;\n"
)
_TABLESPACES = "select encode(convert_to(spcname, 'UTF8'), 'hex') from pg_tablespace;\n"
_MYSQL_DATABASES = "".join(
    f"{union}select hex({column}) from information_schema.{table}"
    f" where {column} not in ('mysql', 'information_schema', 'performance_schema', 'sys')"
    for union, table, column in (("", "tables", "table_schema"), (" union ", "routines", "routine_schema"))
)


class PostgresqlServer:
    """All databases and roles of a server of PostgreSQL."""

    def __init__(self, programs: DatabasePrograms) -> None:
        self._context, self._psql = programs.context, Psql(programs)

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where it has a database but its own, empty ones; StreamError."""
        if found := self._names(_DATABASES):
            raise in_use(f"the server has {listed('database', found)} already")
        for database in (MAINTENANCE, "template1"):
            self._psql.refuse_full(database)
        if roles := self._names(_OTHER_ROLES):
            self._context.warn(f"there already, and left as found, passwords too: {listed('role', roles)}")

    def make(self) -> None:
        """The dump makes its databases."""

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the dump. Raises StreamError."""
        # Before anything is there: so who was there is known from who came.
        known = Known(frozenset(self._names(_ROLES)), frozenset(self._names(_TABLESPACES)))
        with telling_what_is_left(self._context, "on the server", lambda: self._what_is_there(known)):
            self._psql.feed(without_known(pieces, known))

    def _what_is_there(self, known: Known) -> str:
        """All that it has now, it did not have before."""
        parts = []
        # A job that was cancelled can't ask any more.
        with suppress(BackupError):
            databases = self._names(_DATABASES)
            roles = [name for name in self._names(_ROLES) if name not in known.roles]
            parts = [listed(kind, found) for kind, found in (("database", databases), ("role", roles)) if found]
        found = ", ".join(parts) or "databases, roles, tables in postgres and template1"
        return f"part of it may be on the server ({found}): drop what is there before you try again"

    def _names(self, query: str) -> list[bytes]:
        return names_of(self._psql.ask(query))


class MysqlServer:
    """All databases and accounts of a server of MariaDB or MySQL."""

    def __init__(self, programs: DatabasePrograms) -> None:
        self._programs, self._context = programs, programs.context

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where a database but its own holds anything; StreamError."""
        words = ["--batch", "--skip-column-names", *self._words()]
        answer = self._programs.answer(["mariadb", "mysql"], words, f"{_MYSQL_DATABASES};\n")
        if found := names_of(answer):
            raise in_use(f"the server has {listed('database', found)} already, and not empty")
        self._context.warn("accounts of the server: those of the dump take their place, passwords too")

    def make(self) -> None:
        """The dump makes its databases."""

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the dump. Raises StreamError."""
        told = "part of it may be on the server, half of its accounts too: make it anew before you try again"
        with telling_what_is_left(self._context, "on the server", lambda: told):
            # Else its accounts are those from before until it is started anew.
            self._programs.feed(["mariadb", "mysql"], self._words(), chain(pieces, [b"\nflush privileges;\n"]))

    def _words(self) -> list[str]:
        return connection(self._programs.order.text)


def listed(kind: str, names: list[bytes]) -> str:
    """The first of these databases or roles, by their names."""
    named = ", ".join(shown(name) for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"the {kind}{'s' if len(names) > 1 else ''} {named}{more}"
