"""Named races around records that rotted, and around writers that were ended: one order of steps each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.model.repairer import record_damage, repair
from tests.model.rewriter import Rewriter
from tests.model.scenes import Scene, creates, deletes
from tests.model.store import BAD, Create, Names, Operation
from tests.model.world import DAY, Actor, BrokenError, Protocol, World
from tests.model.writer import end_dead_session

NEW = {"f1": "c7", "f2": "c8", "f3": "c9"}


class Rotting(Scene):
    """A scene in which records rot."""

    def rot(self, prefix: str, end: str = "") -> None:
        """The last record of that name."""
        self.world.store.rot([name for name in sorted(self.world.store.objects) if _fits(name, prefix, end)][-1])

    def repair(self) -> None:
        """Do without all that rotted, as far as that goes now."""
        self.done(self.start(repair(self.world)))

    def drop_first(self) -> None:
        """What only the first snapshot needs may go."""
        self.done(self.drop(self.first))

    def fresh(self) -> Actor:
        """A writer on another host, which stores what the first snapshot held, and asks for all of it."""
        return self.write(1)


def listing_misses_candidates(protocol: Protocol) -> World:
    """A writer lists gc/ while a closed list is covered: it sees the new one, and not the candidates before it."""
    scene = Rotting(protocol)
    world = scene.world
    # The halves of a listing fall as they have to from the second generation on.
    for kind in ("candidates", "deleted"):
        world.store.objects[f"gc/00000.{kind}"] = {"by": "g", "blocks": [], "covers": []}
        world.store.born[f"gc/00000.{kind}"] = 0.0
    scene.drop_first()
    deleter = scene.free()
    scene.until(deleter, deletes("blocks/"))
    writer = scene.fresh()
    scene.until(writer, creates("sessions/"))
    scene.rot("gc/", "deleted")
    scene.until(writer, lambda step: step == Names("gc/", 1))
    scene.repair()
    return _ends(scene, writer, deleter)


def cleaner_sleeps_on_candidates(protocol: Protocol) -> World:
    """A cleaner is about to say what goes; its candidates rot; who comes then knows of none."""
    scene = Rotting(protocol)
    scene.drop_first()
    deleter = scene.free()
    scene.until(deleter, _closes)
    scene.rot("gc/", "candidates")
    scene.repair()
    writer = scene.fresh()
    return _ends(scene, writer, deleter)


def deleter_sleeps(protocol: Protocol) -> World:
    """A cleaner sleeps while it deletes; its list rots, and is covered; a writer asks for what is still there."""
    scene = Rotting(protocol)
    scene.drop_first()
    deleter = scene.free()
    scene.until(deleter, deletes("blocks/"))
    scene.rot("gc/", "deleted")
    scene.repair()
    writer = scene.fresh()
    return _ends(scene, writer, deleter)


def struck_out_candidates(protocol: Protocol) -> World:
    """A list rots that had struck out what a writer keeps; the next cleaner deletes what the new one says."""
    scene = Rotting(protocol)
    world = scene.world
    writer = scene.write(1, "y")
    scene.until(writer, creates("sessions/"))
    # Announced, all asked for.
    world.advance(writer, 1)
    scene.until(writer, creates("sessions/"))
    scene.drop_first()
    free = scene.free()
    scene.until(free, creates("gc/"))
    world.advance(free, 1)
    scene.until(writer, creates("snapshots/"))
    scene.done(free)
    scene.rot("gc/", "deleted")
    scene.repair()
    scene.done(scene.free())
    scene.done(writer)
    world.judge()
    return world


def damage_record_goes(protocol: Protocol) -> World:
    """What was stored again because of a damage record is the only good copy; the record rots."""
    scene = Rotting(protocol)
    world = scene.world
    block = next(iter(world.store.below("blocks/")))
    world.store.objects[block] = BAD
    world.rotten[block[7:]] = set()
    scene.done(scene.start(record_damage(world)))
    scene.done(scene.fresh())
    scene.drop_first()
    scene.rot("damage/")
    scene.repair()
    scene.done(scene.free())
    world.judge()
    return world


def dropped_snapshot_comes_back(protocol: Protocol) -> World:
    """A snapshot's blocks went, the snapshot did not yet: a cleaner was killed; the drop record rots."""
    scene = Rotting(protocol)
    world = scene.world
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    world.kill(dropper, arrives=False)
    free = scene.free()
    scene.until(free, deletes("snapshots/"))
    world.kill(free, arrives=False)
    scene.rot("gc/drop-")
    scene.repair()
    world.judge()
    return world


