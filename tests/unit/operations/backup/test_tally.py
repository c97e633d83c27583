"""What a run counts of each file."""

from __future__ import annotations

import os

import msgspec

from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.tally import Tally
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Kind

_ONE = Entry(b"a", Kind.FILE, 0o644, 0, 0, 1, 10, os.urandom(32))


def _nothing(*_: object) -> None:
    pass


def _encoded(**fields: object) -> bytes:
    return entries.encode(msgspec.structs.replace(_ONE, **fields))


def test_files_are_counted_by_what_became_of_them() -> None:
    tally = Tally(_nothing, _nothing, FileStates(None, _nothing))
    assert tally.count(_encoded(), _encoded(), 10)
    assert not tally.count(b"", _encoded(), 10)
    assert not tally.count(_encoded(), _encoded(mode=0o600), 10)
    assert not tally.count(_encoded(), _encoded(size=30, content=os.urandom(32)), 30)
    files, sizes = tally.file_counts(), tally.byte_counts(0)
    assert (files.same, files.new, files.changed, files.attributes) == (1, 1, 2, 1)
    assert (sizes.new_files, sizes.changed_files, sizes.attributes_files) == (10, 40, 10)


def test_a_new_file_is_not_decoded() -> None:
    """A first backup has millions of them, and one thread counts them."""
    tally = Tally(_nothing, _nothing, FileStates(None, _nothing))
    assert not tally.count(b"", b"no entry", 7)
    assert (tally.new, tally.new_file_bytes) == (1, 7)
