"""A .tar.gz of small texts, in the ustar form; what Python has for it takes long to load."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

_BLOCK = 512
_GZIP = 31


def tar_gz(files: Mapping[str, bytes], modified_seconds: int) -> bytes:
    """The bytes of the archive. files: ASCII names of 100 bytes at most -> contents."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    parts = []
    for name, data in files.items():
        parts.append(packer.compress(_header(name, len(data), modified_seconds) + data + bytes(-len(data) % _BLOCK)))
    return b"".join([*parts, packer.compress(bytes(2 * _BLOCK)), packer.flush()])


def _header(name: str, size: int, modified_seconds: int) -> bytes:
    fields = b"".join(
        (
            name.encode("ascii").ljust(100, b"\0"),
            b"0000600\0" + b"0000000\0" * 2,
            b"%011o\0%011o\0" % (size, modified_seconds),
            b" " * 8 + b"0",
            bytes(100) + b"ustar\x0000",
        )
    ).ljust(_BLOCK, b"\0")
    if len(name) > 100 or len(fields) > _BLOCK:
        raise AssertionError(f"{name} is too long a name")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]
