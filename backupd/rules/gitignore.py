"""What .gitignore files name, as rules (gitignore(5)): in the order in which the first that matches decides.

Patterns are matched as filters' globs are, in time that no pattern makes long: these files come with the data.
"""

from __future__ import annotations

import os
import re

from backupd.errors import UsageError
from backupd.rules.filter_rules import Rule
from backupd.rules.globs import compile_glob

MOST_BYTES = 1 << 20
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \t", "digit": "0-9", "lower": "a-z", "space": " \t\r\n\v\f",
    "upper": "A-Z", "word": "a-zA-Z0-9_", "xdigit": "0-9a-fA-F",
}  # fmt: skip
_CLASS = re.compile(r"\[:([a-z]+):\]")
_SPECIAL = re.compile(r"([*?\[\\])")


def parse_gitignore(text: bytes, path: bytes) -> list[Rule]:
    """The rules of a .gitignore file, the last line first, for there the last one that matches decides.

    path: of the file, absolute. Lines that git has no use for are passed over.
    """
    directory = os.path.dirname(path)
    shown = path.decode(errors="backslashreplace")
    rules = []
    for number, raw in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = _trimmed(raw.removesuffix(b"\r"))
        if not line or line.startswith(b"#") or b"\0" in line:
            continue
        is_include = line.startswith(b"!")
        body = os.fsdecode(line[1:] if is_include else line)
        origin = f"{shown}:{number}: {line.decode(errors='backslashreplace')}"
        glob, below = _glob(body, os.fsdecode(directory))
        try:
            compile_glob(glob)
        except UsageError:
            continue
        rules.append(
            Rule(
                is_include=is_include,
                origin=origin,
                patterns=(os.fsencode(glob),),
                below=directory if below else None,
                file=shown,
                line=number,
            )
        )
    rules.reverse()
    return rules


def _trimmed(line: bytes) -> bytes:
    """Without spaces at its end, but for one that is escaped."""
    bare = line.rstrip(b" ")
    if (len(bare) - len(bare.rstrip(b"\\"))) % 2 == 0:
        return bare
    # A backslash that escapes nothing makes the line one that never matches.
    return bare + b" " if len(bare) < len(line) else b""


def _glob(body: str, directory: str) -> tuple[str, bool]:
    """(glob of a filter, whether it is to count below the directory alone for it names no path)."""
    body = _CLASS.sub(lambda match: _CLASSES.get(match[1], match[0]), body)
    if "/" not in body.removesuffix("/"):
        return body, True
    parts = body.removeprefix("/").split("/")
    # `**` crosses directories only where it stands alone.
    parts = [part if part == "**" else re.sub(r"(?<!\\)\*{2,}", "*", part) for part in parts]
    top = _SPECIAL.sub(r"\\\1", "" if directory == "/" else directory)
    return f"{top}/{'/'.join(parts)}", False
