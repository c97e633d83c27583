"""Buffers on their way to a socket."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.destination.contract import Buffers
from backupd.destination.pacing import Pace

_SMALL_BYTES = 1 << 16
_TOGETHER_BYTES = 1 << 18


def parts(buffers: Buffers, pace: Pace | None = None) -> Iterator[bytes | memoryview]:
    """The buffers as they are, small ones together: each part is a call, and a record of TLS at least.

    With a pace in small pieces, each when it may be sent.
    """
    if pace is None:
        yield from _parts(buffers)
        return
    for part in _parts(buffers):
        yield from pace.cut(part)


def _parts(buffers: Buffers) -> Iterator[bytes | memoryview]:
    small: list[bytes | memoryview] = []
    size = 0
    for buffer in buffers:
        is_small = len(buffer) < _SMALL_BYTES
        if is_small:
            small.append(buffer)
            size += len(buffer)
        if small and (not is_small or size >= _TOGETHER_BYTES):
            yield b"".join(small)
            small, size = [], 0
        if not is_small:
            yield buffer
    if small:
        yield b"".join(small)