def posts_of_a_void_name(protocol: Protocol) -> World:
    """A writer's name is void, its posts are there, what it stored went; the drop record rots, the writer wakes."""
    scene = Rotting(protocol)
    world = scene.world
    world.sources["x"] = NEW
    writer = scene.write()
    scene.until(writer, creates("snapshots/"))
    ender, name = _ender(scene)
    scene.until(ender, deletes("sessions/"))
    world.kill(ender, arrives=False)
    scene.done(scene.drop(name))
    free = scene.free()
    scene.until(free, deletes("sessions/"))
    world.kill(free, arrives=False)
    _let_drop_rot(scene)
    return _wakes(scene, writer)


def unread_drop_voids(protocol: Protocol) -> World:
    """A writer's session was ended, the partial snapshot dropped and deleted; then that record rots."""
    scene = Rotting(protocol)
    writer = scene.write()
    scene.until(writer, creates("snapshots/"))
    ender, name = _ender(scene)
    scene.done(ender)
    scene.done(scene.drop(name))
    scene.rot("gc/drop-")
    scene.world.now += DAY
    scene.done(writer)
    scene.world.judge()
    return scene.world


def ended_in_the_middle(protocol: Protocol) -> World:
    """A writer that stores was ended, and of its name nothing is known any more."""
    return _ended_at(protocol, lambda step: creates("blocks/")(step) and _block(step) == ["c9"])


def ended_before_a_post(protocol: Protocol) -> World:
    """The same, right before it posts: it looked, and posts all the same."""
    return _ended_at(protocol, lambda step: creates("sessions/")(step) and step.value["n"] == 2)


def ended_before_the_name(protocol: Protocol) -> World:
    """The same, right before it creates the name."""
    return _ended_at(protocol, creates("snapshots/"))


def lone_post(protocol: Protocol) -> World:
    """The same; it was killed, and what it posted last arrives after all."""
    scene = Rotting(protocol)
    world = scene.world
    world.sources["x"] = NEW
    writer = scene.write()
    scene.until(writer, lambda step: creates("sessions/")(step) and step.value["n"] == 2)  # type: ignore[union-attr]
    world.kill(writer, arrives=True)
    _forgotten(scene)
    world.land()
    scene.done(scene.write(0))
    world.judge()
    return world


def cleaner_goes_by_a_drop(protocol: Protocol) -> World:
    """A cleaner has looked for the second time when the drop record rots, and says then what goes."""
    scene = Rotting(protocol)
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    scene.world.kill(dropper, arrives=False)
    free = scene.free()
    scene.until(free, _closes)
    _let_drop_rot(scene)
    scene.done(free)
    scene.world.judge()
    return scene.world


def cleaner_knows_a_drop(protocol: Protocol) -> World:
    """A cleaner read the drop record at its first look; it rots, and goes once he has looked again."""
    scene = Rotting(protocol)
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    scene.world.kill(dropper, arrives=False)
    free = scene.free()
    scene.until(free, creates("gc/"))
    scene.rot("gc/drop-")
    repairer = scene.start(repair(scene.world))
    scene.until(repairer, deletes("gc/drop-"))
    scene.until(free, _closes)
    scene.done(repairer)
    scene.done(free)
    scene.world.judge()
    return scene.world


def dropper_sleeps(protocol: Protocol) -> World:
    """A dropper is about to delete the snapshot; the record rots and goes, and a writer relies on the snapshot."""
    scene = Rotting(protocol)
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    _let_drop_rot(scene)
    writer = scene.write()
    scene.until(writer, creates("sessions/"))
    scene.world.advance(writer, 1)
    scene.until(writer, creates("sessions/"))
    scene.done(dropper)
    free = scene.free()
    scene.until(free, creates("gc/"))
    if free in scene.world.actors:
        scene.world.advance(free, 1)
    return _ends(scene, writer, free)


def rewriter_misses_a_drop(protocol: Protocol) -> World:
    """What a dropped snapshot needs is about to go when the drop record rots; then a path is purged from it."""
    scene = Rotting(protocol)
    world = scene.world
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    world.kill(dropper, arrives=False)
    free = scene.free()
    scene.until(free, _closes)
    scene.rot("gc/drop-")
    state = world.states[0]
    rewriter = Rewriter(world, state, "x", 0)
    world.start("rewriter", rewriter.run(), (state, "x"))
    writer = world.actors[-1]
    scene.until(writer, creates("snapshots/"))
    scene.until(free, deletes("snapshots/"))
    scene.done(writer)
    world.judge()
    return world


