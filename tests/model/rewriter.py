"""A purge of paths: a snapshot is written anew with fewer files, and the old one is dropped once the new one stands.

Only a new tree is stored; all else the new snapshot takes over from the old one, which is its session's base.
"""

from __future__ import annotations

from tests.model.dropping import drop
from tests.model.looking import Lists, load_damage, load_index
from tests.model.store import Get, Steps, Value, listed
from tests.model.world import Journal, State, World
from tests.model.writer import Writer, end_own_session, forget_session


class Rewriter(Writer):
    """Of one snapshot of a set. It holds the set's lock in that state."""

    def __init__(self, world: World, state: State, set_name: str, which: int) -> None:
        """which: says what snapshot and what file."""
        super().__init__(world, state, set_name)
        self._which = which
        self._early: set[str] = set()
        """What the broken protocol drops too early."""

    def _run(self) -> Steps:
        state = self.state
        journal = state.journals.get(self.set)
        if journal is not None:
            yield from end_own_session(self.world, journal)
            del state.journals[self.set]
        former: Lists = yield from self._load_lists()
        self.older_drops = former.drops
        names = [name for name in (yield from listed(f"snapshots/{self.set}/")) if name not in former.void]
        if not names:
            return
        old = names[self._which % len(names)]
        value = yield Get(old)
        if value is None:
            return
        # The same time as the old one.
        self.name = f"{old.rpartition('-')[0]}-{self.session}"
        self.bases = [old]
        state.journals[self.set] = Journal(self.session, self.name)
        yield from self._post()
        lists: Lists = yield from self._load_lists()
        self.listed_blocks |= lists.absent()
        self.honours = lists.newest
        self.damage, self.bad_blocks, _ = yield from load_damage()
        self.places = yield from load_index()
        standing = yield Get(old)
        again: Lists = yield from self._load_lists()
        is_unknown = self.world.protocol.minds_unread_drops_of_bases and again.unread
        if standing is None or old in again.void or is_unknown:
            # Dropped before it was announced as a base: who cares, ends this session later.
            return
        if old in self.world.doubtful:
            self.world.doubtful.add(self.name)
        yield from self._store_tree(value["files"])
        yield from self._publish()
        if (yield from self._has_all()):
            yield from self._replace(old, value)

    def _store_tree(self, files: dict[str, str]) -> Steps:
        """Take the files over unasked but for one, under a new tree."""
        paths = sorted(path for path in files if path != "tree")
        gone = paths[self._which // 7 % len(paths)] if paths else ""
        self.files = {path: chunk for path, chunk in files.items() if path not in (gone, "tree")}
        self.files["tree"] = self.world.draw("t")
        yield from self._keep(self.files["tree"])

    def _replace(self, old: str, value: Value) -> Steps:
        if not self.world.protocol.replaces_before_drop:
            self._early = {old}
            yield from drop(self.world, [old], sparing=self.session, stands_in=self.name)
        yield from self._see_that_nobody_ended_it()
        self.relied_bases = [old]
        is_ours = yield from self._create_name(value["n"])
        if is_ours:
            # Of damage it was told no more than who wrote the old one: it takes over what that one had.
            self.world.commit(self.name, self.world.committed.get(old, frozenset()))
            if old in self.world.doubtful:
                self.world.doubtful.add(self.name)
            del self.state.journals[self.set]
        yield from forget_session(self.world, self.session, self.name)
        if not is_ours:
            return
        if self.world.protocol.drops_new_with_old and old in (yield from self._load_lists()).void - self._early:
            yield from drop(self.world, [self.name])
            return
        self.world.keep(old, self.name)
        if self.world.protocol.replaces_before_drop:
            yield from drop(self.world, [old], stands_in=self.name)
