"""Inputs that nobody honest makes: random bytes, and valid encodings with bits, lengths, parts and values changed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

Shape = Literal["bytes", "msgpack", "json", "text"]
"""What an encoding is made of: some changes know it."""

Change = tuple[int, int, int]
"""(kind, place, value); each is taken modulo what there is."""

_CHANGE = struct.Struct(">BII")
_MOST_CHANGES = 4

_NUMBERS: tuple[int, ...] = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_NUMBERS += (1 << 40, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 15, 16, 17, 255, 1 << 31, 1 << 32, 1 << 60, (1 << 63) - 1, (1 << 64) - 1, -(1 << 63),
    1.5, float("inf"), float("nan"), "", ".", "..", "a/b", "\0", "x" * 300, "é" * 70, "r" + "0" * 32,
    "1-0011223344556677", [], {}, [[]] * 40, {"": None}, [0] * 600, _nested(60),
)  # fmt: skip
_BINARIES = (b"", b"\0", b"/", b"..", bytes(7), bytes(8), bytes(31), bytes(32), bytes(33), b"\xff" * 64, b"x" * 600)
_WORDS = (
    "\0", "\n", "\r", "\t", " ", "\\", "/", "//", "..", "~", "*", "**", "?", "[", "]", "[!", "[z-a]", "[a-", "\\]",
    "-", "+ ", "- ", "#", "=", ":", "user:", "\ud800", "\udcff", "\U0010ffff", "\\ffffff", "\\110000", "\\00d800",
    "\u0663", "\u00b2", "9" * 40, "9" * 5000, "1e999", "0x", "-1", "now", "yesterday 99:99", "9999-12-31",
    "0001-01-01T00:00-23:59", "{", "}", "[" * 40, "{a: " * 40, "&a [*a, *a]", "*a", "!!bool x", "!!timestamp x",
    '!!int ""', "!!binary '='", "!!python/none x", "<<: {a: 1}", "<<: 1", "? []", "=: 1", "%YAML 9.9", "---", "...",
    "1:1:1:1:1", "0b1", ".inf", "2001-99-99", "|", ">", "'", '"', "\ufeff",
)  # fmt: skip


def hostile(seeds: Sequence[bytes], shape: Shape) -> st.SearchStrategy[bytes]:
    """Random bytes one time in eight, else a valid encoding with up to four changes.

    Two draws an input, the second one bytes that say what to change: more would take longer than what is tested.
    """
    at, said = st.integers(0, 8 * len(seeds) - 1), st.binary(max_size=300)
    return st.builds(lambda at, said: _input(seeds, at, said, shape), at, said)


def _input(seeds: Sequence[bytes], at: int, said: bytes, shape: Shape) -> bytes:
    if at >= 7 * len(seeds):
        return said
    whole = min(len(said) // _CHANGE.size, _MOST_CHANGES) * _CHANGE.size
    return mutated(seeds, at, list(_CHANGE.iter_unpack(said[:whole])), shape)


def mutated(seeds: Sequence[bytes], at: int, changes: Sequence[Change], shape: Shape) -> bytes:
    """A seed after these changes."""
    data = seeds[at % len(seeds)]
    for kind, place, value in changes:
        data = _CHANGES[kind % len(_CHANGES)](data, place, value, seeds, shape)
    return data


def _flip(data: bytes, place: int, value: int, _: Sequence[bytes], __: Shape) -> bytes:
    if not data:
        return data
    at = place % len(data)
    return data[:at] + bytes((data[at] ^ (1 << (value & 7)),)) + data[at + 1 :]


def _cut(data: bytes, place: int, value: int, _: Sequence[bytes], __: Shape) -> bytes:
    return data[: place % (len(data) + 1)] if value & 1 else data[-(place % (len(data) + 1)) :]


def _number(data: bytes, place: int, value: int, _: Sequence[bytes], __: Shape) -> bytes:
    """Write a number where a length may stand."""
    if not data:
        return data
    width = 1 << (value & 3)
    number = _NUMBERS[(value >> 3) % len(_NUMBERS)] & ((1 << 8 * width) - 1)
    at = place % len(data)
    packed = number.to_bytes(width, "little" if value & 4 else "big")
    return data[:at] + packed + data[at + width :]


def _double(data: bytes, place: int, value: int, _: Sequence[bytes], __: Shape) -> bytes:
    start, end = sorted((place % (len(data) + 1), value % (len(data) + 1)))
    return data[:end] + data[start:end] + data[end:]


def _splice(data: bytes, place: int, value: int, seeds: Sequence[bytes], _: Shape) -> bytes:
    other = seeds[value % len(seeds)]
    at = place % (min(len(data), len(other)) + 1)
    return data[:at] + other[at:]


def _drop(data: bytes, place: int, value: int, _: Sequence[bytes], __: Shape) -> bytes:
    start = place % (len(data) + 1)
    return data[:start] + data[start + 1 + value % 40 :]


def _insert(data: bytes, place: int, value: int, _: Sequence[bytes], shape: Shape) -> bytes:
    at = place % (len(data) + 1)
    if shape in ("text", "json"):
        word = _WORDS[value % len(_WORDS)].encode("utf-8", "surrogatepass")
    else:
        word = value.to_bytes(4, "little") * (1 + (value >> 5) % 8)
    return data[:at] + word + data[at:]


def _restructure(data: bytes, place: int, value: int, _: Sequence[bytes], shape: Shape) -> bytes:
    """Put another value where one stands, so that the encoding stays one; bytes of another kind are flipped."""
    try:
        if shape == "msgpack":
            found = msgspec.msgpack.decode(data)
            return msgspec.msgpack.encode(_replaced(found, place, (*_VALUES, *_BINARIES)[value % _ALL]))
        if shape == "json":
            found = json.loads(data)
            return json.dumps(_replaced(found, place, _VALUES[value % len(_VALUES)])).encode()
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, OverflowError):
        return _flip(data, place, value, (), shape)
    return _flip(data, place, value, (), shape) if shape == "bytes" else _insert(data, place, value, (), shape)


def _replaced(tree: Any, place: int, value: Any) -> Any:
    """The same tree with the value at one place, counted depth first."""
    ways: list[tuple[Any, ...]] = []
    todo: list[tuple[tuple[Any, ...], Any]] = [((), tree)]
    while todo and len(ways) < 2000:
        way, node = todo.pop()
        ways.append(way)
        if isinstance(node, list):
            todo += [((*way, at), one) for at, one in enumerate(node)]
        elif isinstance(node, dict):
            todo += [((*way, key), one) for key, one in node.items()]
    return _with(tree, ways[place % len(ways)], value)


def _with(node: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    copied = node.copy()
    copied[way[0]] = _with(node[way[0]], way[1:], value)
    return copied


_ALL = len(_VALUES) + len(_BINARIES)
_Changer = Callable[[bytes, int, int, Sequence[bytes], Shape], bytes]
_CHANGES: tuple[_Changer, ...] = (
    _flip, _cut, _number, _double, _splice, _drop, _insert, _restructure, _restructure, _restructure,
)  # fmt: skip
