"""The commands of streams: which program, with which words, and what it is given beside them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

import msgspec

from backupd.command_errors import CommandRefusedError
from backupd.model.streams import ALL_DATABASES, StreamOrder, StreamText
from backupd.operations.programs.accounts import SEARCH_PATH, base_environment
from backupd.operations.programs.vouching import vouch
from backupd.operations.streams.secret_files import (
    SecretFile,
    mongodb_configuration,
    mysql_options,
    postgresql_passwords,
)
from backupd.settings.accounts import Identity, account_of
from backupd.store_errors import StreamError

_PACKAGES = {
    "pg_dump": "postgresql-client (Debian), postgresql (Fedora)",
    "pg_dumpall": "postgresql-client (Debian), postgresql (Fedora)",
    "pg_restore": "postgresql-client (Debian), postgresql (Fedora)",
    "psql": "postgresql-client (Debian), postgresql (Fedora)",
    "mariadb-dump": "mariadb-client (Debian), mariadb (Fedora), or MySQL's own client",
    "mariadb": "mariadb-client (Debian), mariadb (Fedora), or MySQL's own client",
    "mongodump": "mongodb-database-tools, of MongoDB's own repository",
    "mongorestore": "mongodb-database-tools, of MongoDB's own repository",
}


class Command(msgspec.Struct):
    """A command that can be started."""

    words: list[str]
    environment: dict[str, str]
    identity: Identity | None
    """As whom it runs; None: as we do."""
    secrets: list[SecretFile]

    @property
    def program(self) -> str:
        """Its name, for messages."""
        return os.path.basename(self.words[0])

    def close(self) -> None:
        """Give up its secrets."""
        for secret in self.secrets:
            secret.close()


class Making:
    """What the commands of one stream share: user, environment, secret. `close` unless the command took it over."""

    def __init__(self, order: StreamOrder, temporary: str, search_path: str) -> None:
        """temporary: a directory for what the command puts aside. search_path: of programs. Raises StreamError."""
        self.order, text = order, order.text
        try:
            account, self.identity = account_of(text.user)
        except CommandRefusedError as error:
            raise StreamError(error.message, hint=error.hint) from error
        self.environment = {
            **base_environment(account),
            "PATH": search_path or SEARCH_PATH,
            "LANG": "C.UTF-8",
            "TMPDIR": temporary if self.identity is None else "/tmp",  # noqa: S108
            **text.environment,
            "BACKUPD_STREAM": text.name,
        }

    def command(self, programs: Sequence[str], words: Sequence[str]) -> Command:
        """The command of the first of the programs that is installed. Raises StreamError.

        Also where that could have been changed by others; whoever could change our own interpreter, has changed us.
        """
        found = next((path for one in programs if (path := self._which(one)) is not None), None)
        if found is None:
            package = _PACKAGES.get(programs[0])
            raise StreamError(
                f"{programs[0]} is not installed",
                hint=f"install {package}" if package else "is it in the PATH of the stream's environment?",
            )
        if found != sys.executable:
            try:
                vouch(found, {0, os.geteuid()})
            except CommandRefusedError as error:
                raise StreamError(error.message, hint=error.hint) from error
        return Command([found, *words], self.environment, self.identity, [])

    def with_secret(self, command: Command, content: bytes) -> SecretFile:
        """A file that the command alone can open. Raises StreamError."""
        try:
            made = SecretFile(content, self.identity.uid if self.identity is not None else None)
        except OSError as error:
            raise StreamError(f"its password can't be handed over: {error.strerror}") from error
        command.secrets.append(made)
        return made

    def _which(self, program: str) -> str | None:
        if os.path.isabs(program):
            return program
        return shutil.which(program, path=f"{self.environment['PATH']}:{SEARCH_PATH}")


def dump_command(order: StreamOrder, temporary: str, search_path: str) -> Command:
    """The command whose output is stored; the others as of `Making`. Raises StreamError."""
    making, text = Making(order, temporary, search_path), order.text
    match text.kind:
        case "run":
            words = text.run or []
            made = making.command(words[:1], words[1:])
            if order.secret is not None:
                made.environment["BACKUPD_PASSWORD_FILE"] = making.with_secret(made, order.secret).path
        case "postgresql":
            made = _postgresql(making)
        case "mysql":
            made = _mysql(making)
        case "mongodb":
            made = _mongodb(making)
        case kind:
            value = {"sqlite": text.sqlite, "device": text.device}.get(str(kind))
            words = ["-P", "-m", "backupd.dump", str(kind)]
            made = making.command([sys.executable], [*words, value] if value else words)
            made.environment["PATH"] = f"{making.environment['PATH']}:{SEARCH_PATH}"
    return made


def connection(text: StreamText, login_option: str = "--user") -> list[str]:
    """The words that say which server, as MariaDB's, MongoDB's and PostgreSQL's programs share them."""
    words = [f"--port={text.port}"] if text.port is not None else []
    if text.host is not None:
        is_socket = text.kind == "mysql" and text.host.startswith("/")
        words.append(f"--socket={text.host}" if is_socket else f"--host={text.host}")
    if text.login is not None:
        words.append(f"{login_option}={text.login}")
    return words


def give_password(making: Making, command: Command) -> Command:
    """The command with the stream's password, where it has one, in the way that its program takes."""
    secret = making.order.secret
    if secret is None:
        return command
    match making.order.text.kind:
        case "postgresql":
            command.environment["PGPASSFILE"] = making.with_secret(command, postgresql_passwords(secret)).path
        case "mysql":
            # Before all other words.
            command.words.insert(1, f"--defaults-extra-file={making.with_secret(command, mysql_options(secret)).path}")
        case "mongodb":
            command.words.insert(1, f"--config={making.with_secret(command, mongodb_configuration(secret)).path}")
        case _:
            pass
    return command


def _postgresql(making: Making) -> Command:
    text = making.order.text
    words = ["--no-password", *connection(text, "--username"), *text.options]
    if text.postgresql == ALL_DATABASES:
        return give_password(making, making.command(["pg_dumpall"], words))
    # Uncompressed: only so are two dumps alike where the data is.
    words = ["--format=custom", "--compress=0", *words, f"--dbname={text.postgresql}"]
    return give_password(making, making.command(["pg_dump"], words))


def _mysql(making: Making) -> Command:
    text = making.order.text
    words = ["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]
    words += ["--skip-dump-date", *connection(text), *text.options]
    words += ["--all-databases"] if text.mysql == ALL_DATABASES else ["--", str(text.mysql)]
    return give_password(making, making.command(["mariadb-dump", "mysqldump"], words))


def _mongodb(making: Making) -> Command:
    text = making.order.text
    words = ["--archive", *connection(text, "--username"), *text.options]
    words += [] if text.mongodb == ALL_DATABASES else [f"--db={text.mongodb}"]
    return give_password(making, making.command(["mongodump"], words))
