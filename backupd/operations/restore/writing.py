"""From entries to written files: windows of wishes are looked up, planned, handed out, and tried again elsewhere."""

from __future__ import annotations

import msgspec

from backupd.cache.index_table import Place
from backupd.errors import DamageError, TargetError
from backupd.model import work
from backupd.model.results import ProblemKind
from backupd.operations.restore import parts, wishes
from backupd.operations.restore.crew import Crew
from backupd.operations.restore.finding import ChunkFinder
from backupd.operations.restore.outcome import Outcome
from backupd.operations.restore.planning import FileWish, Planner, SegmentPlan, Stretch, TaskPlan
from backupd.target.directories import Directories
from backupd.target.owners import OwnerMap
from backupd.tree import entry as entries
from backupd.tree.entry import Chunks, ChunkTree, Entry, Kind
from backupd.tree.nodes import Load

WHOLE_BYTES = 8 << 20
"""Files of more content are written in parts."""
_FIRST_WINDOW_FILES = 256
_WINDOW_FILES = 16_384
_WINDOW_BYTES = 128 << 20
_WINDOW_IDS_BYTES = 4 << 20
"""Of a file of tiny chunks, so many ids fill a window before its bytes do."""
_TURN_FILES = 64
_QUEUE_TASKS = 8
_OPEN_PARTS = 128


