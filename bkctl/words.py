"""Positional words: which one names a set or a snapshot, which are paths."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from backupd.errors import UsageError
from bkctl.places import absolute_path
from bkctl.text import escape

_SNAPSHOT_ID = re.compile(r"s[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Words:
    """What the positional words of one command say."""

    name: str | None
    """A set, or where a snapshot alone was named, its id: names go before ids, and only the repository knows them."""
    versions: list[str]
    """Snapshot ids or `latest`, in their order."""
    paths: list[bytes]


def split_words(words: Sequence[str], most_versions: int = 0) -> Words:
    """Sort words into set, snapshots and paths: a path contains a `/`, or is `.` or `..`.

    Raises UsageError for a word that can be none of them.
    """
    paths = [absolute_path(word) for word in words if is_path(word)]
    bare = [word for word in words if not is_path(word)]
    versions: list[str] = []
    while bare and len(versions) < most_versions and _is_version(bare[-1]):
        versions.insert(0, bare.pop())
    if len(bare) > 1:
        raise UsageError(
            f"'{escape(bare[1])}' is no path, for it has no /", hint=f"write ./{escape(bare[1])} or its full path"
        )
    return Words(bare[0] if bare else None, versions, paths)


def is_path(word: str) -> bool:
    """Whether a positional word is a path; the empty one is, to be refused as such."""
    return "/" in word or word in ("", ".", "..")


def listed_paths(path: str | None, path_of_nul: str | None) -> list[bytes]:
    """Paths of `--paths-from` (a line each) or `--paths-from0` (NUL after each); `-` is standard input.

    Raises UsageError when the list can't be read.
    """
    if path is not None and path_of_nul is not None:
        raise UsageError("--paths-from and --paths-from0 are both given", hint="give one of them")
    source = path if path is not None else path_of_nul
    if source is None:
        return []
    separator = b"\n" if path is not None else b"\0"
    return [absolute_path(_text(line)) for line in _read(source).split(separator) if line]


def _text(line: bytes) -> str:
    return line.decode(sys.getfilesystemencoding(), "surrogateescape")


def _read(source: str) -> bytes:
    try:
        if source == "-":
            with open(0, "rb", closefd=False) as file:
                return file.read()
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(
            f"the list of paths {escape(source)} can't be read: {error.strerror}", hint="check its name and its rights"
        ) from error


def _is_version(word: str) -> bool:
    return word == "latest" or _SNAPSHOT_ID.fullmatch(word) is not None


def number(option: str, word: str) -> int:
    """A whole number that an option takes. Raises UsageError."""
    if not word.isascii() or not word.isdigit() or len(word) > 9:
        raise UsageError(f"{option} {word} is no whole number", hint=f"{option} 2")
    return int(word)
