"""A writer: its session, checkpoints and commit; how the session of one that is gone is ended (DESIGN 7, 8.1, 8.2)."""

from __future__ import annotations

from tests.model.dropping import drop
from tests.model.looking import Lists, load_damage, load_index, load_lists, load_retired
from tests.model.store import BAD, Delete, Get, Steps, Value, Wait, create, listed
from tests.model.world import HOUR, Cache, Journal, State, World

_FILES_A_CHECKPOINT = 1


class Writer:
    """One run of a set from one state. It holds the set's lock in that state."""

    def __init__(self, world: World, state: State, set_name: str) -> None:
        self.world, self.state, self.set = world, state, set_name
        self.session = world.draw("s")
        start = int(world.now + state.skew) + 500 * 24 * 3600
        self.name = f"snapshots/{set_name}/{start:012d}-{self.session}"
        self.n = -1
        self.bases: list[str] = []
        self.honours = -1
        self.listed_blocks: set[str] = set()
        """Of gc lists: no such block is relied on anew."""
        self.bad_blocks: set[str] = set()
        self.keeps: set[str] = set()
        self.relied: set[str] = set()
        self.own: dict[str, list[str]] = {}
        self.unpublished: list[str] = []
        self.files: dict[str, str] = {}
        self.damage: frozenset[str] = frozenset()
        self.places: dict[str, set[str]] = {}

    def run(self) -> Steps:
        """All of it."""
        state, protocol = self.state, self.world.protocol
        journal = state.journals.get(self.set)
        if journal is not None:
            # We hold the set's lock in that very state: nobody else writes to it.
            yield from end_session(self.world, journal.session)
        former: Lists = yield from load_lists(self.world)
        names = yield from listed(f"snapshots/{self.set}/")
        yield from self._choose_bases([name for name in names if name not in former.void])
        early: Lists | None = None
        if not protocol.posts_before_loading:
            early = yield from load_lists(self.world)
        state.journals[self.set] = Journal(self.session, self.name)
        yield from self._post()
        lists: Lists = early or (yield from load_lists(self.world))
        if protocol.minds_lists:
            self.listed_blocks |= lists.absent()
        self.honours = lists.newest
        self.damage, self.bad_blocks = yield from load_damage()
        self.bad_blocks |= yield from load_retired()
        self.places = yield from load_index()
        if journal is not None:
            yield from self._adopt(journal)
        base = yield from self._usable_base(lists)
        yield from self._store(base)
        yield from self._publish()
        if (yield from self._has_all()):
            yield from self._commit()

    def _choose_bases(self, names: list[str]) -> Steps:
        """The newest complete snapshot and every partial one since."""
        for name in reversed(names):
            value = yield Get(name)
            if value is not None:
                self.bases.append(name)
                if value["n"] < 0:
                    return

    def _usable_base(self, lists: Lists) -> Steps:
        """Files that need no asking: those of the cache's snapshot, where it is still there after posting."""
        cache = self.state.caches.get(self.set)
        if cache is None or cache.name not in self.bases:
            return {}
        if self.world.protocol.looks_at_drops_before_base and cache.name in lists.void:
            return {}
        if self.world.protocol.minds_damage and self.damage - cache.damage:
            return {}
        standing = yield Get(cache.name)
        return cache.files if standing is not None and standing["n"] == cache.n else {}

    def _adopt(self, journal: Journal) -> Steps:
        """Publish what the former writer of this state stored and no index and no gc list names."""
        known = set().union(*self.places.values()) if self.places else set()
        for block, chunks in journal.blocks.items():
            if block in known or block in self.listed_blocks:
                continue
            standing = yield Get(f"blocks/{block}")
            if standing is not None and standing is not BAD:
                self.own[block] = chunks
                self.relied.add(block)
                self.unpublished.append(block)
                self.state.journals[self.set].blocks[block] = chunks
                for chunk in chunks:
                    self.places.setdefault(chunk, set()).add(block)

    def _store(self, base: dict[str, str]) -> Steps:
        source = dict(self.world.sources[self.set])
        for number, (path, chunk) in enumerate(sorted(source.items())):
            if base.get(path) != chunk:
                yield from self._keep(chunk)
            self.files[path] = chunk
            if number % _FILES_A_CHECKPOINT == _FILES_A_CHECKPOINT - 1:
                yield from self._checkpoint()

    def _keep(self, chunk: str) -> Steps:
        usable = self.places.get(chunk, set()) - self.listed_blocks - self.bad_blocks
        if usable:
            self.relied.add(min(usable))
            return
        block = self.world.draw("b")
        self.world.contents[block] = [chunk]
        self.state.journals[self.set].blocks[block] = [chunk]
        yield from create(f"blocks/{block}", {"chunks": [chunk]})
        self.own[block] = [chunk]
        self.relied.add(block)
        self.unpublished.append(block)
        self.places.setdefault(chunk, set()).add(block)

    def _checkpoint(self) -> Steps:
        if self.world.protocol.indexes_before_checkpoint:
            yield from self._publish()
        lists: Lists = yield from load_lists(self.world)
        if lists.newest > self.honours:
            new = lists.absent() - self.listed_blocks
            if self.world.protocol.posts_keeps:
                self.keeps |= new & self.relied
            if self.world.protocol.minds_lists:
                self.listed_blocks |= new
            self.honours = lists.newest
        yield from self._post()
        self.state.caches[self.set] = Cache(self.name, self.n, dict(self.files), self.damage)

    def _post(self) -> Steps:
        self.n += 1
        value: Value = {
            "by": self.session, "set": self.set, "name": self.name, "bases": list(self.bases), "n": self.n,
            "honours": self.honours, "keeps": sorted(self.keeps), "files": dict(self.files),
        }  # fmt: skip
        yield from create(f"sessions/{self.session}/{self.n:05d}", value)

    def _publish(self) -> Steps:
        if self.unpublished:
            entries = [(chunk, block) for block in self.unpublished for chunk in self.own[block]]
            yield from create(f"index/{self.world.draw('i')}", {"entries": entries, "replaces": []})
            self.unpublished = []

    def _has_all(self) -> Steps:
        """Count and measure what this run stored before the commit (FEATURES 8.6)."""
        there = yield from listed("blocks/")
        return all(f"blocks/{block}" in there for block in self.own) or self.world.is_lagging

    def _commit(self) -> Steps:
        value: Value = {"by": self.session, "n": -1, "files": dict(self.files)}
        if self.world.is_lagging:
            own = yield Get(f"sessions/{self.session}/{self.n:05d}")
            if own is None:
                return
        is_ours = yield from create(self.name, value)
        if is_ours and self.world.protocol.looks_at_drops_after_commit:
            lists: Lists = yield from load_lists(self.world)
            is_ours = self.name not in lists.void
        if is_ours:
            self.world.commit(self.name, self.damage)
            self.state.caches[self.set] = Cache(self.name, -1, dict(self.files), self.damage)
            del self.state.journals[self.set]
            yield from self._drop_partials()
        else:
            self.state.caches.pop(self.set, None)
        # The name is taken or void either way.
        yield from forget_session(self.session)

    def _drop_partials(self) -> Steps:
        """Those of the set that this run went on from."""
        partial: list[str] = []
        for name in self.bases:
            value = yield Get(name)
            if value is not None and value["n"] >= 0:
                partial.append(name)
        if partial:
            yield from drop(self.world, partial, sparing=self.session)


def end_session(world: World, session: str) -> Steps:
    """Make the last checkpoint of a session a partial snapshot under its very name, unless that is taken or void."""
    names = yield from listed(f"sessions/{session}/")
    last: Value | None = None
    for name in names:
        last = (yield Get(name)) or last
    if last is None:
        return
    lists: Lists = yield from load_lists(world)
    if last["name"] not in lists.void:
        value: Value = {"by": last["by"], "n": last["n"], "files": last["files"]}
        yield from create(last["name"], value)
    yield from forget_session(session)


def end_dead_session(world: World, session: str) -> Steps:
    """By one that has no part in it: two looks, six hours of the own clock between them, nothing moved."""
    before = yield from listed(f"sessions/{session}/")
    yield Wait(6 * HOUR + 1)
    after = yield from listed(f"sessions/{session}/")
    if before == after and before:
        yield from end_session(world, session)


def forget_session(session: str) -> Steps:
    """Its objects go, the newest last: until then it is posted."""
    for name in (yield from listed(f"sessions/{session}/")):
        yield Delete(name)
