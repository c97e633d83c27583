"""Blocks that the store retains until a day: they are no candidates, and told as waiting (DESIGN 8.6)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from backupd.block.layout import block_name
from backupd.cache import known_locks
from backupd.destination.contract import Forwarding
from backupd.errors import AccessError, ObjectMissingError, StateError, StateFullError
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report, Waiting
from backupd.operations.places import OpenPlace
from backupd.rules import moments
from backupd.rules.space_plan import SpacePlan, Use
from backupd.sizes import format_bytes
from backupd.store_errors import ObjectLockedError

_AT_ONCE = 8
_OWNER = "freeing"


class LockedBlocks:
    """Of one freeing at one place."""

    def __init__(self, context: JobContext, place: OpenPlace, report: Report, tick: Callable[[], None]) -> None:
        """tick: called after each look; raises the stop that was asked for."""
        self._context, self._report, self._tick = context, report, tick
        self._place = Forwarding(place.repository.place)
        self._id = place.repository.text_id
        self._cache = place.cache
        self._does_lock: bool | None = None
        self._until: dict[bytes, int] = {}
        self._held: set[bytes] = set()
        """What would be free without its lock."""
        self._held_bytes = self._first_ns = self._last_ns = 0

    def leave_out(self, uses: list[Use], plan: Callable[[list[Use]], SpacePlan]) -> SpacePlan:
        """The plan of all blocks but those locked ones that it would take."""
        planned = plan(uses)
        while wanted := self._locked(planned):
            uses = [use for use in uses if use.block_id not in wanted]
            planned = plan(uses)
        return planned

    def refused(self, block_id: bytes, size_bytes: int, error: ObjectLockedError) -> None:
        """A block was locked since it was looked at, or this login may not see locks."""
        self._note(block_id, size_bytes, int(error.context.get("until_ns", 0)))

    def _locked(self, planned: SpacePlan) -> set[bytes]:
        """Those of the plan's blocks that are locked now."""
        found = {use.block_id: use.size_bytes for use in planned.dead}
        found |= {use.block_id: use.dead_bytes for use in planned.rewritten}
        if not found or not self.is_locking:
            return set()
        self._look(sorted(found.keys() - self._until.keys()))
        now_ns = self._context.clock.now_ns()
        locked = {block_id for block_id in found if self._until[block_id] > now_ns}
        for block_id in locked:
            self._note(block_id, found[block_id], self._until[block_id])
        return locked

    @property
    def is_locking(self) -> bool:
        """Whether anything there may be locked."""
        if self._does_lock is None:
            self._does_lock = bool(self._place.keeping().locks) or self._place.lock_rule is not None
        return self._does_lock

    def _look(self, blocks: list[bytes]) -> None:
        """Ask the store, where this host does not know of a lock that holds still."""
        if not blocks:
            return
        rule, now_ns = self._place.lock_rule, self._context.clock.now_ns()
        # What is not under compliance may have been set free by hand.
        is_firm = rule is not None and rule.mode == "compliance"
        known = known_locks.load_all(self._cache) if is_firm else {}
        unknown = [block_id for block_id in blocks if known.get(block_name(block_id), 0) <= now_ns]
        self._until |= {block_id: known.get(block_name(block_id), 0) for block_id in blocks}

        def look(block_id: bytes) -> tuple[bytes, int]:
            try:
                return block_id, self._place.locked_until(block_name(block_id)) or 0
            except ObjectMissingError:
                return block_id, 0

        with ThreadPoolExecutor(_AT_ONCE if self._place.traits.parallel_calls else 1, "locks") as pool:
            for block_id, until_ns in pool.map(look, unknown):
                self._until[block_id] = until_ns
                self._tick()
        if not is_firm:
            return
        path = known_locks.path_of(self._cache, _OWNER)
        held = {block_name(block_id): until_ns for block_id, until_ns in self._until.items() if until_ns > now_ns}
        try:
            known_locks.keep(path, held)
        except (StateFullError, AccessError, StateError) as error:
            self._context.warn(f"{error.message}; the next freeing asks for locks anew")

    def _note(self, block_id: bytes, held_bytes: int, until_ns: int) -> None:
        self._until[block_id] = until_ns
        if block_id in self._held:
            return
        self._held.add(block_id)
        self._held_bytes += held_bytes
        self._first_ns = min(until_ns, self._first_ns or until_ns)
        self._last_ns = max(until_ns, self._last_ns)
        first, last = (moments.rfc3339(one, self._context.zone) for one in (self._first_ns, self._last_ns))
        count = len(self._held)
        blocks = "1 block is" if count == 1 else f"{count:,} blocks are"
        until = f"until {last}" if first == last else f"the first until {first}, the last until {last}"
        text = f"{blocks} locked at the store and retained {until}: {format_bytes(self._held_bytes)}"
        self._report.locked = Waiting("lock", self._id, text, last)
