"""Globs as filters write them, translated to regular expressions.

`*` and `?` stay inside a name, `**` crosses directories, `[a-z]` and `[!a-z]` are classes, a backslash takes the next
character as it is. Globs are matched as text (UTF-8, surrogateescape), so `?` is one character and one bad byte.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from backupd.errors import UsageError

_MOST_CHARACTERS = 4096
_STAR: Final = "*"
_STARS: Final = "**"
_SLASH: Final = "/"


class Glob(msgspec.Struct, frozen=True, kw_only=True):
    """One glob, ready to be joined with others into one expression."""

    has_slash: bool
    """Matched against whole paths, else against names."""
    is_absolute: bool
    """Begins at the root, else at any directory."""
    only_directories: bool
    literal: str | None
    """The very text it stands for, where it has no wildcard."""
    suffix: str | None
    """The text that follows its only wildcard, a leading `*` of a name."""
    expression: str
    """For fullmatch with DOTALL: a name, a path from the root, or the end of a path after a `/`."""
    tokens: tuple[str, ...] = ()
    """Each `/`, `*`, `**`, or an expression for one character."""


class SplitGlob(msgspec.Struct, frozen=True, kw_only=True):
    """A glob of paths as one of directories and one of the names in them."""

    directory: str | None
    """For fullmatch with DOTALL on a directory without a trailing slash, the root being empty; None: any directory."""
    directory_literal: str | None
    """What the directory is, or ends with after a `/`, where it has no wildcard."""
    name: Glob | None
    """None: any name."""


def compile_glob(text: str) -> Glob:
    """Read a glob. Raises UsageError when it could never match, or would match all there is."""
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"a pattern of {len(text)} characters", hint=f"no path has more than {_MOST_CHARACTERS}")
    body = re.sub(r"/{2,}", "/", text)
    only_directories = body.endswith("/")
    body = body.removesuffix("/") if only_directories else body
    if not body or "\0" in body:
        raise UsageError(f"'{text}' is no pattern", hint="write a name, a glob as '*.tmp', or a path")
    if body.startswith("~/") or {".", ".."} & set(body.split("/")):
        raise UsageError(
            f"the pattern '{text}' can't match", hint="'~', '.' and '..' have no meaning in it: write the whole path"
        )
    tokens = _tokens(body)
    has_slash = _SLASH in tokens
    if not has_slash:
        tokens = [_STAR if token == _STARS else token for token in tokens]
    return _glob(tokens, has_slash=has_slash, only_directories=only_directories)


def split_glob(glob: Glob) -> SplitGlob | None:
    """A glob of paths in two; None where a `**` beside other characters in its last part crosses directories."""
    tokens = list(glob.tokens)
    last = len(tokens) - 1 - tokens[::-1].index(_SLASH)
    above, name = tokens[:last], tokens[last + 1 :]
    if _STARS in name and name != [_STARS]:
        return None
    named = None if name == [_STARS] else _glob(name, has_slash=False, only_directories=glob.only_directories)
    is_deep = name == [_STARS]
    while above and above[-1] == _STARS and (len(above) == 1 or above[-2] == _SLASH):
        # `a/**/b`: in `a`, or anywhere below it.
        is_deep, above = True, above[:-2]
    if not above and (is_deep or not glob.is_absolute):
        return SplitGlob(directory=None, directory_literal=None, name=named)
    head = "" if glob.is_absolute else ".*/"
    literal = _literal(above) if not is_deep else None
    expression = head + (_expression(above) if above else "") + "(?:/.*)?" * is_deep
    return SplitGlob(directory=expression, directory_literal=literal, name=named)


def _glob(tokens: list[str], *, has_slash: bool, only_directories: bool) -> Glob:
    return Glob(
        has_slash=has_slash,
        is_absolute=tokens[0] == _SLASH,
        only_directories=only_directories,
        literal=_literal(tokens),
        suffix=_literal(tokens[1:]) if tokens[0] == _STAR and len(tokens) > 1 and not has_slash else None,
        expression=_expression(tokens),
        tokens=tuple(tokens),
    )


def _tokens(text: str) -> list[str]:
    """Each token is `/`, `*`, `**`, or an expression for exactly one character."""
    tokens: list[str] = []
    at = barren = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*":
            start = at - 1
            while text[at : at + 1] == "*":
                at += 1
            tokens.append(_STAR if at - start == 1 else _STARS)
        elif character == "?":
            tokens.append("[^/]")
        elif character == "[" and at > barren and (end := _class_end(text, at)):
            tokens.append(_class(text[at:end], text))
            at = end + 1
        elif character == "[":
            # None of this name's others has an end either: else thousands of them would be looked for to its end.
            tokens.append(re.escape(character))
            if at > barren:
                slash = text.find("/", at)
                barren = slash if slash >= 0 else len(text)
        elif character == "\\" and at < len(text) and text[at] != "/":
            tokens.append(re.escape(text[at]))
            at += 1
        else:
            tokens.append(_SLASH if character == "/" else re.escape(character))
    return tokens


def _class_end(text: str, start: int) -> int:
    """Where the `]` of a class stands; 0 when there is none within the name, so that `[` means itself."""
    at = start + (text[start : start + 1] in ("!", "^"))
    first = at
    while at < len(text) and text[at] != "/":
        if text[at] == "]" and at > first:
            return at
        at += 2 if text[at] == "\\" else 1
    return 0


def _class(content: str, text: str) -> str:
    """The expression of what stands between `[` and `]`."""
    is_negated = content[0] in "!^"
    characters = [(m[-1], len(m) > 1) for m in re.findall(r"\\.|.", content[is_negated:], re.DOTALL)]
    parts = []
    at = 0
    while at < len(characters):
        low = characters[at][0]
        if at + 2 < len(characters) and characters[at + 1] == ("-", False):
            high = characters[at + 2][0]
            if low > high:
                raise UsageError(f"the range {low}-{high} in the pattern '{text}' is empty", hint=f"write {high}-{low}")
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            parts.append(re.escape(low))
            at += 1
    return f"[^/{''.join(parts)}]" if is_negated else f"(?!/)[{''.join(parts)}]"


def _literal(tokens: list[str]) -> str | None:
    """The text that the tokens spell, if no other text fits them."""
    plain = [token[-1] if len(token) <= 2 and token not in (_STAR, _STARS) else None for token in tokens]
    return None if None in plain else "".join(character for character in plain if character)


def _expression(tokens: list[str]) -> str:
    """Join tokens; what follows a `*` up to the next is taken where it first fits, so no glob takes long to fail.

    So is what follows a `**` up to the next: the next one takes whatever lies between, so the first fit will do.
    """
    starts = [at for at, token in enumerate(tokens) if token == _STARS]
    if not starts:
        return _piece(tokens, is_last=True)
    out = [_piece(tokens[: starts[0]], is_last=False)]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        begins = start == 0 or tokens[start - 1] == _SLASH
        at = start + 1
        is_last = end == len(tokens)
        few = "" if is_last else "?"
        if begins and at == len(tokens):
            wildcard = ".+"
        elif begins and tokens[at] == _SLASH:
            wildcard = f"(?:.*{few}/)?{few}"
            at += 1
        else:
            wildcard = f".*{few}"
        piece = wildcard + _piece(tokens[at:end], is_last=is_last)
        out.append(piece if is_last else f"(?>{piece})")
    return "".join(out)


def _piece(tokens: list[str], *, is_last: bool) -> str:
    """Tokens without `**`; where one follows, the shortest fit."""
    out = []
    few = "" if is_last else "?"
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token != _STAR:
            out.append(token)
            continue
        end = at
        while end < len(tokens) and tokens[end] not in (_STAR, _SLASH):
            end += 1
        run = "".join(tokens[at:end])
        out.append(f"(?>[^/]*?{run})" if end < len(tokens) and tokens[end] == _STAR else f"[^/]*{few}{run}")
        at = end
    return "".join(out)
