"""psql: what PostgreSQL's servers are asked with."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.operations.streams.commands import connection
from backupd.operations.streams.database_programs import DatabasePrograms, in_use

MAINTENANCE = "postgres"
"""The database that is there on every server."""
_OBJECTS = (
    "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)';\n"
)
# Terse: of a statement that fails it would show the line, which may hold the hash of a password.
_WORDS = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]


class Psql:
    """psql with a stream's connection."""

    def __init__(self, programs: DatabasePrograms) -> None:
        self._programs = programs

    def connected(self, database: str) -> list[str]:
        """The words that say which server and database."""
        return ["--no-password", *connection(self._programs.order.text, "--username"), f"--dbname={database}"]

    def ask(self, text: str, database: str = MAINTENANCE, **variables: str) -> str:
        """Its answer, a row a line. variables: for `:'NAME'` in the text. Raises StreamError."""
        words = [*_WORDS, "--tuples-only", "--no-align"]
        words += [f"--set={name}={value}" for name, value in variables.items()]
        return self._programs.answer(["psql"], [*words, *self.connected(database)], text)

    def feed(self, pieces: Iterator[bytes]) -> None:
        """Have it run statements, to the first that fails. Raises StreamError."""
        self._programs.feed(["psql"], [*_WORDS, *self.connected(MAINTENANCE)], pieces)

    def refuse_full(self, database: str) -> None:
        """Raise DatabaseInUseError where a database that is there holds anything; StreamError."""
        if (found := self.ask(_OBJECTS, database)) != "0":
            raise in_use(f"the database {database} holds {found} tables, indexes and the like")
