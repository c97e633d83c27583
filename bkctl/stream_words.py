"""`--stream NAME=KIND:VALUE` of `set create` and `set edit`; what needs more is written as text."""

from __future__ import annotations

import os

import msgspec

from backupd.errors import UsageError
from backupd.model.streams import StreamText
from bkctl.text import escape

_KINDS = ("postgresql", "mysql", "sqlite", "mongodb", "device", "system")
HELP = "Store what a database writes out: NAME=postgresql:DB, mysql:DB, sqlite:PATH, mongodb:DB, device:PATH, system."


def stream_text(word: str) -> StreamText:
    """A stream as its option names it. Raises UsageError."""
    name, equals, what = word.partition("=")
    kind, colon, value = what.partition(":")
    if kind == "mariadb":
        kind = "mysql"
    if not name or not equals or kind not in _KINDS or (kind == "system") == bool(colon) or (colon and not value):
        raise UsageError(
            f"--stream {escape(word)} is none",
            hint="--stream shop=postgresql:shop, --stream machine=system; commands of your own by bkctl set apply",
        )
    if kind == "system":
        return StreamText(name=name, system=True)
    if kind in ("sqlite", "device"):
        value = os.path.abspath(value)
    return msgspec.structs.replace(StreamText(name=name), **{kind: value})


def with_streams(streams: list[StreamText], added: tuple[str, ...], removed: tuple[str, ...]) -> list[StreamText]:
    """A set's streams after an edit: one of a known name comes in place of that. Raises UsageError."""
    unknown = set(removed) - {one.name for one in streams}
    if unknown:
        raise UsageError(f"{escape(min(unknown))} is no stream of the set", hint="bkctl set show SET lists them")
    new = {one.name: one for one in map(stream_text, added)}
    kept = [new.pop(one.name, one) for one in streams if one.name not in removed]
    return [*kept, *new.values()]
