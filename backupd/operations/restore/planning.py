"""From files and the places of their chunks to tasks: each segment in one task, so decoded once (DESIGN 6). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.cache.index_table import Place
from backupd.tree.entry import Entry

TASK_BYTES = 6 << 20
"""Plain bytes of segments from which on a task takes no new ones; a worker decodes one task at a time."""
MAX_TASK_BYTES = 12 << 20
TASK_FILES = 256


class FileWish:
    """An entry to be written, and while it is written in parts, how far that is."""

    __slots__ = (
        "action",
        "content_bytes",
        "directory",
        "entry",
        "extents",
        "ids",
        "is_failed",
        "is_planned",
        "lengths",
        "name",
        "parts_left",
        "xattrs",
    )

    def __init__(self, directory: bytes, name: bytes, entry: Entry, action: int) -> None:
        """action: as in model.work."""
        self.directory, self.name, self.entry, self.action = directory, name, entry, action
        self.ids = b""
        """Of all chunks, 32 bytes each, where they stand in the entry."""
        self.lengths: Sequence[int] = ()
        self.content_bytes = 0
        self.xattrs: list[tuple[bytes, bytes]] | None = None
        self.extents = b""
        self.parts_left = 0
        """Stretches and parts that wait or are under way."""
        self.is_planned = True
        """No more parts will come."""
        self.is_failed = False

    @property
    def path(self) -> bytes:
        """Below the target."""
        return self.directory + b"/" + self.name if self.directory else self.name


class Stretch:
    """Some chunks in a row of a file that is written in parts."""

    __slots__ = ("ids", "lengths", "slots", "start", "wish")

    def __init__(self, wish: FileWish, start: int, ids: bytes, lengths: Sequence[int]) -> None:
        self.wish, self.start, self.ids, self.lengths = wish, start, ids, lengths
        self.slots: list[int] = []

    @property
    def length(self) -> int:
        """Bytes of content."""
        return sum(self.lengths)


class SegmentPlan:
    """A segment and which of its chunks are wanted."""

    __slots__ = ("place", "positions", "slots", "task")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.slots: dict[bytes, int] = {}
        """By chunk id."""
        self.positions: list[int] = []
        """In the order of `slots`."""
        self.task: TaskPlan | None = None


class TaskPlan:
    """Segments to fetch and what to write from them."""

    __slots__ = ("attempts", "base", "files", "parts", "plain_bytes", "segments", "slot_count")

    def __init__(self) -> None:
        self.segments: list[SegmentPlan] = []
        self.files: list[tuple[FileWish, list[int]]] = []
        self.parts: list[Stretch] = []
        self.plain_bytes = 0
        self.slot_count = 0
        self.attempts = 0
        """Workers that died of it."""
        self.base = 0
        """Number of its first file; the others follow, then the parts."""


class Planner:
    """Plans one window. Files go whole into one task where their segments allow it, else in parts."""

    def __init__(self) -> None:
        self.tasks: list[TaskPlan] = []
        self._segments: dict[tuple[bytes, int], SegmentPlan] = {}
        self._current = TaskPlan()

    def add_file(self, wish: FileWish, places: Sequence[Place]) -> bool:
        """Plan a file whole; false: its chunks lie too far apart, it must be written in parts."""
        if len(places) == 1:
            segment = self._segment(places[0])
            task = segment.task or self._take(segment, self._room())
            slots = [self._slot(task, segment, places[0].position, wish.ids)]
        elif not places:
            task, slots = self._room(), []
        else:
            segments = [self._segment(place) for place in places]
            found = self._common_task(segments)
            if found is None:
                return False
            task, slots = found, []
            for at, segment in enumerate(segments):
                if segment.task is None:
                    self._take(segment, task)
                slots.append(self._slot(task, segment, places[at].position, wish.ids[32 * at : 32 * at + 32]))
        task.files.append((wish, slots))
        return True

    def add_stretch(self, stretch: Stretch, places: Sequence[Place]) -> None:
        """Plan chunks in a row; they become as many parts as tasks hold their segments."""
        part: Stretch | None = None
        last: TaskPlan | None = None
        start, first = stretch.start, 0
        for at, place in enumerate(places):
            segment = self._segment(place)
            task = segment.task or self._take(segment, self._room())
            if part is None or task is not last:
                if part is not None and last is not None:
                    self._close_part(last, part, stretch, first, at)
                part, last, first = Stretch(stretch.wish, start, b"", ()), task, at
            part.slots.append(self._slot(task, segment, place.position, stretch.ids[32 * at : 32 * at + 32]))
            start += stretch.lengths[at]
        if part is not None and last is not None:
            self._close_part(last, part, stretch, first, len(places))

    def _close_part(self, task: TaskPlan, part: Stretch, whole: Stretch, first: int, end: int) -> None:
        part.ids, part.lengths = whole.ids[32 * first : 32 * end], whole.lengths[first:end]
        part.wish.parts_left += 1
        task.parts.append(part)

    def _common_task(self, segments: Sequence[SegmentPlan]) -> TaskPlan | None:
        """The task that can hold all of these segments; None: there is none."""
        tasks: list[TaskPlan] = []
        new_bytes = 0
        for segment in dict.fromkeys(segments):
            if segment.task is None:
                new_bytes += segment.place.plain_bytes
            elif segment.task not in tasks:
                tasks.append(segment.task)
        if len(tasks) > 1 or new_bytes > MAX_TASK_BYTES:
            return None
        task = tasks[0] if tasks else self._room()
        if new_bytes and task.plain_bytes + new_bytes > MAX_TASK_BYTES:
            if tasks:
                return None
            task = self._open_task()
        return task

    def _segment(self, place: Place) -> SegmentPlan:
        key = place.block_id, place.offset
        segment = self._segments.get(key)
        if segment is None:
            segment = self._segments[key] = SegmentPlan(place)
        return segment

    def _take(self, segment: SegmentPlan, task: TaskPlan) -> TaskPlan:
        segment.task = task
        task.segments.append(segment)
        task.plain_bytes += segment.place.plain_bytes
        return task

    @staticmethod
    def _slot(task: TaskPlan, segment: SegmentPlan, position: int, chunk_id: bytes) -> int:
        # By id, not by position: what an index says of two chunks is checked for each of them.
        slot = segment.slots.get(chunk_id)
        if slot is None:
            slot = segment.slots[chunk_id] = task.slot_count
            segment.positions.append(position)
            task.slot_count += 1
        return slot

    def _room(self) -> TaskPlan:
        task = self._current
        if not self.tasks or task.plain_bytes >= TASK_BYTES or len(task.files) >= TASK_FILES:
            task = self._open_task()
        return task

    def _open_task(self) -> TaskPlan:
        self._current = TaskPlan()
        self.tasks.append(self._current)
        return self._current
