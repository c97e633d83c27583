"""Reading ~/.config/user-dirs.dirs, the file by which desktops say where a user's documents, music and so on lie.

It is written as lines of a shell (xdg-user-dir(1)) and belongs to the user; nothing in it is ever carried out.
"""

from __future__ import annotations

import os
import re

MOST_BYTES = 1 << 16
XDG_NAMES = {
    b"XDG_DESKTOP_DIR": "desktop",
    b"XDG_DOCUMENTS_DIR": "documents",
    b"XDG_VIDEOS_DIR": "movies",
    b"XDG_MUSIC_DIR": "music",
    b"XDG_PICTURES_DIR": "pictures",
}
DEFAULTS = {
    "desktop": b"Desktop",
    "documents": b"Documents",
    "movies": b"Videos",
    "music": b"Music",
    "pictures": b"Pictures",
}
"""Below the home directory, where nobody says otherwise."""

_LINE = re.compile(rb'[ \t]*(XDG_[A-Z]+_DIR)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\(.)")
_HOME = b"$HOME"


def parse_user_dirs(text: bytes, home: bytes) -> dict[str, bytes]:
    """Shortcut -> absolute path, of the lines that say one; of two lines the later one counts.

    home: absolute. A path that is the home directory itself stands for none, as the file's makers have it.
    """
    found: dict[str, bytes] = {}
    for line in text[:MOST_BYTES].splitlines():
        match = _LINE.match(line)
        name = XDG_NAMES.get(match[1]) if match is not None else None
        if match is None or name is None or b"\0" in line:
            continue
        value = match[2]
        if value == _HOME or value.startswith(_HOME + b"/"):
            value = home + _ESCAPED.sub(rb"\1", value[len(_HOME) :])
        else:
            value = _ESCAPED.sub(rb"\1", value)
        if value.startswith(b"/"):
            found[name] = os.path.normpath(value).replace(b"//", b"/")
    return found
