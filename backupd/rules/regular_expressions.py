"""Regular expressions of filters: matched by RE2, in time that grows with the name alone (decision 0040).

RE2 is loaded where a filter has an expression, and nowhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from backupd.errors import UsageError

MOST_CHARACTERS: Final = 1000
"""Of one expression: beyond that nobody means what stands there."""
_MEMORY_BYTES: Final = 8 << 20
_WHOLE_TEXT: Final = (b"\\A", b"\\z", b"\\C", b"(?-", b"-m", b"U)")
"""What is not the same in a text of many names."""


def check_expression(text: str) -> None:
    """Raises UsageError for what is no expression, with its place in the text."""
    if not text or "\0" in text:
        raise UsageError("an empty regular expression", hint="leave the filter's patterns out to match all names")
    if len(text) > MOST_CHARACTERS:
        raise UsageError(
            f"a regular expression of {len(text)} characters", hint=f"at most {MOST_CHARACTERS}: write several"
        )
    _compiled(text.encode("utf-8", "surrogateescape"), ignore_case=False)


class ExpressionSet:
    """Several expressions: one that says whether any of them matches, which most names answer with no."""

    def __init__(self, expressions: Sequence[tuple[bytes, bool]]) -> None:
        """expressions: each with whether it ignores case. Raises UsageError for what is no expression."""
        self._each = [_compiled(text, ignore_case=ignore_case) for text, ignore_case in expressions]
        spelled = b"|".join(b"(?:" + _spelled(text, ignore_case=ignore) + b")" for text, ignore in expressions)
        is_whole = any(word in text for text, _ in expressions for word in _WHOLE_TEXT)
        self._any = _joined(spelled)
        self._in_lines = _joined(b"(?m:" + spelled + b")") if not is_whole else None

    def may_match(self, lines: bytes) -> bool:
        """Whether one of several names may match, each in a line of its own; False is sure."""
        return self._in_lines is None or self._in_lines.search(lines) is not None

    def matches(self, text: bytes) -> list[int]:
        """Places of the expressions that match, in their order."""
        if self._any is not None and self._any.search(text) is None:
            return []
        return [at for at, one in enumerate(self._each) if one.search(text) is not None]


class NameOutlines:
    """Says of all names of a directory at once that none of them fits any of many patterns."""

    def __init__(self, outlines: Sequence[bytes]) -> None:
        """outlines: for whole names, by bytes."""
        re2 = _re2()
        options = _options(re2)
        options.encoding = re2.Options.Encoding.LATIN1
        try:
            self._any = re2.compile(b"(?:^|/)(?:" + b"|".join(outlines) + b")(?:/|$)", options)
        except re2.error:
            self._any = None

    def may_fit(self, names: bytes) -> bool:
        """names: with a slash between two. False is sure."""
        return self._any is None or self._any.search(names) is not None


def _joined(spelled: bytes) -> Any:
    """None where all together are too large for one."""
    re2 = _re2()
    try:
        return re2.compile(spelled, _options(re2))
    except re2.error:
        return None


def _spelled(text: bytes, *, ignore_case: bool) -> bytes:
    return b"(?i:" + text + b")" if ignore_case else text


def _compiled(text: bytes, *, ignore_case: bool) -> Any:
    re2 = _re2()
    try:
        return re2.compile(_spelled(text, ignore_case=ignore_case), _options(re2))
    except re2.error as error:
        raise _refusal(text, bytes(error.args[0])) from error


def _refusal(text: bytes, message: bytes) -> UsageError:
    """RE2 names what it stumbled over; where that stands once, its place is known."""
    reason, _, fragment = message.partition(b": ")
    shown, said = (part.decode(errors="backslashreplace") for part in (text, reason))
    at = _unpaired(text) if reason in (b"missing )", b"unexpected )") else text.find(fragment) if fragment else -1
    place = f" at character {len(text[:at].decode('utf-8', 'replace')) + 1}" if at >= 0 else ""
    what = f" ('{fragment.decode(errors='backslashreplace')}')" if fragment and fragment != text else ""
    return UsageError(
        f"the regular expression '{shown}' is wrong{place}: {said}{what}",
        hint="RE2's syntax holds: no look-around and no back-references",
        context={"character": len(text[:at].decode("utf-8", "replace")) + 1} if place else {},
    )


def _unpaired(text: bytes) -> int:
    """Where a parenthesis stands that has no other half; -1: none does."""
    is_opened: list[int] = []
    at, is_class = 0, False
    while at < len(text):
        character = text[at : at + 1]
        if character == b"\\":
            at += 1
        elif is_class:
            is_class = character != b"]"
        elif character == b"[":
            # `]` right after the opening stands for itself.
            at += 2 if text[at + 1 : at + 3] == b"^]" else text[at + 1 : at + 2] == b"]"
            is_class = True
        elif character == b"(":
            is_opened.append(at)
        elif character == b")":
            if not is_opened:
                return at
            is_opened.pop()
        at += 1
    return is_opened[-1] if is_opened else -1


def _options(re2: Any) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    options.never_capture = True
    return options


def _re2() -> Any:
    return importlib.import_module("re2")
