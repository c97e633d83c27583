"""Names that a server lists: which of them can be ours, and which are fit to be shown at all."""

from __future__ import annotations

import re

from backupd.errors import UsageError
from backupd.model.places import PlaceUrl
from backupd.store_errors import NameTooLongError

MAX_DEPTH = 8
"""Folders in folders that a listing follows; ours have four."""
_MAX_NAME_BYTES = 255
"""As file systems have it."""
_OURS = re.compile(r"[a-z0-9-][a-z0-9.-]{0,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def can_be_ours(name: str) -> bool:
    """Whether one part of a listed name can belong to an object: others are somebody else's, and never followed."""
    return _OURS.fullmatch(name) is not None


def is_object_name(name: str) -> bool:
    """Whether a whole listed name can be of an object, not of something temporary."""
    *folders, last = name.split("/")
    return can_be_ours(last) and "tmp" not in folders and all(map(can_be_ours, folders))


def temporary_folder(name: str) -> str:
    """Where what is to get that name lies before: beside its own top folder, so repository ids keep theirs apart."""
    return name.partition("/")[0] + "/tmp" if "/" in name else "tmp"


def is_plain(name: str) -> bool:
    """Whether a listed name is one name: no way to somewhere else, nothing that a terminal would obey."""
    return name not in ("", ".", "..") and "/" not in name and _CONTROL.search(name) is None


def check_path(url: PlaceUrl) -> None:
    """Raises UsageError for an address whose path or user would become something else on the wire, NameTooLongError."""
    if _CONTROL.search(url.path) or _CONTROL.search(url.user):
        raise UsageError("the place holds a control character", hint="write path and user without %00 to %1F")
    if any(part in (".", "..") for part in url.path.split("/")):
        raise UsageError("the place holds . or .. in its path", hint="write the path as it is")
    if any(len(part.encode(errors="replace")) > _MAX_NAME_BYTES for part in url.path.split("/")):
        raise NameTooLongError(
            f"a part of the place's path has over {_MAX_NAME_BYTES} bytes", hint="choose a shorter path for the place"
        )


def without_secrets(text: str, secrets: tuple[str, ...]) -> str:
    """What a server said, fit to be shown: short, one line, and no secret that it may have repeated."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return _CONTROL.sub(" ", text)[:200].strip()
