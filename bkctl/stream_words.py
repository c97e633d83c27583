"""`--stream NAME=KIND:VALUE` of `set create` and `set edit`; what needs more is written as text."""

from __future__ import annotations

import difflib
import os

import msgspec

from backupd.errors import UsageError
from backupd.model.streams import StreamText
from bkctl.text import escape

_VALUES = {
    "postgresql": "DB",
    "mysql": "DB",
    "sqlite": "PATH",
    "mongodb": "DB",
    "device": "PATH",
    "system": "",
}
"""What follows each kind."""
_OTHER_NAMES = {"mariadb": "mysql"}
HELP = "Store what a database writes out: NAME=postgresql:DB, mysql:DB, sqlite:PATH, mongodb:DB, device:PATH, system."
_MOST_COMPARED = 64
"""Characters of a word that similar ones are looked for."""


def stream_text(word: str) -> StreamText:
    """A stream as its option names it. Raises UsageError."""
    name, equals, what = word.partition("=")
    if not name or not equals:
        raise UsageError(f"--stream {escape(word)} has no name", hint="--stream shop=postgresql:shop names it shop")
    given, colon, value = what.partition(":")
    kind = _OTHER_NAMES.get(given, given)
    if kind not in _VALUES:
        raise UsageError(f"--stream {escape(word)}: '{escape(given)}' is no kind of stream", hint=_kinds_hint(given))
    if kind == "system" and not colon:
        return StreamText(name=name, system=True)
    if kind == "system" or not value:
        lacking = "takes nothing after it" if kind == "system" else f"lacks its {_VALUES[kind]}"
        raise UsageError(f"--stream {escape(word)}: {kind} {lacking}", hint=f"--stream {escape(name)}={_written(kind)}")
    if kind in ("sqlite", "device"):
        value = os.path.abspath(value)
    return msgspec.structs.replace(StreamText(name=name), **{kind: value})


def _kinds_hint(given: str) -> str:
    if given == "run":
        return "commands of your own are written as text: bkctl set apply"
    near = difflib.get_close_matches(given[:_MOST_COMPARED].lower(), [*_VALUES, *_OTHER_NAMES], 1, 0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"kinds: {', '.join(map(_written, _VALUES))}; commands of your own by bkctl set apply"


def _written(kind: str) -> str:
    return f"{kind}:{_VALUES[kind]}" if _VALUES[kind] else kind


def with_streams(streams: list[StreamText], added: tuple[str, ...], removed: tuple[str, ...]) -> list[StreamText]:
    """A set's streams after an edit: one of a known name comes in place of that. Raises UsageError."""
    unknown = set(removed) - {one.name for one in streams}
    if unknown:
        raise UsageError(f"{escape(min(unknown))} is no stream of the set", hint="bkctl set show SET lists them")
    new = {one.name: one for one in map(stream_text, added)}
    kept = [new.pop(one.name, one) for one in streams if one.name not in removed]
    return [*kept, *new.values()]
