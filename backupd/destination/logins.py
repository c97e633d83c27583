"""The text of a credentials file: what opens a store, as `name = value` lines, a key, or one bare secret."""

from __future__ import annotations

from backupd.errors import UsageError

_MAX_BYTES = 64 << 10
_MAX_LINES = 200


def parse_login(text: bytes, known: tuple[str, ...], bare: str = "") -> dict[str, str]:
    """Values by name.

    Lines `name = value` or `name: value`; empty ones, `# …`, `; …` and `[section]` lines say nothing, so that a file of
    the AWS programs with one profile fits. known: the names that the store takes, in lower case; `aws_` before one is
    left out. bare: the name of a value that may stand alone, as one line or as a whole `-----BEGIN …` text.
    Raises UsageError, which never holds what stands there.
    """
    if len(text) > _MAX_BYTES:
        raise UsageError("the credentials are over 64 KiB", hint="is it the right file?")
    try:
        words = text.decode().strip().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise UsageError("the credentials are no UTF-8 text", hint="is it the right file?") from error
    if "\0" in words:
        raise UsageError("the credentials hold a NUL", hint="is it the right file?")
    lines = [line.strip() for line in words.splitlines()]
    if len(lines) > _MAX_LINES and not words.startswith("-----BEGIN "):
        raise UsageError("the credentials have over 200 lines", hint="is it the right file?")
    if bare and words and (words.startswith("-----BEGIN ") or (len(lines) == 1 and not _pair(lines[0], known))):
        return {bare: words}
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line or line[0] in "#;" or (line[0] == "[" and line[-1] == "]"):
            continue
        pair = _pair(line, known)
        if pair is None:
            hint = f"lines are NAME = VALUE with the names {', '.join(known)}"
            raise UsageError(f"line {number} of the credentials is not understood", hint=hint)
        if pair[0] in found:
            raise UsageError(f"line {number} of the credentials gives {pair[0]} once more", hint="give it once")
        found[pair[0]] = pair[1]
    return found


def _pair(line: str, known: tuple[str, ...]) -> tuple[str, str] | None:
    """(name, value) of a line whose name is known."""
    for mark in ("=", ":"):
        name, found, value = line.partition(mark)
        name = name.strip().lower().removeprefix("aws_")
        if found and name in known and value.strip():
            return name, value.strip()
    return None