def _closes(step: Operation) -> bool:
    return isinstance(step, Create) and step.name.startswith("gc/") and step.name.endswith("deleted")


def _fits(name: str, prefix: str, end: str) -> bool:
    return name.startswith(prefix) and name.endswith(end)


def _block(step: object) -> list[str]:
    return step.value["chunks"]  # type: ignore[attr-defined, no-any-return]


def _ends(scene: Scene, writer: Actor, deleter: Actor) -> World:
    """The writer comes to where it commits, the deleter deletes, the writer commits."""
    scene.until(writer, creates("snapshots/"))
    scene.done(deleter)
    scene.done(writer)
    scene.world.judge()
    return scene.world


def _ender(scene: Scene) -> tuple[Actor, str]:
    """Who ends the one session that is posted, and its snapshot's name."""
    post = sorted(scene.world.store.below("sessions/").items())[-1][1]
    return scene.start(end_dead_session(scene.world, post["by"], post["name"])), post["name"]


def _forgotten(scene: Rotting) -> None:
    """The posted session is ended and dropped, what it stored goes, and nothing says any more that its name is void."""
    ender, name = _ender(scene)
    scene.done(ender)
    scene.done(scene.drop(name))
    scene.done(scene.free())
    _let_drop_rot(scene)


def _let_drop_rot(scene: Rotting) -> None:
    scene.rot("gc/drop-")
    scene.repair()
    scene.world.now += DAY


def _wakes(scene: Rotting, writer: Actor) -> World:
    scene.done(writer)
    scene.world.judge()
    return scene.world


def _ended_at(protocol: Protocol, is_next: Callable[..., bool]) -> World:
    scene = Rotting(protocol)
    # It stores little itself: what a writer has stored it counts before it commits.
    scene.world.sources["y"] = {"f1": "c1", "f2": "c2", "f3": "c9"}
    writer = scene.write(0, "y")
    scene.until(writer, is_next)
    scene.drop_first()
    _forgotten(scene)
    return _wakes(scene, writer)


RACES = [
    pytest.param(listing_misses_candidates, "lists_again_for_bare_lists", id="a listing misses candidates"),
    pytest.param(cleaner_sleeps_on_candidates, "ends_generation_first", id="a cleaner sleeps on candidates"),
    pytest.param(deleter_sleeps, "asks_before_covering", id="a cleaner sleeps while it deletes"),
    pytest.param(struck_out_candidates, "divides_candidates", id="a list had struck out candidates"),
    pytest.param(damage_record_goes, "reads_all_before_damage_goes", id="a damage record goes"),
    pytest.param(dropped_snapshot_comes_back, "walks_before_drop_goes", id="a dropped snapshot comes back"),
    pytest.param(posts_of_a_void_name, "sees_no_session_before_drop_goes", id="posts of a void name"),
    pytest.param(unread_drop_voids, "minds_unread_drops", id="an unread drop record voids the name"),
    pytest.param(ended_in_the_middle, "sees_that_it_was_ended", id="ended while it stores"),
    pytest.param(ended_before_a_post, "looks_at_older_post", id="ended before a post"),
    pytest.param(ended_before_the_name, "looks_after_the_name", id="ended before the name"),
    pytest.param(lone_post, "lone_posts_make_none", id="a lone post"),
    pytest.param(cleaner_goes_by_a_drop, "sees_no_open_list_before_drop_goes", id="a cleaner goes by a drop record"),
    pytest.param(cleaner_knows_a_drop, "reads_drops_anew", id="a cleaner knows a drop record"),
    pytest.param(dropper_sleeps, "sees_bases_after_the_name", id="a dropper sleeps"),
    pytest.param(rewriter_misses_a_drop, "minds_unread_drops_of_bases", id="a purge misses a drop record"),
]


@pytest.mark.parametrize(("race", "rule"), RACES)
def test_a_race_is_harmless(race: Callable[[Protocol], World], rule: str) -> None:
    """And all come to an end."""
    world = race(Protocol())
    world.finish()
    world.judge()
    assert world.committed


@pytest.mark.parametrize(("race", "rule"), RACES)
def test_a_race_is_fatal_without_its_rule(race: Callable[[Protocol], World], rule: str) -> None:
    """Else the race shows nothing."""
    with pytest.raises(BrokenError):
        race(replace(Protocol(), **{rule: False}))
