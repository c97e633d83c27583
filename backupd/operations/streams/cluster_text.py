"""The text of `pg_dumpall`, less what it would do to roles and tablespaces that are there already."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from backupd.store_errors import StreamError

_MOST_HEAD_BYTES = 64 << 20
_CONNECT = re.compile(rb"^\\connect ", re.MULTILINE)
_TOKEN = re.compile(
    rb"""(?P<aside>\s+|--[^\n]*\n|\\[^\n]*\n)
    |(?P<end>;)
    |[eE]'(?:[^'\\]|\\.|'')*'
    |(?<![eE])'(?:[^']|'')*'
    |"(?:[^"]|"")*"
    |[\w$\x80-\xff]+
    |[^\\'"]""",
    re.VERBOSE | re.DOTALL,
)
"""Of what is written between the statements `aside`: comments, commands of psql. An open quote is none."""
_NAME = rb"""("(?:[^"]|"")*"|[^\s";]+)"""
_OF_ROLE = re.compile(
    rb"(?:(?:CREATE|ALTER|DROP) ROLE (?:IF EXISTS )?|(?:COMMENT|SECURITY LABEL(?: FOR \S+)?) ON ROLE )" + _NAME
)
_IN_DATABASE = re.compile(rb"ALTER ROLE " + _NAME + rb" IN DATABASE ")
_OF_TABLESPACE = re.compile(rb"CREATE TABLESPACE " + _NAME)


class Known(msgspec.Struct, frozen=True):
    """What a server has already, by names in UTF-8."""

    roles: frozenset[bytes]
    tablespaces: frozenset[bytes]


def without_known(pieces: Iterator[bytes], known: Known) -> Iterator[bytes]:
    """The text; of what stands before its first database, no statement that makes or changes one of the known.

    Nothing is given on before all that is read. Raises StreamError for a text that isn't one of pg_dumpall.
    """
    head = bytearray()
    for piece in pieces:
        head += piece
        if (end := _end_of_head(head)) is not None:
            yield _reduced(bytes(head[:end]), known)
            yield bytes(head[end:])
            yield from pieces
            return
        if len(head) > _MOST_HEAD_BYTES:
            raise StreamError("what is stored is no text of pg_dumpall", hint="give it back as a file, and look")
    yield _reduced(bytes(head), known)


def _end_of_head(head: bytearray) -> int | None:
    """Where the first database begins; None: not yet. What looks like it within quotes is none."""
    for found in _CONNECT.finditer(head):
        if _is_closed(head, found.start()):
            return found.start()
    return None


def _is_closed(head: bytearray, end: int) -> bool:
    at = 0
    while at < end and (token := _TOKEN.match(head, at, end)) is not None:
        at = token.end()
    return at == end


def _reduced(head: bytes, known: Known) -> bytes:
    kept: list[bytes] = []
    begun, at = -1, 0
    while (token := _TOKEN.match(head, at)) is not None:
        at = token.end()
        if begun < 0 and token["aside"] is not None:
            kept.append(token[0])
        elif begun < 0:
            begun = token.start()
        if begun >= 0 and token["end"] is not None:
            if not _is_known(head[begun:at], known):
                kept.append(head[begun:at])
            begun = -1
    return b"".join(kept) + head[begun if begun >= 0 else at :]


def _is_known(statement: bytes, known: Known) -> bool:
    if (found := _OF_ROLE.match(statement)) is not None:
        return _name(found[1]) in known.roles and _IN_DATABASE.match(statement) is None
    found = _OF_TABLESPACE.match(statement)
    return found is not None and _name(found[1]) in known.tablespaces


def _name(written: bytes) -> bytes:
    return written[1:-1].replace(b'""', b'"') if written.startswith(b'"') else written
