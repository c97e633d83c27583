"""What a model run consists of: hosts with their local state, the store, time, and what must hold at every moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.model.store import BAD, Create, Delete, Operation, Steps, Store, UnreadableError, Wait, dropped_names

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Protocol:
    """The rules, each of which may be broken to see whether that is noticed."""

    posts_before_loading: bool = True
    """A writer posts its session before it looks at gc lists."""
    minds_lists: bool = True
    """A writer that finds a new list at a post, and honours it, treats what it names as absent."""
    posts_keeps: bool = True
    """With `honours` goes what of that list was relied on before."""
    looks_at_drops_after_commit: bool = True
    """Only then a writer calls its snapshot committed: the name may have been given to a partial one and dropped."""
    looks_at_drops_before_base: bool = True
    """A base that was dropped before the session was posted may lose its object at any moment."""
    minds_damage: bool = True
    """A base that is older than a damage record is asked for chunk by chunk."""
    cleaner_waits: bool = True
    """For each posted session to end or to honour the list."""
    reads_sessions_first: bool = True
    """The cleaner's second look takes sessions before snapshots."""
    looks_twice: bool = True
    """What is deleted is decided after the wait, not before it."""
    obeys_standing_list: bool = True
    """A cleaner deletes what the `.deleted` object that stands there names."""
    spares_last_copies: bool = True
    """What roots reach is struck out at the second look."""
    drops_spare_bases: bool = True
    """A dropped snapshot that a posted session names as a base stays for now."""
    deleted_lists_hold: bool = True
    """`.deleted` lists hold for every index object, however old."""
    indexes_before_checkpoint: bool = True
    """What a checkpoint reaches is in the index when it is posted."""
    replaces_before_drop: bool = True
    """A snapshot that is written anew without a path is dropped when the new one stands."""
    looks_again_for_drops: bool = True
    """Who finds a drop record gone that was listed lists them once more: it may have been put into a newer one."""
    settles_before_second_look: bool = True
    """Where listings lag, the cleaner waits 48 h besides."""
    posts_stay_until_listed: bool = True
    """Where listings lag, posts go only when the snapshot's name is listed: else a cleaner may see neither."""
    covering_lists_say_all: bool = True
    """A list that covers older ones says what they said."""
    covered_lists_stay: bool = True
    """Their `.deleted` objects, at least: a name is never free again."""
    sees_that_it_was_ended: bool = True
    """A writer looks before and after each post, and before the name, whether what it posted is there."""
    looks_at_older_post: bool = True
    """Of its two newest: the newest may be what it posted after it had been ended."""
    looks_after_the_name: bool = True
    """Whether its posts are gone, and something may have been freed since it last read gc/."""
    minds_unread_drops: bool = True
    """A drop record that came since the session was posted and can't be read may name it."""
    lone_posts_make_none: bool = True
    """Of a lone post that is not the first no partial snapshot is made: its writer was ended when it was created."""
    lists_again_for_bare_lists: bool = True
    """Who sees a closed list without candidates lists gc/ once more: they are in an open one that came before it."""
    ends_generation_first: bool = True
    """Candidates that can't be read go when a list that names nothing stands."""
    divides_candidates: bool = True
    """What stands in for a closed list names no block that is there."""
    asks_before_covering: bool = True
    """Those that are there are candidates of an open list before."""
    reads_all_before_damage_goes: bool = True
    """What is bad is recorded anew before a damage record goes that can't be read."""
    walks_before_drop_goes: bool = True
    """A drop record that can't be read goes only where all snapshots that stand are whole."""
    sees_no_session_before_drop_goes: bool = True
    """Its name may be one of those that it made void."""
    sees_no_open_list_before_drop_goes: bool = True
    """Whoever has begun one may go by that record still."""
    reads_drops_anew: bool = True
    """At each look of a cleaner, though it knows what it has read: a record may not be readable any more."""
    names_relied_as_bases: bool = True
    """A migration of history names the snapshots that it has written, and relies on, as bases of the next ones."""
    relies_on_committed: bool = True
    """It relies on nothing that was made for a snapshot that was not committed, or is dropped again."""
    sees_relied_snapshots: bool = True
    """It looks after posting whether they stand."""
    drops_new_with_old: bool = True
    """Where an old snapshot was dropped while it was written anew, the new one is dropped, too."""
    drops_where_new_stands: bool = True
    """An old snapshot is dropped only where the new one still stands."""
    sees_bases_after_the_name: bool = True
    """What a writer relied on unasked: who sleeps may delete a snapshot whose drop record was given up."""
    minds_unread_drops_of_bases: bool = True
    """Nothing is taken over from a snapshot where a drop record can't be read: it may name it."""


