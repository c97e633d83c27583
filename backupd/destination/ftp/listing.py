"""What an FTP server lists, by RFC 3659: one line an entry, facts first. Pure: bytes in, entries out."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from backupd.destination.object_names import is_plain

MAX_LISTING_BYTES = 256 << 20
"""One folder's; ours with most entries has some 100,000."""
_MAX_LINE_BYTES = 8192
_KINDS = ("file", "dir")


class Entry(msgspec.Struct, frozen=True):
    """One listed file or folder."""

    name: str
    is_folder: bool
    size_bytes: int


def entries(listing: bytes) -> Iterator[Entry]:
    """The files and folders of an MLSD listing. What else it may hold, as links or names with `/`, is left out."""
    for line in listing.split(b"\r\n"):
        if 0 < len(line) <= _MAX_LINE_BYTES:
            entry = entry_of(line.decode(errors="surrogateescape"))
            if entry is not None and is_plain(entry.name):
                yield entry


def entry_of(line: str) -> Entry | None:
    """One line `fact=value;… name`; None where it is no file or folder."""
    words, space, name = line.partition(" ")
    facts = dict(fact.lower().split("=", 1) for fact in words.split(";") if "=" in fact)
    kind, size = facts.get("type", ""), facts.get("size", "0")
    if not space or kind not in _KINDS or not (size.isascii() and size.isdigit() and len(size) < 20):
        return None
    return Entry(name, kind == "dir", int(size))


def is_empty(listing: bytes) -> bool:
    """Whether it shows nothing but the folder itself and the one above."""
    return all(
        b"type=cdir;" in line.lower() or b"type=pdir;" in line.lower() for line in listing.split(b"\r\n") if line
    )
