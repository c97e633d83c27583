"""What a running writer makes of gc lists: it honours each, and says which of their blocks it goes on relying on.

A list that is there when it begins: nothing of it is used. Of one that comes while it runs, what was relied on before
is kept (`keeps` of its announcements), and the rest is not used from then on (DESIGN 8.1).
"""

from __future__ import annotations

import threading

from backupd.cache.index_tables import IndexTables
from backupd.repository.records import GcState, Records
from backupd.snapshot import naming


class Honouring:
    """Of one session. `announced` may be called from any thread, the rest from one at a time."""

    def __init__(self, records: Records, tables: IndexTables) -> None:
        """tables: remember from now on what they answer."""
        self._records, self._tables = records, tables
        self._lock = threading.Lock()
        self._own: set[bytes] = set()
        self._absent: set[bytes] = set()
        self._closed: list[int] = []
        self.honours = 0
        """The newest generation that this writer goes by."""
        self.keeps: set[bytes] = set()
        """Blocks of lists that it relied on before it knew them."""
        tables.remember_answers()

    def begin(self, state: GcState) -> bool:
        """Nothing was asked yet. state: as the tables know it. Whether a cleaner waits to hear that it is honoured."""
        self._absent, self.honours, self._closed = set(state.absent), state.newest, state.closed_lists
        return bool(state.open_lists)

    def announced(self, block_id: bytes) -> None:
        """A block of the session's own is about to be sent: whoever lists it finds no snapshot that needs it yet."""
        with self._lock:
            self._own.add(block_id)

    def is_new_list_there(self) -> bool:
        """Whether a generation was begun that this writer does not go by yet, or all is being deleted; one listing."""
        listed = [info.name for info in self._records.place.list("gc/")]
        names = map(naming.parse_gc_name, listed)
        return any(map(naming.is_purge_name, listed)) or any(n is not None and n[0] > self.honours for n in names)

    def look(self) -> None:
        """Go by all lists that are there. Raises DamageError and others for one that can't be read."""
        state = self._records.gc_state()
        fresh = state.absent - self._absent
        if fresh:
            relied = self._tables.set_aside(fresh)
            with self._lock:
                self.keeps |= relied | fresh & self._own
            self._absent |= fresh
        self.honours, self._closed = max(self.honours, state.newest), state.closed_lists

    def may_lack(self) -> bool:
        """Whether a cleaner may have given free, or be about to, what this writer relies on; of one that was ended.

        All that goes is named by a list: one that was closed since the last look, or that is open still. Raises as
        `look`.
        """
        state = self._records.gc_state()
        return bool(state.open_lists) or state.closed_lists != self._closed