@dataclass
class Cache:
    """What a host knows of a snapshot without asking."""

    name: str
    n: int
    """Number of the checkpoint, of a partial snapshot; -1 of a complete one."""
    files: dict[str, str]
    damage: frozenset[str]


@dataclass
class Journal:
    """What the last writer of a set wrote down before and after each block."""

    session: str
    name: str
    blocks: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class State:
    """One state directory: what survives a kill."""

    name: str
    skew: float
    """Seconds that its clock is ahead."""
    caches: dict[str, Cache] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)


@dataclass
class Actor:
    """A process: what it is about to do, and since when it waits."""

    name: str
    steps: Steps
    next: Operation
    wakes: float = 0.0
    lock: tuple[State, str] | None = None
    session: str = ""
    """Of a writer."""


class BrokenError(AssertionError):
    """Something was lost."""


class World:
    """All of it."""

    def __init__(self, protocol: Protocol, lag_seconds: float = 0.0) -> None:
        self.protocol, self.store, self.now = protocol, Store(lag_seconds=lag_seconds), 0.0
        self.states = [State("a", 0.0), State("b", -400 * DAY)]
        self.sources: dict[str, dict[str, str]] = {"x": {"f1": "c1", "f2": "c2", "f3": "c3"}, "y": {"f1": "c2"}}
        self.actors: list[Actor] = []
        self.in_flight: list[Operation] = []
        """Requests of killed actors that may still arrive."""
        self.committed: dict[str, frozenset[str]] = {}
        """Snapshots whose writer was told so, and the damage ids it had loaded."""
        self.rotten: dict[str, set[str]] = {}
        """Blocks whose bytes were lost, and the ids of their damage records."""
        self.doubtful: set[str] = set()
        """Snapshots of writers whose posts were gone before: they may lack something, and nobody was told otherwise."""
        self.contents: dict[str, list[str]] = {}
        """Chunks of every block that was ever asked for."""
        self._drawn = 0

    @property
    def is_lagging(self) -> bool:
        """Whether listings may leave out what is new."""
        return self.store.lag_seconds > 0

    def draw(self, kind: str) -> str:
        """An id that was never used."""
        self._drawn += 1
        return f"{kind}{self._drawn:05d}"

    # Actors

    def start(self, name: str, steps: Steps, lock: tuple[State, str] | None = None, session: str = "") -> None:
        """Begin an actor; one whose lock is held is not begun."""
        if lock is not None:
            state, what = lock
            if what in state.locks:
                return
            state.locks.add(what)
        try:
            self.actors.append(Actor(name, steps, next(steps), lock=lock, session=session))
        except (StopIteration, UnreadableError):
            self._release(lock)

    def advance(self, actor: Actor, steps: int, *, loses_answer: bool = False) -> None:
        """Let an actor take steps. loses_answer: of the first thing that it creates."""
        for _ in range(steps):
            if actor.wakes > self.now:
                return
            result = self._apply(actor.next)
            if isinstance(actor.next, Create) and loses_answer:
                result, loses_answer = None, False
            if isinstance(actor.next, Delete):
                self.judge()
            try:
                actor.next = actor.steps.send(result)
            except (StopIteration, UnreadableError):
                self._gone(actor)
                return
            if isinstance(actor.next, Wait):
                actor.wakes = self.now + actor.next.seconds

    def kill(self, actor: Actor, *, arrives: bool) -> None:
        """End an actor. arrives: what it asked for last is still on its way to the store."""
        if arrives and isinstance(actor.next, Create | Delete):
            self.in_flight.append(actor.next)
        actor.steps.close()
        self._gone(actor)

    def land(self) -> None:
        """What was on its way arrives."""
        for step in self.in_flight:
            self._apply(step)
        self.in_flight.clear()

    def _apply(self, step: Operation) -> Any:
        result = self.store.apply(step, self.now)
        if result and isinstance(step, Create) and "session" in step.value:
            session = step.value["session"]
            is_ended = not self.store.below(f"sessions/{session}/")
            if is_ended or not self.store.objects.keys() >= set(step.value["relies"]):
                self.doubtful.add(step.name)
        return result

    def finish(self) -> None:
        """Let all go on until they are done. Raises BrokenError for one that never is."""
        for _ in range(3000):
            if not self.actors:
                return
            ready = [actor for actor in self.actors if actor.wakes <= self.now]
            if not ready:
                self.now = min(actor.wakes for actor in self.actors)
            for actor in ready:
                self.advance(actor, 50)
        raise BrokenError(f"never ends: {[actor.name for actor in self.actors]}")

    def _gone(self, actor: Actor) -> None:
        self.actors.remove(actor)
        self._release(actor.lock)

    def _release(self, lock: tuple[State, str] | None) -> None:
        if lock is not None:
            lock[0].locks.discard(lock[1])

    # What must hold

    def commit(self, name: str, damage: frozenset[str]) -> None:
        """A writer was told that its snapshot stands. Raises BrokenError where it never counts."""
        if self.store.void_since.get(name, self.now + 1) < self.store.born[name]:
            raise BrokenError(f"committed under a void name: {name}")
        self.committed[name] = damage
        self.doubtful.discard(name)

    def keep(self, old: str, new: str) -> None:
        """What stands in for a snapshot is kept. Raises BrokenError where that one was dropped before."""
        if self.store.void_since.get(old, self.now + 1) < self.store.born[new]:
            raise BrokenError(f"dropped before {new} was made of it: {old}")

    def choose(self, new: str, since: float) -> None:
        """What it stands in for is about to go. Raises BrokenError where somebody had dropped the new one before."""
        if self.store.void_since.get(new, since) < since:
            raise BrokenError(f"neither {new} stands nor what it stands in for")

    def judge(self) -> None:
        """No commit is lost, no chunk of what counts dangles. Raises BrokenError."""
        objects = self.store.objects
        void = dropped_names(self.store.below("gc/").items())
        if void != self.store.void_since.keys():
            raise BrokenError(f"no longer void: {self.store.void_since.keys() - void}")
        for name in self.committed:
            if name not in self.store.dropped and name not in objects:
                raise BrokenError(f"lost: {name}")
        for record, value in self.store.below("gc/drop-").items():
            new = value.get("stands_in")
            if new and new not in objects and new not in self.store.dropped:
                raise BrokenError(f"{record} drops {value['names']}, and {new} is not there")
        indexed: dict[str, set[str]] = {}
        for index in self.store.below("index/").values():
            for chunk, block in index["entries"]:
                indexed.setdefault(chunk, set()).add(block)
        good = {name[7:] for name, value in self.store.below("blocks/").items() if value is not BAD}
        for name, snapshot in self.store.below("snapshots/").items():
            if name in void or name in self.doubtful:
                continue
            for chunk in snapshot["files"].values():
                if not indexed.get(chunk, set()) & good and not self._is_excused(name, chunk):
                    raise BrokenError(f"{name} has lost {chunk}")

    def _is_excused(self, name: str, chunk: str) -> bool:
        """Bytes were lost below: only a run that had been told of it owes us the chunk."""
        told = self.committed.get(name, frozenset())
        return any(chunk in self.contents[block] and not records & told for block, records in self.rotten.items())
