"""A writer: its session, checkpoints and commit; how the session of one that is gone is ended (DESIGN 7, 8.1, 8.2)."""

from __future__ import annotations

from tests.model.dropping import drop
from tests.model.looking import Lists, load_damage, load_drops, load_index, load_lists
from tests.model.store import BAD, Delete, Get, Steps, UnreadableError, Value, Wait, create, dropped_names, listed
from tests.model.world import HOUR, Cache, Journal, State, World

_FILES_A_CHECKPOINT = 1


class EndedError(Exception):
    """Somebody ended this writer's session."""


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
        self.checkpoint: dict[str, str] | None = None
        """Files of the last one."""
        self.standing: list[int] = []
        """The two newest posts, unless somebody ended this session."""
        self.known: dict[str, Value] = {}
        """Drop records that were read."""
        self.older_drops: set[str] = set()
        """Names of those that came before the session was posted."""
        self.relied_bases: list[str] = []
        """What they reach is not asked for."""
        self.closed: set[int] = set()
        """Closed generations, when gc/ was last read."""

    def run(self) -> Steps:
        """All of it. Raises UnreadableError."""
        try:
            yield from self._run()
        except EndedError:
            return

    def _run(self) -> Steps:
        state, protocol = self.state, self.world.protocol
        journal = state.journals.get(self.set)
        if journal is not None:
            # We hold the set's lock in that very state: nobody else writes to it.
            yield from end_own_session(self.world, journal)
        former: Lists = yield from self._load_lists()
        self.older_drops = former.drops
        names = yield from listed(f"snapshots/{self.set}/")
        yield from self._choose_bases([name for name in names if name not in former.void])
        early: Lists | None = None
        if not protocol.posts_before_loading:
            early = yield from self._load_lists()
        state.journals[self.set] = Journal(self.session, self.name)
        yield from self._post()
        lists: Lists = early or (yield from self._load_lists())
        if protocol.minds_lists:
            self.listed_blocks |= lists.absent()
        self.honours = lists.newest
        self.damage, bad, retired = yield from load_damage()
        self.bad_blocks = bad | retired
        self.places = yield from load_index()
        if journal is not None:
            yield from self._adopt(journal)
        base = yield from self._usable_base(lists)
        self.relied_bases = [self.state.caches[self.set].name] if base else []
        yield from self._store(base)
        yield from self._publish()
        if (yield from self._has_all()):
            yield from self._commit()

    def _load_lists(self) -> Steps:
        lists: Lists = yield from load_lists(self.world, self.known)
        self.closed = set(lists.closed)
        return lists

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
        if self.world.protocol.looks_at_drops_before_base and (cache.name in lists.void or lists.unread):
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
        self.checkpoint = dict(self.files)
        yield from self._post(honours=True)
        self.state.caches[self.set] = Cache(self.name, self.n, dict(self.files), self.damage)

    def _honour(self) -> Steps:
        lists: Lists = yield from self._load_lists()
        if lists.newest > self.honours:
            new = lists.absent() - self.listed_blocks
            if self.world.protocol.posts_keeps:
                self.keeps |= new & self.relied
            if self.world.protocol.minds_lists:
                self.listed_blocks |= new
            self.honours = lists.newest

    def _post(self, *, honours: bool = False) -> Steps:
        yield from self._see_that_nobody_ended_it()
        if honours:
            yield from self._honour()
        self.n += 1
        value: Value = {
            "by": self.session, "set": self.set, "name": self.name, "bases": list(self.bases), "n": self.n,
            "honours": self.honours, "keeps": sorted(self.keeps), "files": self.checkpoint,
        }  # fmt: skip
        yield from create(self._post_name(self.n), value)
        yield from self._see_that_nobody_ended_it()
        older, self.standing = self.standing[:-1], [*self.standing[-1:], self.n]
        if not self.world.is_lagging or not self.world.protocol.posts_stay_until_listed:
            for number in older:
                yield Delete(self._post_name(number))

    def _post_name(self, number: int) -> str:
        return f"sessions/{self.session}/{number:05d}"

    def _see_that_nobody_ended_it(self) -> Steps:
        """Raises EndedError."""
        is_seen = self.standing and self.world.protocol.sees_that_it_was_ended
        if is_seen and not (yield from self._is_posted()):
            # What was posted after that is taken back.
            for number in range(0 if self.world.is_lagging else self.standing[0], self.n + 1):
                yield Delete(self._post_name(number))
            raise EndedError

    def _is_posted(self) -> Steps:
        """Whether the older one of the two newest posts is there; where listings lag it is read."""
        which = self.standing[0] if self.world.protocol.looks_at_older_post else self.n
        value = yield Get(self._post_name(which))
        if value is BAD and self.world.is_lagging:
            raise UnreadableError
        return value is not None

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
        yield from self._see_that_nobody_ended_it()
        if (yield from self._create_name(-1)):
            self.world.commit(self.name, self.damage)
            self.state.caches[self.set] = Cache(self.name, -1, dict(self.files), self.damage)
            del self.state.journals[self.set]
            yield from self._drop_partials()
        else:
            self.state.caches.pop(self.set, None)
        # The name is taken or void either way.
        yield from forget_session(self.world, self.session, self.name)

    def _create_name(self, n: int) -> Steps:
        """Whether that was a commit."""
        protocol = self.world.protocol
        value: Value = {"by": self.session, "session": self.session, "n": n, "files": dict(self.files)}
        value["relies"] = self.relied_bases
        if not (yield from create(self.name, value)):
            return False
        if protocol.looks_at_drops_after_commit:
            drops: dict[str, Value] = yield from load_drops(self.world, self.known)
            unread = {name for name, value in drops.items() if value is BAD}
            if protocol.minds_unread_drops and unread - self.older_drops:
                return False
            read = ((name, value) for name, value in drops.items() if value is not BAD)
            if self.name in dropped_names(read):
                return False
        if protocol.looks_after_the_name and not (yield from self._is_posted()):
            closed = self.closed
            lists: Lists = yield from self._load_lists()
            if lists.open or set(lists.closed) != closed:
                return False
        for base in self.relied_bases if protocol.sees_bases_after_the_name else []:
            if (yield Get(base)) is None:
                return False
        return True

    def _drop_partials(self) -> Steps:
        """Those of the set that this run went on from."""
        partial: list[str] = []
        for name in self.bases:
            value = yield Get(name)
            if value is not None and value["n"] >= 0:
                partial.append(name)
        if partial:
            yield from drop(self.world, partial, sparing=self.session)


