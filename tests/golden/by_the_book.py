"""A second reader of the format, written from docs/format.md alone: it imports nothing of the program.

Who has only that page and a key gets everything back; this proves it. Offsets come from the page's own tables.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.golden.tables import table

HEADER = table("Header of binary objects")
SEALED = table("Sealed objects")
BLOCK = table("Blocks", 0)
FRAME = table("Blocks", 1)
MAGIC = bytes.fromhex("89424b44")
KINDS = {"keys": 2, "keyring": 3, "blocks": 4, "index": 5, "snapshots": 6, "sessions": 7}
FRAME_BYTES = FRAME.size + 16
TRAILER_BYTES = 96
ZERO_SALT = bytes(32)


def hkdf(key: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(SHA256(), 32, salt, info.encode()).derive(key)


def nonce(domain: int, number: int) -> bytes:
    return struct.pack("<IQ", domain, number)


def inflate(compression: int, data: bytes, length: int) -> bytes:
    plain: bytes = data if compression == 0 else zstandard.ZstdDecompressor().decompress(data, max_output_size=length)
    assert len(plain) == length
    return plain


def check_header(data: bytes, kind: int) -> None:
    assert HEADER.cut(data, "magic") == MAGIC
    assert HEADER.number(data, "kind") == kind
    assert HEADER.number(data, "version") == 1
    assert HEADER.number(data, "zero") == 0
    assert HEADER.number(data, "required") == 0
    assert HEADER.number(data, "optional") == 0


class Book:
    """A repository at a local place, opened by the 44 characters of a key or by a password."""

    def __init__(self, place: Path, secret: str) -> None:
        once = json.loads((place / "once.json").read_text())
        assert once["magic"] == "backupd once"
        self.folder: Path = place / once["repository"]
        about = json.loads((self.folder / "repository.json").read_text())
        assert (about["magic"], about["version"], about["required"]) == ("backupd repository", 1, [])
        assert (self.folder / "repository.json.2").read_text() == (self.folder / "repository.json").read_text()
        self.id = bytes.fromhex(about["id"][1:])
        self.keyring_name, keyring_key = self._unlock(secret)
        plain = self.open_sealed(f"keyring/{self.keyring_name}", keyring_key, "keyring")
        number, random, commitment, self.chunk_id_key, _, self.configuration, epochs = msgspec.msgpack.decode(plain)
        assert commitment == blake3(b"backupd keyring" + self.id, key=keyring_key).digest()
        assert (number, random) == tuple(epochs[-1][:2])
        self.epochs = {struct.pack("<I8s", *epoch[:2]): epoch[2:] for epoch in epochs}

    def names(self, top: str) -> list[str]:
        """All objects below one of the repository's folders."""
        found = (path for path in (self.folder / top).rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def read(self, name: str) -> bytes:
        data = (self.folder / name).read_bytes()
        check_header(data, KINDS[name.split("/", maxsplit=1)[0]])
        return data

    def associated(self, name: str, epoch: bytes, part: int, last: int) -> bytes:
        kind = KINDS[name.split("/", maxsplit=1)[0]]
        return b"backupd" + bytes((1, kind)) + self.id + epoch + struct.pack("<QB", part, last) + name.encode()

    def open_sealed(self, name: str, key: bytes, kind: str) -> bytes:
        data = self.read(name)
        epoch = SEALED.cut(data, "epoch number") + SEALED.cut(data, "epoch random")
        aead = AESGCM(hkdf(key, SEALED.cut(data, "salt"), f"backupd {kind}"))
        opened = aead.decrypt(nonce(0, 0), SEALED.cut(data, "one sealed part"), self.associated(name, epoch, 0, 1))
        compression, length = struct.unpack_from("<BI", opened)
        return inflate(compression, opened[5:], length)

    def snapshots(self) -> dict[str, Any]:
        """Fields of each snapshot that this key opens, by name."""
        found = {}
        for name in self.names("snapshots"):
            data = self.read(name)
            epoch = SEALED.cut(data, "epoch number") + SEALED.cut(data, "epoch random")
            if epoch in self.epochs:
                found[name] = msgspec.msgpack.decode(self.open_sealed(name, self.epochs[epoch][2], "snapshot"))
        return found

    def _unlock(self, secret: str) -> tuple[str, bytes]:
        for name in self.names("keys"):
            slot = msgspec.msgpack.decode(self.read(name)[HEADER.size :])
            kind, _, _, kdf, salt, keyring, slot_nonce, wrapped = slot
            if (kind == "password") is (len(secret) == 44):
                continue
            if kdf is None:
                raw = base64.urlsafe_b64decode(secret[:43] + "=")
                check = blake3(b"backupd key check" + raw).digest()[0] & 63
                assert base64.urlsafe_b64encode(bytes((check << 2,)))[:1] == secret[43:].encode()
            else:
                memory, passes, lanes = kdf
                argon = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
                raw = argon.derive(secret.encode())
            bound = b"backupd slot" + self.id + name.removeprefix("keys/").encode()
            try:
                return keyring, AESGCM(hkdf(raw, salt, "backupd slot")).decrypt(slot_nonce, wrapped, bound)
            except InvalidTag:
                continue
        raise AssertionError("no slot opens")


class Block:
    """One block, walked frame by frame; every chunk is named by hashing it."""

    def __init__(self, book: Book, name: str) -> None:
        self.book, self.name, self.data = book, name, book.read(name)
        self.id = BLOCK.cut(self.data, "block id")
        assert self.id.hex() == name.rsplit("/", maxsplit=1)[1]
        assert BLOCK.cut(self.data, "repository id") == book.id
        assert BLOCK.number(self.data, "key wrap") == 0
        self.content = BLOCK.number(self.data, "content")
        self.epoch = BLOCK.cut(self.data, "epoch")
        self._aead = AESGCM(hkdf(book.epochs[self.epoch][0], self.id, "backupd block"))
        self._read_trailer()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Offset and plain bytes of each frame header, without the directory."""
        at = BLOCK.size
        while at < self.directory_offset:
            sealed = self.data[at : at + FRAME_BYTES]
            plain = self._aead.decrypt(nonce(1, at), sealed, self.book.associated(self.name, self.epoch, at, 0))
            yield at, plain
            at += FRAME_BYTES + FRAME.number(plain, "stored bytes")
        assert at == self.directory_offset

    def chunks(self, at: int, frame: bytes) -> list[tuple[bytes, bytes]]:
        """(id, bytes) of each chunk of the segment behind a frame header."""
        epoch, salt, counter = FRAME.cut(frame, "epoch"), FRAME.cut(frame, "salt"), FRAME.cut(frame, "counter")
        start = at + FRAME_BYTES
        sealed = self.data[start : start + FRAME.number(frame, "stored bytes")]
        aead = AESGCM(hkdf(self.book.epochs[epoch][0], salt, "backupd segment"))
        bound = b"backupd segment" + b"\1" + self.book.id + epoch + salt + counter
        body = aead.decrypt(nonce(0, int.from_bytes(counter, "little")), sealed, bound)
        plain = inflate(FRAME.number(frame, "compression"), body, FRAME.number(frame, "plain bytes"))
        found = [(self._name(data, salt), data) for data, salt in _split(plain)]
        assert len(found) == FRAME.number(frame, "chunks")
        return found

    def directory(self) -> bytes:
        """Its plain bytes."""
        sealed = self.data[self.directory_offset : self.directory_offset + self.directory_bytes]
        bound = self.book.associated(self.name, self.epoch, self.frame_count, 1)
        return self._aead.decrypt(nonce(2, 0), sealed, bound)

    def _read_trailer(self) -> None:
        trailer = self.data[-TRAILER_BYTES:]
        magic, offset, length, parity, parity_length, count = struct.unpack_from("<8sQQQQI", trailer)
        assert (magic, parity, parity_length) == (b"BKDTRAIL", 0, 0)
        assert trailer[44:64] == bytes(20)
        assert trailer[64:] == blake3(self.data[:-32]).digest()
        self.directory_offset, self.directory_bytes, self.frame_count = offset, length, count

    def _name(self, data: bytes, salt: bytes) -> bytes:
        scope = blake3(salt, key=self.book.chunk_id_key).digest()
        return blake3(data, key=scope).digest()


def _split(plain: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(chunk, scope salt) of a segment's plain bytes."""
    count, run_count = struct.unpack_from("<HH", plain)
    lengths = struct.unpack_from(f"<{count}I", plain, 4)
    at = 4 + 4 * count
    salts: list[bytes] = []
    for _ in range(run_count):
        salts += [plain[at + 2 : at + 34]] * int.from_bytes(plain[at : at + 2], "little")
        at += 34
    salts += [ZERO_SALT] * (count - len(salts))
    for length, salt in zip(lengths, salts, strict=True):
        yield plain[at : at + length], salt
        at += length
    assert at == len(plain)


class Trees:
    """Trees over the chunks of all blocks."""

    def __init__(self, chunks: dict[bytes, bytes]) -> None:
        self._chunks = chunks

    def entries(self, root: bytes) -> Iterator[list[Any]]:
        """Entries of a directory in order."""
        node = msgspec.msgpack.decode(self._chunks[root])
        if node[0] == 1:
            yield from node[1]
        else:
            assert node[0] == 2
            for _, child, _ in node[2]:
                yield from self.entries(child)

    def walk(self, root: bytes, path: bytes = b"") -> Iterator[tuple[bytes, list[Any]]]:
        """Every entry below a directory with its path."""
        for entry in self.entries(root):
            below = path + b"/" + entry[0]
            yield below, entry
            if entry[1] == 2:
                yield from self.walk(entry[7], below)

    def file_sha256(self, entry: list[Any]) -> str:
        """Of a file's bytes, holes filled with zeros."""
        content = b"".join(self._content(entry[7], entry[6]))
        extents = self._extents(entry)
        if extents is None:
            assert len(content) == entry[6]
            return hashlib.sha256(content).hexdigest()
        whole, done = bytearray(entry[6]), 0
        for offset, length in struct.iter_unpack("<QQ", extents):
            whole[offset : offset + length] = content[done : done + length]
            done += length
        return hashlib.sha256(whole).hexdigest()

    def xattrs(self, entry: list[Any]) -> dict[str, str]:
        """Values in hex by name."""
        found = (entry[8][1] if entry[8] else None) or []
        return {
            name.decode(): (value if isinstance(value, bytes) else self._chunks[value[0]]).hex()
            for name, value in found
        }

    def _extents(self, entry: list[Any]) -> bytes | None:
        extra = entry[8] or []
        extents: Any = extra[5] if len(extra) > 5 else None
        return self._chunks[extents[0]] if isinstance(extents, list) else extents

    def _content(self, content: Any, size: int) -> Iterator[bytes]:
        if content is None:
            return
        if isinstance(content, bytes):
            yield self._chunks[content]
        elif content[0] == 0:
            yield from self._listed(content[2], content[3])
        else:
            yield from self._list_node(content[2])

    def _list_node(self, root: bytes) -> Iterator[bytes]:
        node = msgspec.msgpack.decode(self._chunks[root])
        if node[0] == 3:
            yield from self._listed(node[1], node[2])
        else:
            for child, _, _ in node[2]:
                yield from self._list_node(child)

    def _listed(self, ids: bytes, lengths: list[int]) -> Iterator[bytes]:
        for number, length in enumerate(lengths):
            chunk = self._chunks[ids[32 * number : 32 * number + 32]]
            assert len(chunk) == length
            yield chunk
