"""Sealing of the parts of an index object: pages by number, and the tail."""

from __future__ import annotations

import msgspec

from backupd.seal.cipher import Aead, Binding, derive, make_nonce, new_aead, open_sealed

_PAGE_DOMAIN = 0
_TAIL_DOMAIN = 1


class IndexSeal(msgspec.Struct, frozen=True):
    """What seals and opens one index object."""

    binding: Binding
    """Kind INDEX, and the object's name below the repository: `index/<32 hex>`."""
    key: bytes
    """The epoch's index key."""
    cipher: str

    @property
    def name(self) -> str:
        """The object's name."""
        return self.binding.name


class Parts:
    """Seals and opens the parts of one object, under the key that its salt gives."""

    def __init__(self, seal: IndexSeal, salt: bytes) -> None:
        self._binding = seal.binding
        self._aead: Aead = new_aead(seal.cipher, derive(seal.key, salt, "backupd index"))

    def seal_page(self, part: int, plain: bytes) -> bytes:
        """A sealed page. part: entry pages from 0, then segment pages."""
        return self._aead.encrypt(make_nonce(_PAGE_DOMAIN, part), plain, self._binding.associated(part, False))

    def open_page(self, part: int, data: bytes | memoryview) -> bytes:
        """The plain page. Raises SealError."""
        what = f"page {part} of {self._binding.name}"
        return open_sealed(
            self._aead, make_nonce(_PAGE_DOMAIN, part), data, self._binding.associated(part, False), what
        )

    def seal_tail(self, plain: bytes) -> bytes:
        """The sealed tail: apart from the pages by its nonce, as who reads it does not know yet how many there are."""
        return self._aead.encrypt(make_nonce(_TAIL_DOMAIN, 0), plain, self._binding.associated(0, True))

    def open_tail(self, data: bytes | memoryview) -> bytes:
        """The plain tail. Raises SealError."""
        what = f"the tail of {self._binding.name}"
        return open_sealed(self._aead, make_nonce(_TAIL_DOMAIN, 0), data, self._binding.associated(0, True), what)
