"""History cut anew: each snapshot of a set in turn, the newest first, by a session of its own (docs/protocol.md)."""

from __future__ import annotations

from tests.model.dropping import drop
from tests.model.looking import Lists, load_damage, load_drops, load_index, load_lists
from tests.model.store import BAD, Get, Steps, Value, create, dropped_names, listed
from tests.model.world import Journal, State, World
from tests.model.writer import EndedError, Writer, end_own_session, forget_session


class Recutter:
    """Of one set. It holds the set's lock in that state."""

    def __init__(self, world: World, state: State, set_name: str) -> None:
        self.world, self.state, self.set = world, state, set_name
        self.relied: list[str] = []
        """Snapshots that were written here."""
        self.made: set[str] = set()
        """Chunks that were stored for them."""
        self.damage: frozenset[str] = frozenset()
        """Damage records that there were when that began."""

    def run(self) -> Steps:
        """All of it: each is written, then the old ones are dropped. Raises UnreadableError."""
        journal = self.state.journals.get(self.set)
        if journal is not None:
            yield from end_own_session(self.world, journal)
            del self.state.journals[self.set]
        lists: Lists = yield from load_lists(self.world)
        names = [name for name in (yield from listed(f"snapshots/{self.set}/")) if name not in lists.void]
        replaced: list[tuple[str, str]] = []
        for old in reversed(names):
            value = yield Get(old)
            if value is not None and any(_cut(chunk) != chunk for chunk in value["files"].values()):
                step = _Step(self, old, value)
                if (yield from step.run()):
                    self.made |= step.fresh
                    self.relied.append(step.name)
                    replaced.append((old, step.name))
                elif self.set in self.state.journals:
                    # Ended by another, or it counted less than it stored: the next run goes on.
                    break
        yield from self._drop(replaced)

    def see_what_stands(self, damage: frozenset[str]) -> Steps:
        """A session is posted that names what was written here: forget what was made where it may be gone."""
        drops = yield from load_drops(self.world)
        void = dropped_names((name, value) for name, value in drops.items() if value is not BAD)
        standing = set((yield from listed(f"snapshots/{self.set}/"))) - void
        protocol = self.world.protocol
        is_gone = protocol.sees_relied_snapshots and not standing >= set(self.relied)
        if is_gone or (protocol.minds_damage and not damage <= self.damage):
            self.made = set()
            self.damage = damage

    def _drop(self, replaced: list[tuple[str, str]]) -> Steps:
        """The old ones, but for those whose new one was dropped meanwhile: who did it saw both, and chose one."""
        since = self.world.now
        lists: Lists = yield from load_lists(self.world)
        standing = set((yield from listed(f"snapshots/{self.set}/"))) - lists.void
        for old, new in replaced:
            if new in standing or not self.world.protocol.drops_where_new_stands:
                self.world.choose(new, since)
                yield from drop(self.world, [old], stands_in=new)


class _Step(Writer):
    """One snapshot."""

    def __init__(self, whole: Recutter, old: str, value: Value) -> None:
        super().__init__(whole.world, whole.state, whole.set)
        self._whole, self._old, self._value = whole, old, value
        self.fresh: set[str] = set()
        """Chunks that this one asked for: only what was committed is relied on later."""
        # The same time as the old one.
        self.name = f"{old.rpartition('-')[0]}-{self.session}"
        self.bases = [old, *(whole.relied if self.world.protocol.names_relied_as_bases else [])]

    def run(self) -> Steps:
        """Whether the new one stands. Raises UnreadableError."""
        try:
            return (yield from self._run())
        except EndedError:
            return False

    def _run(self) -> Steps:
        former: Lists = yield from self._load_lists()
        self.older_drops = former.drops
        self.state.journals[self.set] = Journal(self.session, self.name)
        yield from self._post()
        lists: Lists = yield from self._load_lists()
        self.listed_blocks |= lists.absent()
        self.honours = lists.newest
        self.damage, bad, retired = yield from load_damage()
        self.bad_blocks = bad | retired
        self.places = yield from load_index()
        again: Lists = yield from self._load_lists()
        is_unknown = self.world.protocol.minds_unread_drops_of_bases and again.unread
        if (yield Get(self._old)) is None or self._old in again.void or is_unknown:
            yield from self._abandon()
            return False
        if self._old in self.world.doubtful:
            self.world.doubtful.add(self.name)
        yield from self._whole.see_what_stands(self.damage)
        if not (yield from self._cut_all()):
            yield from self._abandon()
            return False
        yield from self._publish()
        if not (yield from self._has_all()):
            return False
        yield from self._see_that_nobody_ended_it()
        self.relied_bases = list(self.bases)
        is_ours = yield from self._create_name(self._value["n"])
        if is_ours:
            self._commit_new()
            del self.state.journals[self.set]
        yield from forget_session(self.world, self.session, self.name)
        return is_ours and (yield from self._sees_old_one())

    def _cut_all(self) -> Steps:
        """Store what the new tree does not share with the old one; False where that can't be read."""
        for path, chunk in sorted(self._value["files"].items()):
            self.files[path] = _cut(chunk)
            if _cut(chunk) != chunk and _cut(chunk) not in self._whole.made | self.fresh:
                if not (yield from self._reads(chunk)):
                    return False
                yield from self._keep(_cut(chunk))
                self.fresh.add(_cut(chunk))
                if not self.world.protocol.relies_on_committed:
                    self._whole.made.add(_cut(chunk))
                yield from self._checkpoint_without()
        return True

    def _checkpoint_without(self) -> Steps:
        """Posts go on, without a checkpoint."""
        yield from self._publish()
        yield from self._post(honours=True)

    def _reads(self, chunk: str) -> Steps:
        for block in sorted(self.places.get(chunk, set())):
            if (yield Get(f"blocks/{block}")) not in (None, BAD):
                return True
        return False

    def _commit_new(self) -> None:
        world = self.world
        shares = any(_cut(chunk) == chunk for chunk in self._value["files"].values())
        # Of damage it was told no more than who wrote the old one, of which it takes something over.
        world.commit(self.name, world.committed.get(self._old, frozenset()) if shares else self.damage)
        if self._old in world.doubtful:
            world.doubtful.add(self.name)

    def _sees_old_one(self) -> Steps:
        """Where the old one was dropped meanwhile, the new one is dropped, too."""
        drops = yield from load_drops(self.world, self.known)
        void = dropped_names((name, value) for name, value in drops.items() if value is not BAD)
        if self._old in void and self.world.protocol.drops_new_with_old:
            yield from drop(self.world, [self.name])
            return False
        self.world.keep(self._old, self.name)
        return True

    def _abandon(self) -> Steps:
        yield from create(f"gc/drop-{self.world.draw('d')}", {"names": [self.name]})
        del self.state.journals[self.set]
        yield from forget_session(self.world, self.session, self.name)


def _cut(chunk: str) -> str:
    return chunk if chunk[0] in "rt" else f"r{chunk}"
