"""From a set's text to the orders that job processes get; pure but for reading secrets."""

from __future__ import annotations

import os

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.errors import UsageError
from backupd.model.orders import BackupOrder, FilterWord, Limits, OwnRepository, Unlock
from backupd.model.sets import FilterText, SetText
from backupd.settings.secrets import read_secret
from backupd.sizes import parse_duration, parse_size


def backup_order(
    stored: StoredSet,
    destination: StoredDestination,
    known: StoredRepository | None,
    own: OwnRepository,
    *,
    tags: dict[str, str],
    stop_after_seconds: int | None,
    dry_run: bool,
) -> BackupOrder:
    """The order of a run at one destination. known: where the set is there already. Raises UsageError, KeyMissingError.

    The set's lock is named after the id in its snapshots, so an adopted one goes by that.
    """
    text = stored.text
    identity = known.stored_set_id if known is not None else stored.id
    secret = read_secret(text.password) if text.password is not None else None
    return BackupOrder(
        place=destination.text.place,
        unlock=Unlock(secret=secret),
        new_secret=secret if text.encryption == "password" else None,
        time_zone=text.time_zone,
        sources=[os.fsencode(path) for path in text.sources],
        set_name=text.name,
        set_id=bytes.fromhex(identity[1:]),
        own=own,
        existing=known is not None,
        filters=[filter_word(one) for one in text.filters],
        one_file_system=text.one_file_system,
        if_running="wait",
        tags={**text.tags, **tags},
        dry_run=dry_run,
        limits=Limits(
            jobs=text.jobs, polite=text.polite, stop_after_seconds=stop_after_seconds or duration(text.stop_after)
        ),
        compression=text.compression,
        deduplication=text.deduplication,
        chunk_size_bytes=parse_size(text.chunk_size) if text.chunk_size != "auto" else None,
        check_before_sending=text.check_before_sending,
        encryption=text.encryption,
        cipher=text.cipher,
        block_size_bytes=parse_size(text.block_size) if text.block_size is not None else None,
    )


def filter_word(text: FilterText) -> FilterWord:
    """A filter as orders have it. Raises UsageError unless just one of its words is given."""
    given = [(kind, value) for kind, value in (("exclude", text.exclude), ("include", text.include)) if value]
    if text.file:
        given.append(("filter-file", text.file))
    if len(given) != 1:
        raise UsageError("a filter has one of exclude, include, file", hint="write it as {exclude: '*.tmp'}")
    kind, value = given[0]
    return FilterWord(kind=kind, value=os.fsencode(value))  # type: ignore[arg-type]


def duration(text: str | None) -> int | None:
    """Seconds of a duration's text."""
    return parse_duration(text) if text is not None else None


def restore_hint(text: SetText) -> str:
    """The command that brings all of a set back."""
    return f"bkctl restore {text.name} --to restored"
