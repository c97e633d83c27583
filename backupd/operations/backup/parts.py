"""All destinations of a run: each talks to its store in a thread of its own, and one that fails harms no other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from backupd.clock import Clock
from backupd.errors import BackupError, DestinationError, SomeDestinationsError
from backupd.operations.backup.basing import Base
from backupd.operations.backup.part import Part
from backupd.repository.engine import StoreEngine
from backupd.repository.lanes import OF_A_LANE, Lanes
from backupd.snapshot.records import Snapshot
from backupd.store_errors import StoreLaggingError

Step = Callable[[Part], None]


class Parts:
    """The destinations of a run. With one alone everything is done in the caller's thread, its errors raised."""

    def __init__(
        self, parts: Sequence[Part], addresses: Sequence[str], unopened: Mapping[int, BackupError], clock: Clock
    ) -> None:
        """addresses: of all places of the order. unopened: errors by number of those that have no part."""
        self.all, self.addresses, self._unopened, self._clock = list(parts), addresses, unopened, clock
        self.lanes: Lanes | None = None
        """Of the engine that runs now."""
        self._busy: dict[int, _Work] = {}
        self.newest: list[Snapshot] = []
        """The newest complete snapshot of those in step, and that of all where it is another one."""

    def __iter__(self) -> Iterator[Part]:
        """The healthy ones."""
        return iter([part for part in self.all if part.error is None])

    @property
    def lead(self) -> Part:
        """The first healthy one: its caches are used and written."""
        return next(iter(self))

    @property
    def ready(self) -> list[Part]:
        """Healthy ones that no former step keeps busy."""
        self._take_ended()
        return [part for part in self if id(part) not in self._busy]

    @property
    def committed(self) -> list[Part]:
        """Those that have the run's snapshot."""
        return [part for part in self.all if part.snapshot is not None]

    def each(self, parts: Sequence[Part], step: Step, seconds: float | None = None) -> None:
        """Do a step for each at the same time. seconds: how long to wait for all; who is slower stays busy.

        Raises the error of the last healthy one, and what is no destination's own.
        """
        for part in parts:
            self.begin(part, step)
        self.wait(seconds)

    def begin(self, part: Part, step: Step) -> None:
        """Begin a step for one; `ready` and `wait` hear of its end."""
        if len(self.addresses) == 1:
            step(part)
        else:
            self._busy[id(part)] = _Work(part, step)

    def wait(self, seconds: float | None = None) -> None:
        """Wait for all that is busy, so long at most. Raises as `each`."""
        end = self._clock.monotonic() + seconds if seconds is not None else None
        for work in list(self._busy.values()):
            work.thread.join(max(0.0, end - self._clock.monotonic()) if end is not None else None)
        self._take_ended()

    def look_at_space(self, engine: StoreEngine) -> None:
        """End what is about to be full, or to pass its quota, while there is room to end well."""
        for part in list(self):
            try:
                part.look_at_space(engine)
            except DestinationError as error:
                if len(self.addresses) == 1:
                    raise
                self.fail(part, error)

    def is_full(self, error: BackupError) -> bool:
        """Whether it says that there is just room for what a run leaves at its end."""
        return any(part.space.is_end(error) for part in self)

    def fail(self, part: Part, error: BackupError | OSError) -> None:
        """A destination came to its end. Raises the error where it is the last one, or none of a destination's."""
        if not isinstance(error, OF_A_LANE):
            raise error
        part.end(error)
        if self.lanes is not None and part.lane is not None:
            self.lanes.end(part.lane, error)
        if not any(self):
            raise error

    # What they build on

    def leave_laggards(self) -> None:
        """Those that have not what most have, or the newest of it, are filled from the others later.

        The rest is in step: what the caches vouch for lies at each of them. Who has nothing yet leads nobody.
        """
        votes = Counter(part.base.newest_root for part in self)

        def rank(part: Part) -> tuple[bool, int, int]:
            return part.base.newest is not None, votes[part.base.newest_root], part.base.newest_ns

        front = max(self, key=rank)
        newest = max((part.base for part in self), key=lambda base: base.newest_ns)
        # What the set held last may lie where most have not got it yet.
        self.newest = [base.newest for base in (front.base, newest) if base.newest is not None]
        for part in list(self):
            if part.base.newest_root != front.base.newest_root or part.keys != front.keys:
                place = part.place.whole.shown
                hint = "it is filled from the others: bkctl destination replicate"
                self.fail(part, StoreLaggingError(f"{place} lacks the set's newest snapshot", hint=hint))

    def joined_base(self) -> Base:
        """The first one's base, as far as all the others vouch for it, too."""
        base = self.lead.base
        for part in self:
            part.check_base(base)
            if part.base is not base:
                part.base.forget_caches()
        base.is_asked = any(part.base.is_asked for part in self)
        base.resumed_from_ns = min((p.base.resumed_from_ns for p in self if p.base.resumed_from_ns), default=0)
        return base

    @property
    def account_bytes(self) -> dict[int, int]:
        """What the account holds at each, where that was counted; by number of the place in the order."""
        return {part.number: part.account.held_bytes for part in self.all if part.account is not None}

    # How they ended

    @property
    def errors(self) -> dict[int, BackupError]:
        """By number of the place in the order: why nothing was committed there, else what is wrong there."""
        alarms = {part.number: part.alarm for part in self.all if part.alarm is not None}
        ended = {part.number: part.error for part in self.all if part.error is not None}
        return {**self._unopened, **alarms, **ended}

    def some(self) -> SomeDestinationsError:
        """What is told where one at least has the snapshot and another has not."""
        number, error = min(self.errors.items())
        count = len(self.addresses)
        return SomeDestinationsError(
            f"stored on {len(self.committed)} of {count} destinations; {self.addresses[number]}: {error.message}",
            hint=error.hint,
        )

    def close(self) -> None:
        """Leave all journals and caches that are not used."""
        for part in self.all:
            part.close()

    def _take_ended(self) -> None:
        ended = [work for work in self._busy.values() if not work.thread.is_alive()]
        for work in ended:
            del self._busy[id(work.part)]
        for work in ended:
            if work.error is not None:
                self.fail(work.part, work.error)


class _Work:
    """A step of one destination, on its thread."""

    def __init__(self, part: Part, step: Step) -> None:
        self.part, self._step = part, step
        self.error: BackupError | OSError | None = None
        self.thread = threading.Thread(target=self._run, name="destination", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._step(self.part)
        except (BackupError, OSError) as error:
            self.error = error
        except BaseException as error:
            # A defect: who waits must hear of it all the same.
            self.error = BackupError(f"a destination's part could not be done: {type(error).__name__}: {error}")
            raise
