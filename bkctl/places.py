"""Places and paths as people type them: which kind a word is, and its absolute form from the caller's directory."""

from __future__ import annotations

import os
import re

from backupd.errors import UsageError
from bkctl.text import escape

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|rclone:")
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@]*:[^/]*@")


def absolute_path(word: str) -> bytes:
    """The path from the root as bytes, `.` and `..` worked out in the text, links left alone.

    Raises UsageError for an empty word: an unset variable must not become the current directory.
    """
    if not word:
        raise UsageError("a path is empty", hint="is a variable unset? write . for the current directory")
    try:
        return os.path.abspath(os.fsencode(word))
    except FileNotFoundError as error:
        raise UsageError(
            "the current directory is gone", hint="change to one that exists, or give full paths"
        ) from error


def absolute_text(word: str) -> str:
    """The same as text, for settings that are text. Raises UsageError for a name that is not UTF-8."""
    try:
        return absolute_path(word).decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"'{escape(word)}' is not UTF-8 and can't be used here", hint="rename it, or reach it through a link"
        ) from error


def stored_place(word: str, option: str) -> str:
    """What a DEST names: the absolute path of a directory, or a destination's name, which has no slash.

    Raises UsageError for a URL; this version stores in directories.
    """
    if _URL_PASSWORD.match(word):
        raise UsageError(f"{option} holds a password", hint="secrets are never arguments; take it out of the address")
    if _URL.match(word):
        raise UsageError(
            f"{option} {escape(word)}: this version stores in directories only", hint="give a directory's path"
        )
    if word and "/" not in word and word not in (".", ".."):
        return word
    return absolute_text(word)


def from_place(word: str | None) -> str:
    """The place of `--from`; empty: the daemon knows where the set is. Raises UsageError."""
    return stored_place(word, "--from") if word is not None else ""


def target_directory(word: str) -> bytes:
    """The directory of a restore's `--to`. Raises UsageError for a URL: what is given back is given back here."""
    if _URL.match(word):
        raise UsageError(f"--to {escape(word)}: --to is a directory here", hint="the place to read from goes to --from")
    return absolute_path(word)
