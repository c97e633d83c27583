"""Shortcuts in place of sources: `documents`, `home@alice`, `pictures@all`; what they mean, the machine knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backupd.model.structs import Strict, Struct

HOME = "home"
SHORTCUTS = ("desktop", "documents", "movies", "music", "pictures", HOME)
REMOVABLE = ("desktop", "documents", "movies", "music", "pictures", "library")
"""What `home` takes in, and a set may leave out of it; `library` is macOS's ~/Library."""
ALL_USERS = "all"
_MOST_LETTERS = 256


class Shortcut(NamedTuple):
    """One that was written."""

    name: str
    user: str | None
    """Login name or number, `all`; None: the user as whom the daemon runs."""


class ShortcutWords(Strict, frozen=True, kw_only=True):
    """The shortcuts among the sources of a set, as orders have them."""

    words: list[str] = []
    without: list[str] = []
    """What `home` does not take in."""


class ShortcutView(Struct, frozen=True, kw_only=True):
    """What a shortcut means now."""

    word: str
    paths: list[str]
    """Directories; not UTF-8: escaped."""
    left_out: list[str] = []
    """Directories that are taken out of `home`."""
    message: str = ""
    """Why it means nothing here, or not all."""


NO_SHORTCUTS = ShortcutWords()


def shortcut_of(word: str) -> Shortcut | None:
    """The shortcut that a word is; None: it is a path."""
    name, at, user = word.partition("@")
    if name not in SHORTCUTS or (at and not _is_user(user)):
        return None
    return Shortcut(name, user if at else None)


def is_shortcut(word: str) -> bool:
    """Whether a word is a shortcut, and no path."""
    return shortcut_of(word) is not None


def paths_among(sources: Sequence[str]) -> list[str]:
    """The sources that are paths."""
    return [word for word in sources if not is_shortcut(word)]


def shortcuts_among(sources: Sequence[str], without: Sequence[str]) -> ShortcutWords:
    """The sources that are shortcuts."""
    return ShortcutWords(words=[word for word in sources if is_shortcut(word)], without=list(without))


def _is_user(name: str) -> bool:
    return 0 < len(name) <= _MOST_LETTERS and "/" not in name and name.isprintable()
