"""With whose rights a set's sources are read: the user is looked up anew by each job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backupd.settings.accounts import reader_of
from backupd.source.user_rights import SourceRights, rights_of


@contextmanager
def rights_to_read(name: str | None) -> Iterator[SourceRights]:
    """That user's rights, for the block; None: our own. Raises RunAsError."""
    with rights_of(reader_of(name)) as rights:
        yield rights
