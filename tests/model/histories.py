"""Histories at random: what happens between turns, and the machine that draws them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.fault.conftest import Faults
from tests.model import cleaner
from tests.model.dropping import drop
from tests.model.migrator import migrate
from tests.model.recutter import Recutter
from tests.model.repairer import record_damage, repair, revoke
from tests.model.rewriter import Rewriter
from tests.model.store import BAD, Steps
from tests.model.world import DAY, HOUR, Protocol, World
from tests.model.writer import Writer

CHUNKS = [f"c{number}" for number in range(1, 4)]
PATHS = ["f1", "f2", "f3"]
ACTORS_MOST = 4
STEPS = [1, 2, 3, 5, 8, 13, 21, 34, 60]
RECORDS = ("gc/", "damage/", "sessions/")


class Events:
    """What happens between two turns. Each takes a number that says to whom."""

    def __init__(self, world: World) -> None:
        self.world = world

    def nothing(self, which: int) -> None:
        """The next turn."""

    def write(self, which: int) -> None:
        """A backup; several hosts may write one set."""
        state, name = self.world.states[which % 2], "xxxy"[which // 2 % 4]
        self._write("writer", Writer(self.world, state, name))

    def rewrite(self, which: int) -> None:
        """A path is purged from a snapshot; the set's lock is held."""
        state, name = self.world.states[which % 2], "xy"[which // 2 % 2]
        self._write("rewriter", Rewriter(self.world, state, name, which))

    def recut(self, which: int) -> None:
        """History of a set is cut anew; the set's lock is held."""
        state, name = self.world.states[which % 2], "xy"[which // 2 % 2]
        if len(self.world.actors) < ACTORS_MOST:
            recutter = Recutter(self.world, state, name)
            self.world.start(f"recutter {state.name} {name}", recutter.run(), (state, name))

    def free(self, which: int) -> None:
        """A cleaner; where listings lag there is one alone."""
        names = [actor.name for actor in self.world.actors]
        if names.count("cleaner") < (1 if self.world.is_lagging else 2):
            self._start("cleaner", lambda: cleaner.free(self.world, compacts=bool(which % 2)))

    def drop(self, which: int) -> None:
        """A snapshot is dropped, whichever it is."""
        names = sorted(self.world.store.below("snapshots/"))
        if names:
            self._start("drop", lambda: drop(self.world, [names[-1 - which % len(names)]]))

    def merge(self, which: int) -> None:
        """Index objects are merged."""
        self._start("merge", lambda: cleaner.merge(self.world))

    def migrate(self, which: int) -> None:
        """What a block holds is stored anew."""
        self._start("migrate", lambda: migrate(self.world, which))

    def check(self, which: int) -> None:
        """Damage is looked for."""
        self._start("check", lambda: record_damage(self.world))

    def edit(self, which: int) -> None:
        """A file of a source becomes another, or goes."""
        source = self.world.sources["xy"[which % 2]]
        path, chunk = PATHS[which // 2 % 3], CHUNKS[which // 6 % 3]
        if source.get(path) == chunk:
            del source[path]
        else:
            source[path] = chunk

    def kill(self, which: int) -> None:
        """An actor dies; its last request may still be on its way."""
        actors = self.world.actors
        if actors:
            self.world.kill(actors[which // 2 % len(actors)], arrives=bool(which % 2))

    def land(self, which: int) -> None:
        """What the dead had asked for is done."""
        self.world.land()

    def sleep(self, which: int) -> None:
        """Time goes by, for suspended actors too."""
        self.world.now += [HOUR, 7 * HOUR, 49 * HOUR, 31 * DAY][which % 4]

    def rot(self, which: int) -> None:
        """A block's bytes are lost."""
        blocks = sorted(name for name, value in self.world.store.below("blocks/").items() if value is not BAD)
        if blocks:
            name = blocks[which % len(blocks)]
            self.world.store.objects[name] = BAD
            self.world.rotten[name[7:]] = set()

    def lose_state(self, which: int) -> None:
        """A host loses its caches and journals."""
        state = self.world.states[which % 2]
        if not state.locks:
            state.caches.clear()
            state.journals.clear()

    def copy_state(self, which: int) -> None:
        """A host is put back to what another one knows: a restored machine, with a state id of its own."""
        state, other = self.world.states[which % 2], self.world.states[(which + 1) % 2]
        if not state.locks:
            state.caches = dict(other.caches)

    def rot_record(self, which: int) -> None:
        """A record's bytes are lost."""
        kinds = [kind for kind in RECORDS if self.world.store.below(kind)]
        if kinds:
            names = sorted(self.world.store.below(kinds[which % len(kinds)]))
            self.world.store.rot(names[-1 - which // 3 % len(names)])

    def repair(self, which: int) -> None:
        """Somebody does without what can't be read."""
        self._start("repair", lambda: repair(self.world))

    def revoke(self, which: int) -> None:
        """Whoever is sure that a writer is gone ends its session, of which nothing can be read."""
        posts: dict[str, list[str]] = {}
        for name in self.world.store.below("sessions/"):
            posts.setdefault(name.split("/")[1], []).append(name)
        for session, names in posts.items():
            unread = [name for name in names if self.world.store.objects[name] is BAD]
            if unread == names and session not in {actor.session for actor in self.world.actors}:
                self._start("revoke", partial(revoke, session, names))
                return

    def _write(self, name: str, writer: Writer) -> None:
        if len(self.world.actors) < ACTORS_MOST:
            lock = (writer.state, writer.set)
            self.world.start(f"{name} {writer.state.name} {writer.set}", writer.run(), lock, writer.session)

    def _start(self, name: str, steps: Callable[[], Steps]) -> None:
        if len(self.world.actors) < ACTORS_MOST:
            self.world.start(name, steps())


OFTEN = ["nothing"] * 8 + ["write"] * 5 + ["free"] * 4 + ["drop"] * 4 + ["edit"] * 2 + ["sleep", "kill"]
SELDOM = ["rewrite", "rewrite", "recut", "recut", "merge", "migrate", "check", "land"]
SELDOM += ["rot", "lose_state", "copy_state"]


class Turns(RuleBasedStateMachine):
    """Actors begin, take turns, are suspended and killed; sources change; bytes rot; time goes by."""

    protocol = Protocol()
    lag_seconds = 0.0
    commits = 0
    """In all histories."""

    @initialize(before=st.lists(st.tuples(st.sampled_from(["write", "drop", "edit"]), st.integers(0, 35)), max_size=6))
    def begin(self, before: list[tuple[str, int]]) -> None:
        """A repository with some history, made by one actor after the other."""
        self.world = World(self.protocol, self.lag_seconds)
        self.events = Events(self.world)
        for event, which in before:
            getattr(self.events, event)(which)
            self.world.finish()
            self.world.now += 2 * self.lag_seconds
        self.world.judge()

    @rule(
        event=st.sampled_from(OFTEN + SELDOM),
        which=st.integers(0, 35),
        turn=st.integers(0, ACTORS_MOST - 1),
        steps=st.sampled_from(STEPS),
        loses=st.sampled_from([False, False, True]),
    )
    def step(self, event: str, which: int, turn: int, steps: int, loses: bool) -> None:
        """Something happens, then an actor goes on for a while; all others are suspended meanwhile."""
        self.take(event, which, turn, steps, loses)

    def take(self, event: str, which: int, turn: int, steps: int, loses: bool) -> None:
        """One turn."""
        getattr(self.events, event)(which)
        actors = self.world.actors
        if actors:
            self.world.advance(actors[turn % len(actors)], steps, loses_answer=loses)
        self.world.judge()

    def teardown(self) -> None:
        """Everyone comes to an end."""
        if hasattr(self, "world"):
            self.world.land()
            self.world.finish()
            self.world.judge()
            type(self).commits += len(self.world.committed)


class RottenTurns(Turns):
    """The same, and records rot, and are repaired."""

    @rule(
        event=st.sampled_from(OFTEN + SELDOM + ["rot_record"] * 3 + ["repair"] * 4 + ["revoke"]),
        which=st.integers(0, 35),
        turn=st.integers(0, ACTORS_MOST - 1),
        steps=st.sampled_from(STEPS),
        loses=st.sampled_from([False, False, True]),
    )
    def step(self, event: str, which: int, turn: int, steps: int, loses: bool) -> None:
        """As ever."""
        self.take(event, which, turn, steps, loses)


def play(
    faults: Faults, count: int, protocol: Protocol, lag_seconds: float = 0.0, machine: type[Turns] = Turns
) -> int:
    """That many histories of 50 turns; how many snapshots were committed in them. Raises BrokenError."""

    class These(machine):  # type: ignore[valid-type, misc]
        pass

    These.protocol, These.lag_seconds = protocol, lag_seconds
    run_state_machine_as_test(
        seed(faults.seed)(These),
        settings=settings(
            max_examples=count,
            stateful_step_count=50,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return int(These.commits)
