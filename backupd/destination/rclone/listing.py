"""The answer of rclone's `operations/list`, taken entry by entry: a listing has no size that memory could count on."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from backupd.store_errors import StoreAnswerError

_DECODER = json.JSONDecoder()
_PIECE_BYTES = 256 << 10
_MOST_OF_ONE = 1 << 20
_MOST_ENTRIES = 50_000_000
_SPACE = re.compile(r"[\s,]*")


class Entry(msgspec.Struct, frozen=True):
    """One thing that rclone lists."""

    path: str
    size_bytes: int
    """Negative where the store doesn't know."""
    is_folder: bool


def entries(read: Callable[[int], bytes], shown: str) -> Iterator[Entry]:
    """Every entry of an answer that is read piece by piece. Raises StoreAnswerError where it is none, or cut short."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, at, count = "", -1, 0
    while True:
        piece = read(_PIECE_BYTES)
        text = text[max(at, 0) :] + decoder.decode(piece, final=not piece)
        at = min(at, 0)
        if at < 0:
            found = re.match(r'\s*\{\s*"list"\s*:\s*(\[|null)', text)
            if found is None and (not piece or len(text) > _PIECE_BYTES):
                raise StoreAnswerError(f"{shown}: rclone answers with no listing")
            if found is None:
                continue
            if found[1] == "null":
                return
            at = found.end()
        while True:
            at = _skip(text, at)
            if text[at : at + 1] == "]":
                return
            try:
                value, at = _DECODER.raw_decode(text, at)
            except ValueError:
                break
            count += 1
            yield _entry(value, shown, count)
        if not piece or len(text) - at > _MOST_OF_ONE:
            raise StoreAnswerError(f"{shown}: the listing breaks off after {count} entries")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _entry(value: Any, shown: str, count: int) -> Entry:
    path, size, is_folder = (
        (value.get(name) for name in ("Path", "Size", "IsDir")) if isinstance(value, dict) else (0,) * 3
    )
    if not isinstance(path, str) or not isinstance(size, int) or not isinstance(is_folder, bool):
        raise StoreAnswerError(f"{shown}: rclone lists what is no entry")
    if count > _MOST_ENTRIES:
        raise StoreAnswerError(f"{shown}: the listing has no end", hint="choose a folder of its own for backups")
    return Entry(path, size, is_folder)
