"""Names of sets, ids and their prefixes (CLI.md, Names)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from backupd.errors import AmbiguousNameError, NotFoundError, UsageError

NAME_LIMIT = 64
"""Characters of a name."""
PREFIX_DIGITS = 4
"""Fewest hex digits that stand for an id."""
SHORT_DIGITS = 8

_RESERVED = frozenset({"latest", "failed"})
_ID = re.compile(r"[a-z][0-9a-f]{4,}")


def check_set_name(text: str) -> str:
    """Return a set's name in Unicode form NFC, so that one name has one spelling on every platform.

    Raises UsageError when it is no name.
    """
    name = unicodedata.normalize("NFC", text)
    if not name or len(name) > NAME_LIMIT or name[0] in "-." or not all(map(_is_allowed, name)):
        raise UsageError(
            f"'{_shown(text)}' can't be a set's name",
            hint=f"use letters, digits, '.', '_' and '-', no leading '-' or '.', {NAME_LIMIT} characters at most",
        )
    if name in _RESERVED:
        raise UsageError(f"'{name}' can't be a set's name", hint="the word has a meaning of its own; take another")
    return name


def common_path(paths: Iterable[bytes]) -> bytes:
    """The longest directory that holds all paths, or the path itself when it is one; no trailing slash but in `/`.

    paths: absolute, not empty.
    """
    split = [[part for part in path.split(b"/") if part] for path in paths]
    shared: list[bytes] = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return b"/" + b"/".join(shared)


def default_set_name(host: str, paths: Iterable[bytes], known: Mapping[str, bytes] | None = None) -> str:
    """Name a set after the common path of its sources: `Documents` for /home/anna/Documents, `root` for /.

    known: name -> common path of the sets this host has in the repository. The set of that very path keeps its name;
    a name that another path has is not given twice: bob's becomes `bob-Documents`.
    """
    known = known or {}
    common = common_path(paths)
    candidates = _candidates(host, common)
    own = [name for name in candidates if known.get(name) == common]
    free = [name for name in candidates if name not in known]
    if not own and not free:
        raise UsageError(
            f"every short name for {_shown(common.decode(errors='backslashreplace'))} is taken",
            hint="name the set: --name NAME",
        )
    return own[0] if own else free[0]


def is_id(text: str, letter: str) -> bool:
    """Whether the text is an id of that kind or a long enough prefix of one: its letter and lower-case hex."""
    return text.startswith(letter) and _ID.fullmatch(text) is not None


def short(identity: str) -> str:
    """An id as people see it: its letter and the first 8 hex digits."""
    return identity[: 1 + SHORT_DIGITS]


def match_prefix(text: str, candidates: Iterable[str], missing: type[NotFoundError] = NotFoundError) -> str:
    """The one id that the text begins, or is.

    Raises `missing` when there is none, AmbiguousNameError with the candidates when there are several.
    """
    if _ID.fullmatch(text) is None:
        raise missing(f"'{_shown(text)}' is no id", hint=f"an id is a letter and {PREFIX_DIGITS} or more hex digits")
    hits = sorted({one for one in candidates if one.startswith(text)})
    if text in hits:
        return text
    if not hits:
        raise missing(f"nothing has the id {text}")
    if len(hits) > 1:
        raise AmbiguousNameError(f"{text} begins several ids", hint="write more of it", context={"candidates": hits})
    return hits[0]


def split_host(text: str) -> tuple[str | None, str]:
    """Host and set of `HOST:SET`; no host in a plain name. Raises UsageError when either half is empty."""
    host, colon, name = text.rpartition(":")
    if colon and not (host and name):
        raise UsageError(f"'{_shown(text)}' is neither SET nor HOST:SET")
    return (host or None), name


def _candidates(host: str, common: bytes) -> list[str]:
    """Names for a path, best first, each one fit to be a set's name."""
    machine = _sanitised(host) or "host"
    parts = [_sanitised(part.decode(errors="replace")) for part in common.split(b"/") if part] or ["root"]
    whole = "-".join(part for part in parts if part)
    tails = ["-".join(part for part in parts[-length:] if part) for length in range(1, len(parts) + 1)]
    names = [*tails, f"{machine}-{whole}"] if parts[-1] else [machine]
    numbered = [f"{names[-1][: NAME_LIMIT - 3]}-{number}" for number in range(2, 100)]
    return [name for name in dict.fromkeys(name[:NAME_LIMIT] for name in [*names, *numbered]) if name not in _RESERVED]


def _sanitised(text: str) -> str:
    """The text with each run of what a name can't hold made one `-`; may be empty."""
    kept = (c if _is_allowed(c) else " " for c in unicodedata.normalize("NFC", text).replace("\ufffd", " "))
    return "-".join("".join(kept).split()).lstrip("-.").rstrip("-")


def _is_allowed(character: str) -> bool:
    """Letters and digits of any script, with their marks, and `._-`."""
    return character in "._-" or unicodedata.category(character)[0] in "LM" or unicodedata.category(character) == "Nd"


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