class Writing:
    """Takes entries that are to be written and sees to it that they are."""

    def __init__(
        self, crew: Crew, finder: ChunkFinder, load: Load, directories: Directories, owners: OwnerMap, outcome: Outcome
    ) -> None:
        self._crew, self._finder, self._load, self._outcome = crew, finder, load, outcome
        self._parts = parts.PartFiles(directories, owners)
        self._items: list[FileWish | Stretch] = []
        self._ids = bytearray()
        self._bytes = 0
        self._limit = _FIRST_WINDOW_FILES
        self._numbers = 0
        self._last: FileWish | None = None
        self._failed_groups: set[bytes] = set()
        crew.serve(self._prepare, self._take)

    def add(self, directory: bytes, name: bytes, entry: Entry, action: int) -> None:
        """Write an entry. action: as in model.work. Raises what ends the restore."""
        wish = FileWish(directory, name, entry, action)
        try:
            lost = wishes.complete(wish, self._load)
            if lost:
                self._outcome.note(wish.path, "damaged", lost)
            if entry.kind == Kind.FILE and action != work.REFRESH and entry.content is not None:
                self._add_content(wish, entry)
            else:
                self._items.append(wish)
        except DamageError as error:
            self._fail(wish, "damaged", error.message)
            return
        if not len(self._items) % _TURN_FILES:
            self._last = wish
            self._turn(wait=False)
        if len(self._items) >= self._limit or self._bytes >= _WINDOW_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand out what was added so far; waits while much is queued already."""
        items, ids = self._items, bytes(self._ids)
        self._items, self._ids, self._bytes = [], bytearray(), 0
        self._limit = min(4 * self._limit, _WINDOW_FILES)
        planner = Planner()
        places, at = self._finder.find(ids), 0
        for item in items:
            count = len(item.ids) // 32
            self._plan(planner, item, places[at : at + count])
            at += count
        for task in planner.tasks:
            self._crew.add(task)
        crew = self._crew
        while crew.queued_count > _QUEUE_TASKS * crew.size or (len(self._parts) > _OPEN_PARTS and not crew.is_idle):
            self._turn(wait=True)

    def drain(self) -> None:
        """Wait until all that was added is written or has failed."""
        while self._items or not self._crew.is_idle:
            if self._items:
                self.flush()
            self._turn(wait=True)

    def abandon(self) -> None:
        """Delete what is written in parts and not whole."""
        self._parts.abandon_all()

    def has_failed(self, group: bytes) -> bool:
        """Whether the name of a hard link group that was to be written could not be; asked once."""
        if group in self._failed_groups:
            self._failed_groups.discard(group)
            return True
        return False

    def _turn(self, wait: bool) -> None:
        self._crew.turn(wait)
        if self._last is not None:
            self._outcome.progress(self._last.path)

    # Wishes

    def _add_content(self, wish: FileWish, entry: Entry) -> None:
        content = entry.content
        if isinstance(content, ChunkTree) or wish.content_bytes > WHOLE_BYTES:
            self._add_long(wish, entry)
            return
        if isinstance(content, Chunks):
            wish.ids, wish.lengths = content.ids, content.lengths
        elif isinstance(content, bytes):
            wish.ids, wish.lengths = content, (wish.content_bytes,)
        self._items.append(wish)
        self._ids += wish.ids
        self._bytes += wish.content_bytes

    def _add_long(self, wish: FileWish, entry: Entry) -> None:
        """A file in stretches, over as many windows as it takes."""
        wish.is_planned = False
        done = 0
        try:
            for stretch in wishes.stretches(wish, self._load):
                done += stretch.length
                if done > wish.content_bytes or wish.is_failed:
                    break
                self._add_stretch(stretch)
                if self._bytes >= _WINDOW_BYTES or len(self._ids) >= _WINDOW_IDS_BYTES:
                    self.flush()
                self._last = wish
                self._turn(wait=False)
            if done != wish.content_bytes:
                self._fail(wish, "damaged", f"its chunks have {done} bytes where {wish.content_bytes} are announced")
        except DamageError as error:
            self._fail(wish, "damaged", error.message)
        wish.is_planned = True
        self._finish_if_whole(wish)

    def _add_stretch(self, stretch: Stretch) -> None:
        stretch.wish.parts_left += 1
        self._items.append(stretch)
        self._ids += stretch.ids
        self._bytes += stretch.length

    def _plan(self, planner: Planner, item: FileWish | Stretch, places: list[Place | None]) -> None:
        wish = wishes.wish_of(item)
        if wish.is_failed:
            return
        known = [place for place in places if place is not None]
        if len(known) < len(places):
            self._fail(wish, "damaged", self._finder.explain(item.ids, places))
        elif isinstance(item, Stretch):
            planner.add_stretch(item, known)
            wish.parts_left -= 1
        elif not planner.add_file(item, known):
            planner.add_stretch(Stretch(item, 0, item.ids, item.lengths), known)

    # Tasks

    def _prepare(self, number: int, task: TaskPlan) -> work.FetchTask:
        """The message of a task; files that are written in parts are created here, when their first part goes out."""
        directories: dict[bytes, int] = {}
        files = []
        task.base = self._numbers
        for at, (wish, slots) in enumerate(task.files):
            action = work.REPLACE if task.attempts and wish.action == work.CREATE else wish.action
            index = directories.setdefault(wish.directory, len(directories))
            entry = entries.encode(wish.entry)
            files.append(
                work.TargetFile(task.base + at, index, wish.name, entry, slots, action, wish.xattrs, wish.extents)
            )
        self._numbers += len(task.files)
        messages = []
        for at, part in enumerate(task.parts):
            message = self._prepare_part(self._numbers + at, part, directories)
            if message is not None:
                messages.append(message)
        self._numbers += len(task.parts)
        segments = [_order(segment) for segment in task.segments]
        return work.FetchTask(number, task.slot_count, list(directories), segments, files, messages)

    def _prepare_part(self, number: int, part: Stretch, directories: dict[bytes, int]) -> work.TargetPart | None:
        wish = part.wish
        if wish.is_failed:
            return None
        try:
            name, identity = self._parts.open(wish)
        except TargetError as error:
            self._fail(wish, "unwritable", error.message)
            return None
        index = directories.setdefault(wish.directory, len(directories))
        return work.TargetPart(
            number, index, name, identity, part.start, part.length, part.slots, wish.entry.size, wish.extents
        )

    def _take(self, task: TaskPlan, done: work.FetchDone | None) -> None:
        outcome = self._outcome
        if done is None:
            for wish in [wish for wish, _ in task.files] + [part.wish for part in task.parts]:
                self._fail(wish, "unwritable", "writing it ended the worker process, three times")
            return
        outcome.fetched_bytes += done.fetched_bytes
        outcome.read_back_bytes += done.read_back_bytes
        for block_id in done.healed:
            outcome.healed.note(block_id)
        failed: set[int] = set()
        reason = ""
        for result in done.results:
            reason = result.problem or reason
            at = result.number - task.base
            is_part = at >= len(task.files)
            item = task.parts[at - len(task.files)] if is_part else task.files[at][0]
            if result.problem_kind:
                failed.add(at)
                self._take_failure(task, item, msgspec.structs.replace(result, problem=reason))
            elif result.losses and isinstance(item, FileWish):
                self._note_losses(item, result.losses)
        for at, (wish, _) in enumerate(task.files):
            if at not in failed:
                self._count(wish)
        for part in task.parts:
            part.wish.parts_left -= 1
            self._finish_if_whole(part.wish)

    def _take_failure(self, task: TaskPlan, item: FileWish | Stretch, result: work.FetchResult) -> None:
        wish = wishes.wish_of(item)
        if wish.is_failed:
            return
        if result.lost and self._finder.try_elsewhere(task, result.lost, result.problem):
            if isinstance(item, FileWish):
                self._items.append(item)
                self._ids += item.ids
            else:
                self._add_stretch(Stretch(wish, item.start, item.ids, item.lengths))
            return
        kind: ProblemKind = "damaged" if result.problem_kind == "damaged" else "unwritable"
        self._fail(wish, kind, result.problem)

    def _finish_if_whole(self, wish: FileWish) -> None:
        if not wish.is_planned or wish.parts_left or wish.is_failed:
            return
        try:
            losses = self._parts.finish(wish)
        except TargetError as error:
            self._fail(wish, "unwritable", error.message)
            return
        if losses:
            self._note_losses(wish, losses)
        self._count(wish)

    def _count(self, wish: FileWish) -> None:
        outcome = self._outcome
        outcome.done_files += 1
        if wish.action == work.REFRESH:
            outcome.done_bytes += wish.entry.size
            outcome.same += 1
            return
        outcome.done_bytes += wish.entry.size
        outcome.restored += 1
        if wish.entry.kind == Kind.FILE:
            outcome.restored_bytes += wish.entry.size

    def _note_losses(self, wish: FileWish, losses: list[str]) -> None:
        self._outcome.note(wish.path, "metadata", "; ".join(losses))

    def _fail(self, wish: FileWish, kind: ProblemKind, message: str) -> None:
        if wish.is_failed:
            return
        wish.is_failed = True
        self._parts.abandon(wish)
        group = wish.entry.extra.hard_link if wish.entry.extra is not None else None
        if group is not None:
            self._failed_groups.add(group)
        self._outcome.done_files += 1
        self._outcome.done_bytes += wish.entry.size
        self._outcome.fail(wish.path, kind, message)


def _order(segment: SegmentPlan) -> work.SegmentOrder:
    place, slots = segment.place, segment.slots
    return work.SegmentOrder(
        place.block_id, place.offset, place.stored_bytes, segment.positions, b"".join(slots), list(slots.values())
    )