def end_own_session(world: World, journal: Journal) -> Steps:
    """Of a run that is over, by who holds its set's lock in its state.

    Its last checkpoint becomes a partial snapshot under its very name, without one the name becomes void.
    """
    draft = yield from _last_checkpoint(world, journal.session)
    lists: Lists = yield from load_lists(world)
    if journal.name not in lists.void and (yield Get(journal.name)) is None:
        if draft is None:
            yield from create(f"gc/drop-{world.draw('d')}", {"names": [journal.name]})
        else:
            yield from create(journal.name, draft)
    yield from forget_session(world, journal.session, journal.name)


def end_session(world: World, session: str, name: str) -> Steps:
    """By anybody else: its writer may wake, and nothing is dropped that it has created. name: its snapshot's."""
    draft = yield from _last_checkpoint(world, session)
    lists: Lists = yield from load_lists(world)
    if name not in lists.void and (yield Get(name)) is None:
        is_made = yield from create(name, draft or {"by": session, "n": 0, "files": {}})
        if is_made and draft is None:
            yield from create(f"gc/drop-{world.draw('d')}", {"names": [name]})
    yield from forget_session(world, session, name)


def _last_checkpoint(world: World, session: str) -> Steps:
    """What a partial snapshot is made of: the newest post that can be read; None where there was no checkpoint."""
    names = yield from listed(f"sessions/{session}/")
    is_lone = len(names) == 1 and not names[0].endswith("/00000") and not world.is_lagging
    if is_lone and world.protocol.lone_posts_make_none:
        # Who is not ended has two posts, but for the first one.
        return None
    for name in reversed(names):
        value = yield Get(name)
        if value is not None and value is not BAD:
            if value["files"] is not None:
                return {"by": session, "n": value["n"], "files": value["files"]}
            return None
    return None


def end_dead_session(world: World, session: str, name: str) -> Steps:
    """By one that has no part in it: two looks, six hours of the own clock between them, nothing moved."""
    before = yield from listed(f"sessions/{session}/")
    yield Wait(6 * HOUR + 1)
    after = yield from listed(f"sessions/{session}/")
    if before == after and before:
        yield from end_session(world, session, name)


def forget_session(world: World, session: str, snapshot: str) -> Steps:
    """Its objects go, the newest last: until then it is posted. snapshot: its name, which is taken or void.

    Where listings lag, who looks may not see yet that it is taken: then the posts are left to a later run.
    """
    may_lag = world.is_lagging and world.protocol.posts_stay_until_listed
    if may_lag and (yield Get(snapshot)) is not None and snapshot not in (yield from listed(snapshot)):
        return
    for name in (yield from listed(f"sessions/{session}/")):
        yield Delete(name)
