"""Where a job has the cache of its places: as always, or in a directory that ends with it (`cache: none`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from backupd.model.orders import Order
from backupd.operations.context import JobContext
from backupd.operations.temporary import label_of
from backupd.settings.directories import ensure
from backupd.settings.private_directories import Temporary, remove_dead
from backupd.state_errors import translated


@contextmanager
def chosen(order: Order, context: JobContext) -> Iterator[None]:
    """Have nothing kept of what is fetched for a job whose set wants that. Raises StateFullError, AccessError."""
    # What works for a caller has private directories anyway.
    if order.cache.mode != "none" or order.caller is not None:
        yield
        return
    above = ensure(context.directories.temporary)
    try:
        remove_dead(above)
        made = Temporary(above, f"{label_of(order)}-uncached")
    except OSError as error:
        raise translated(error, above) from error
    before, context.directories = context.directories, msgspec.structs.replace(context.directories, cache=made.path)
    try:
        yield
    finally:
        context.directories = before
        made.remove()


def kept_in(context: JobContext, repository: str, tag: str) -> list[str]:
    """Directories in which jobs keep what they know of a repository at a place. tag: of the place."""
    found = context.own_directories
    return [os.path.join(cache, repository, tag) for cache in (found.cache, found.stand_in_cache)]


def forget(context: JobContext, repository: str, tag: str, set_id: bytes | None) -> None:
    """Remove what jobs have kept of a repository at a place: all, or what tells of one set's files."""
    for directory in kept_in(context, repository, tag):
        if not os.path.isdir(directory):
            continue
        try:
            if set_id is None:
                shutil.rmtree(directory)
            else:
                for name in os.listdir(os.path.join(directory, "files")):
                    if name.startswith(set_id.hex()):
                        os.unlink(os.path.join(directory, "files", name))
        except FileNotFoundError:
            continue
        except OSError as error:
            context.warn(f"what was kept in {directory} could not be removed, and names files: {error.strerror}")
        if set_id is None:
            with suppress(OSError):
                # Empty, where no other place has the repository.
                os.rmdir(os.path.dirname(directory))
