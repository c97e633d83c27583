"""Which directories a run is going to enter: of what it does not no snapshot is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.model.explain_order import ExplainOrder
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.operations.context import JobContext
from backupd.operations.explain import Explaining


class Reading:
    """Decides as the walk of the run does."""

    def __init__(self, order: FsSnapshotOrder, context: JobContext, sources: Sequence[bytes]) -> None:
        """order: without shortcuts. sources: real paths, with those that are there for filters. Raises UsageError."""
        self._sources = [source.rstrip(b"/") + b"/" for source in sources]
        wanted = ExplainOrder(
            place="",
            set_name="",
            paths=[],
            sources=order.sources,
            filters=order.filters,
            filter_words=order.filter_words,
            one_file_system=order.one_file_system,
            run_as=order.run_as,
        )
        self._explaining = Explaining(wanted, context)

    def enters(self, path: bytes) -> bool:
        """Whether a run enters a directory, or goes through it to a source; also where nobody can tell. path: real."""
        if any(source.startswith(path.rstrip(b"/") + b"/") for source in self._sources):
            return True
        found = self._explaining.explain(path)
        return found.is_in or found.reason in ("unreadable", "no_source")
