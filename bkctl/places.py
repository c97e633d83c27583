"""Places and paths as people type them: which kind a word is, and its absolute form from the caller's directory."""

from __future__ import annotations

import os

from backupd.errors import UsageError
from backupd.model.places import PlaceUrl, is_url
from backupd.model.shortcuts import is_shortcut
from bkctl.text import escape


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


def source_text(word: str) -> str:
    """A source of a set: a shortcut as it is written, else the absolute path; `./home` is always a path."""
    return word if is_shortcut(word) else absolute_text(word)


def stored_place(word: str, option: str) -> str:
    """What a DEST names: a store's address, the absolute path of a directory, or a destination's name without slash.

    The address of a store stays as it is. Raises UsageError for one with a password or of no form.
    """
    if is_url(word):
        try:
            PlaceUrl.parse(word)
        except UsageError as error:
            raise UsageError(f"{option}: {escape(error.message)}", hint=error.hint) from error
        return word
    if word and "/" not in word and word not in (".", ".."):
        return word
    return absolute_text(word)


def from_place(word: str | None) -> str:
    """The place of `--from`; empty: the daemon knows where the set is. Raises UsageError."""
    return stored_place(word, "--from") if word is not None else ""


def target_directory(word: str) -> bytes:
    """The directory of a restore's `--to`. Raises UsageError for a URL: what is given back is given back here."""
    if is_url(word):
        raise UsageError(f"--to {escape(word)}: --to is a directory here", hint="the place to read from goes to --from")
    return absolute_path(word)
