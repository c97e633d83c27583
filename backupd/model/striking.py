"""Secrets struck out of what is shown to others."""

from __future__ import annotations

import re

_SECRET = re.compile(r"pass(word|phrase|wd)?|secret|token|credential|api_?key|access_?key|private", re.IGNORECASE)
_RUN = re.compile(r"\S+")
_IN_URL = re.compile(r"(://[^\s/@:?#\[]*):(?![0-9]{1,5}[/?#]).*", re.DOTALL)
"""In what stands before the last @: a password may hold any sign; after a port comes a path, even with an @."""
_KEY = re.compile(r"(?<![\w-])(?:[\w-]{44}|(?:[\w-]{4} ){10}[\w-]{4})(?![\w-])", re.ASCII)
STRUCK = "***"


def strike(value: object) -> object:
    """The same value with secrets taken out: by the name of a field, in URLs, and what looks like a printed key."""
    if isinstance(value, dict):
        return {
            key: STRUCK if isinstance(key, str) and _SECRET.search(key) and entry else strike(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [strike(entry) for entry in value]
    if isinstance(value, str):
        return _KEY.sub(STRUCK, _RUN.sub(_without_password, value) if "://" in value else value)
    return value


def _without_password(run: re.Match[str]) -> str:
    """In time that grows with the length alone: a log line may be long, and anybody's."""
    before, at, rest = run[0].rpartition("@")
    return _IN_URL.sub(rf"\1:{STRUCK}", before, count=1) + at + rest
