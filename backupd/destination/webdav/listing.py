"""What a WebDAV server lists (RFC 4918, 207 Multi-Status): a bounded reader of its XML. Pure: bytes in, entries out."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

import msgspec

MAX_ENTRIES = 1_000_000
MAX_LISTING_BYTES = 512 << 20
_MAX_TEXT = 8192
_MAX_DEPTH = 32
_MAX_SILENT_BYTES = 1 << 20
"""Without an element or a text: the parser reads a thing that is not yet whole from its beginning, again and again."""

QUESTION = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><quota-available-bytes/></prop></propfind>"
)
"""What is asked of each entry."""


class Entry(msgspec.Struct, frozen=True):
    """One resource of a listing."""

    path: str
    """As the server names it, without `%` escapes, without a last slash."""
    is_folder: bool
    size_bytes: int | None
    free_bytes: int | None


class Listing:
    """Takes the bytes as they come. Raises ValueError for what is no such listing, or has no end."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._take_text
        self._depth = self._byte_count = self._silent_bytes = 0
        self._text = self._path = ""
        self._good: dict[str, str] = {}
        self._found: dict[str, str] = {}
        self._is_good = self._is_there = True
        self._in_properties = False

    def feed(self, data: bytes) -> None:
        """Some more bytes."""
        self._byte_count += len(data)
        if self._byte_count > MAX_LISTING_BYTES:
            raise ValueError("a listing without end")
        self._silent_bytes += len(data)
        self._parse(data, is_last=False)
        if self._silent_bytes > _MAX_SILENT_BYTES:
            raise ValueError("a part of a listing without end")

    def close(self) -> list[Entry]:
        """All entries, in the server's order."""
        self._parse(b"", is_last=True)
        return self.entries

    def _parse(self, data: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(data, is_last)
        except expat.ExpatError as error:
            raise ValueError(f"no XML: {error}") from error

    def _refuse(self, *_: object) -> None:
        raise ValueError("a document type, which no listing needs")

    def _start(self, name: str, _: object) -> None:
        self._depth, self._silent_bytes = self._depth + 1, 0
        if self._depth > _MAX_DEPTH or (self._depth == 1 and name != "DAV: multistatus"):
            raise ValueError("no listing of WebDAV")
        self._text = ""
        if name == "DAV: response":
            self._path, self._good, self._is_there = "", {}, True
        elif name == "DAV: propstat":
            self._found, self._is_good, self._in_properties = {}, True, True
        elif name == "DAV: collection":
            self._found["collection"] = "1"

    def _take_text(self, text: str) -> None:
        self._text, self._silent_bytes = self._text + text, 0
        if len(self._text) > _MAX_TEXT:
            raise ValueError("a text without end")

    def _end(self, name: str) -> None:
        self._depth, self._silent_bytes = self._depth - 1, 0
        text, self._text = self._text.strip(), ""
        match name:
            case "DAV: href":
                # Properties may hold addresses, too: the entry's own comes first.
                self._path = self._path or unquote(urlsplit(text).path, errors="surrogateescape")
            case "DAV: status" if self._in_properties:
                self._is_good = " 200" in text
            case "DAV: status":
                # Of the whole entry, where it has no properties.
                self._is_there = " 2" in text
            case "DAV: getcontentlength" | "DAV: quota-available-bytes":
                self._found[name] = text
            case "DAV: propstat":
                self._in_properties = False
                self._good |= self._found if self._is_good else {}
            case "DAV: response" if self._is_there:
                self._add()

    def _add(self) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            raise ValueError("a listing without end")
        size, free = (_number(self._good.get(f"DAV: {name}")) for name in ("getcontentlength", "quota-available-bytes"))
        self.entries.append(Entry(self._path.rstrip("/"), "collection" in self._good, size, free))


def below(entries: Sequence[Entry], path: str) -> dict[str, Entry]:
    """The entries right below the folder that was asked for, by the last part of their names.

    path: as it was asked for. Behind a proxy servers name another one; the folder itself is then the shortest.
    """
    known = {entry.path for entry in entries}
    base = path if path in known else min(known, key=len, default=path)
    start = len(base) + 1
    return {
        entry.path[start:]: entry
        for entry in entries
        if entry.path.startswith(base + "/") and "/" not in entry.path[start:]
    }


def _number(text: str | None) -> int | None:
    """Not negative; servers say -1 to -3 where they don't know."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None
