"""A freeing from its first generation to its end: blocks go while index objects and drop records are tidied."""

from __future__ import annotations

from backupd.operations.context import JobContext
from backupd.operations.freeing.cleaning import Cleaner
from backupd.operations.freeing.drop_tidying import tidy_drops
from backupd.operations.freeing.index_tidying import tidy_index
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace


def clear(context: JobContext, place: OpenPlace, report: Report, cleaner: Cleaner) -> None:
    """Free, tidy, and wait until all is deleted. Raises what each does; the rest is left to the next freeing."""
    try:
        cleaner.run()
        # While the blocks are deleted: all that counts for it are the closed lists.
        tidy_index(context, place, report, cleaner.tick)
        tidy_drops(context, place, report)
        cleaner.end()
    finally:
        cleaner.close()
