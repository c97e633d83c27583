"""What the streams of a set must be like."""

from __future__ import annotations

import os
import re

from backupd.errors import ConfigError, UsageError
from backupd.model.streams import ALL_DATABASES, DATABASE_SERVERS, KINDS, StreamText
from backupd.rules import names
from backupd.rules.command_rules import fault_of_variable
from backupd.rules.secret_rules import check_secret
from backupd.sizes import parse_duration

MOST_STREAMS = 100
_MOST_WORDS = 200
_DATABASE = re.compile(r"[^-\s=/\\:\0'\"][^\s=/\\:\0'\"]{0,127}")
"""Programs take other names for options or whole addresses."""
_PASSWORD_OPTION = re.compile(r"--((loose[-_])?pa(s|=|$)|ssl[\w-]*pass|aws(secret|session))", re.IGNORECASE)
"""As programs of databases take them, shortened too."""
_SHORT_PASSWORDS = {
    # After letters that take nothing: -vpSECRET.
    "mysql": re.compile("-[AaBCcdEeFfIiKlNnQqRtVvXxYy]*p"),
    "mongodb": re.compile("-v*p"),
    # There it is the port, and W asks.
    "postgresql": re.compile("-(p.|[aBbCcgOrsvwx]*W)"),
}
_ANY_SHORT_PASSWORD = re.compile("-p.")
_SECRET_WITHIN = re.compile(r"pass(word|phrase)\s*=|://[^@/?\s]*:.*@", re.IGNORECASE)
"""In the address of a server, or in what a connection is described with."""
_ADDRESS_OF_ONE = re.compile(r"mongodb(\+srv)?://[^/\s]*/[^?\s]")
"""Of one database, whatever else is asked for: programs of MongoDB then see no other, and say that all is well."""
_PASSWORD_HINT = "password: {file: PATH}; the login is `login:`, the server `host:` and `port:`"
_LONGEST_SECONDS = 30 * 86400


def check_streams(set_name: str, streams: list[StreamText]) -> None:
    """Raises ConfigError with the way to what is wrong."""
    if len(streams) > MOST_STREAMS:
        raise ConfigError(
            f"{set_name}: {len(streams)} streams",
            hint=f"{MOST_STREAMS} at most in a set",
            context={"at": ["streams"]},
        )
    known: set[str] = set()
    for at, one in enumerate(streams):
        try:
            _check(one)
            if one.name in known:
                raise UsageError(f"there are two streams '{one.name}'", hint="each is stored under its own name")
        except UsageError as error:
            context = {"at": ["streams", at]}
            raise ConfigError(f"{set_name}: {error.message}", hint=error.hint, context=context) from error
        known.add(one.name)


def _check(text: StreamText) -> None:
    names.check_set_name(text.name)
    kind = text.kind
    if kind is None:
        raise UsageError(
            f"the stream '{text.name}' has not just one of {', '.join(KINDS)}",
            hint="write it as {name: shop, postgresql: shop} or {name: list, run: [/usr/bin/tool, --list]}",
        )
    _check_words(text.name, text.run or [], text.options)
    _check_secrets(text)
    for path in (text.sqlite, text.device):
        if path is not None and (not os.path.isabs(path) or "\0" in path):
            raise UsageError(f"'{path}' is no absolute path", hint="begin it with /")
    for database in (text.postgresql, text.mysql, text.mongodb):
        if database is not None and database != ALL_DATABASES and _DATABASE.fullmatch(database) is None:
            hint = "the name alone, or all; the server is `host:`"
            raise UsageError(f"'{database}' is no database's name", hint=hint)
    if any(_ADDRESS_OF_ONE.search(word) for word in (*text.options, text.host or "")):
        raise UsageError(
            f"the stream '{text.name}' has a database in its address",
            hint="leave it out there: `mongodb: NAME` says which; where the login is: --authenticationDatabase=NAME",
        )
    _check_fit(text, kind)
    for name, value in text.environment.items():
        if (fault := fault_of_variable(name, value)) is not None:
            raise UsageError(fault[0], hint=fault[1])
        if name in ("PGPASSWORD", "MYSQL_PWD"):
            raise UsageError(f"{name} shows the password to others", hint="password: {file: PATH}")
    if text.timeout is not None and not 0 < parse_duration(text.timeout) <= _LONGEST_SECONDS:
        raise UsageError(f"timeout: {text.timeout}", hint="a second to 30 days")
    if text.user is not None and (not text.user or "\0" in text.user):
        raise UsageError("user: is empty", hint="name a user of this machine, or leave it out")


def _check_words(name: str, command: list[str], options: list[str]) -> None:
    words = [*command, *options]
    if command and not command[0]:
        raise UsageError(f"the stream '{name}' names no program", hint="run: [/usr/bin/tool, --list]")
    if len(words) > _MOST_WORDS or any("\0" in word for word in words):
        raise UsageError(f"the stream '{name}' has words that no program takes", hint=f"{_MOST_WORDS} words at most")


def _check_secrets(text: StreamText) -> None:
    """Words are seen by all users of the machine, and stand in lists of processes.

    An option that asks for a password is refused with that which holds it: the next word may be meant as one.
    """
    short = _SHORT_PASSWORDS.get(str(text.kind), _ANY_SHORT_PASSWORD)
    for word in text.options:
        is_within = text.kind != "mysql" and _SECRET_WITHIN.search(word)
        if is_within or _PASSWORD_OPTION.match(word) or short.match(word):
            raise UsageError(f"the stream '{text.name}' has a password among its options", hint=_PASSWORD_HINT)
    if text.host is not None and _SECRET_WITHIN.search(text.host):
        raise UsageError(f"the stream '{text.name}' has a password in its host", hint=_PASSWORD_HINT)


def _check_fit(text: StreamText, kind: str) -> None:
    """What only some kinds have."""
    is_server = kind in DATABASE_SERVERS
    given = {"host": text.host, "port": text.port, "login": text.login, "options": text.options or None}
    misplaced = next((name for name, value in given.items() if value is not None and not is_server), None)
    if misplaced is not None:
        raise UsageError(f"{misplaced}: with {kind}", hint=f"it goes with {', '.join(DATABASE_SERVERS)}")
    for value in (text.host, text.login):
        if value is not None and (not value or value.startswith("-") or "\0" in value):
            raise UsageError(f"'{value}' is neither a host nor a login")
    if text.port is not None and not 0 < text.port < 65536:
        raise UsageError(f"port: {text.port}", hint="1 to 65535")
    if text.password is not None:
        if not is_server and kind != "run":
            raise UsageError(f"password: with {kind}", hint=f"it goes with run and {', '.join(DATABASE_SERVERS)}")
        check_secret(text.password)
