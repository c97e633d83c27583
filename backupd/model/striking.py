"""Secrets struck out of what is shown to others."""

from __future__ import annotations

import re

_SECRET = re.compile(r"pass(word|phrase|wd)?|secret|token|credential|api_?key|access_?key|private", re.IGNORECASE)
_IN_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/@\s:]*):[^/@\s]*@")
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
        return _KEY.sub(STRUCK, _IN_URL.sub(rf"\1:{STRUCK}@", value))
    return value
