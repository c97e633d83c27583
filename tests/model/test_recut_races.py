"""Named races around history that is cut anew, and around lists that cover others: one order of steps each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.model.recutter import Recutter
from tests.model.repairer import repair
from tests.model.scenes import Scene, creates
from tests.model.store import BAD, Create, Operation
from tests.model.world import HOUR, Actor, BrokenError, Protocol, World


class Cutting(Scene):
    """Two snapshots of set x that share a file, and one who cuts them anew."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        self.world.sources["x"] = {"f1": "c1"}
        self.done(self.write())
        self.second = sorted(self.world.store.below("snapshots/"))[-1]
        self.world.now += HOUR
        host = self.world.states[0]
        self.world.start("recutter", Recutter(self.world, host, "x").run(), (host, "x"))
        self.cutter: Actor = self.world.actors[-1]

    def goes_on_to_the_second_step(self) -> str:
        """The newest snapshot is written anew, and the session of the other one is about to be posted; the new name."""
        self.until(self.cutter, creates("snapshots/"))
        self.world.advance(self.cutter, 1)
        self.until(self.cutter, creates("sessions/"))
        return sorted(set(self.world.store.below("snapshots/")) - {self.first, self.second})[-1]


def relied_snapshot_goes(protocol: Protocol) -> World:
    """What was written anew first is dropped and freed while the next one, which relies on it, is written."""
    scene = Cutting(protocol)
    new = scene.goes_on_to_the_second_step()
    # Posted, looked at: the first file is relied on, the others are stored.
    scene.world.advance(scene.cutter, 1)
    scene.until(scene.cutter, creates("blocks/"))
    scene.done(scene.drop(new))
    free = scene.free()
    scene.until(free, creates("gc/"))
    if free in scene.world.actors:
        scene.world.advance(free, 1)
    scene.until(scene.cutter, creates("snapshots/"))
    scene.done(free)
    scene.done(scene.cutter)
    scene.world.judge()
    return scene.world


def relied_snapshot_went(protocol: Protocol) -> World:
    """The same; it is gone before the next session is posted."""
    scene = Cutting(protocol)
    new = scene.goes_on_to_the_second_step()
    scene.done(scene.drop(new))
    scene.done(scene.free())
    scene.done(scene.cutter)
    scene.world.judge()
    return scene.world


def relied_block_rots(protocol: Protocol) -> World:
    """What was stored for the first one is lost, and recorded, before the next one relies on it."""
    scene = Cutting(protocol)
    world = scene.world
    scene.goes_on_to_the_second_step()
    block = next(name for name, value in world.store.below("blocks/").items() if value["chunks"] == ["rc1"])
    world.store.objects[block] = BAD
    world.rotten[block[7:]] = {"damage/m1"}
    world.store.objects["damage/m1"], world.store.born["damage/m1"] = {"block": block[7:]}, world.now
    scene.done(scene.cutter)
    world.judge()
    return world


def old_is_dropped(protocol: Protocol) -> World:
    """An old snapshot is dropped while it is written anew."""
    scene = Cutting(protocol)
    scene.until(scene.cutter, creates("snapshots/"))
    scene.done(scene.drop(scene.second))
    scene.world.now += HOUR
    scene.done(scene.cutter)
    scene.world.judge()
    return scene.world


def what_was_made_in_vain_goes(protocol: Protocol) -> World:
    """An old snapshot is dropped while it is written anew, so the new one is, too; what was stored for it goes."""
    scene = Cutting(protocol)
    scene.until(scene.cutter, creates("snapshots/"))
    scene.done(scene.drop(scene.second))
    scene.until(scene.cutter, creates("sessions/"))
    scene.done(scene.free())
    scene.done(scene.cutter)
    scene.world.judge()
    return scene.world


def new_is_dropped(protocol: Protocol) -> World:
    """What was written anew is dropped before the old one is: who did it saw both."""
    scene = Cutting(protocol)
    new = scene.goes_on_to_the_second_step()
    scene.done(scene.drop(new))
    scene.world.now += HOUR
    scene.done(scene.cutter)
    scene.world.judge()
    return scene.world


def covered_list_is_made_again(protocol: Protocol) -> World:
    """A cleaner sleeps before it says what goes; a repair says that nothing does; later lists cover that; he wakes."""
    scene = Scene(protocol)
    world = scene.world
    scene.done(scene.drop(scene.first))
    sleeper = scene.free()
    scene.until(sleeper, _closes)
    world.store.rot("gc/00000.candidates")
    scene.done(scene.start(repair(world)))
    scene.done(scene.write(1))
    _more_generations(scene)
    scene.done(sleeper)
    world.judge()
    return world


def covering_list_says_less(protocol: Protocol) -> World:
    """What a covered list names is in an index object still, and is asked for."""
    scene = Scene(protocol)
    scene.done(scene.drop(scene.first))
    scene.done(scene.free())
    _more_generations(scene)
    scene.done(scene.write(1))
    scene.world.judge()
    return scene.world


def _more_generations(scene: Scene) -> None:
    """So many that the last one covers the first one."""
    world = scene.world
    for chunk in ("c5", "c6", "c7"):
        world.sources["y"] = {"f1": chunk}
        scene.done(scene.write(0, "y"))
        name = sorted(world.store.below("snapshots/y/"))[-1]
        world.now += HOUR
        scene.done(scene.drop(name))
        scene.done(scene.free())


def _closes(step: Operation) -> bool:
    return isinstance(step, Create) and step.name.startswith("gc/") and step.name.endswith("deleted")


RACES = [
    pytest.param(relied_snapshot_goes, "names_relied_as_bases", id="what is relied on goes"),
    pytest.param(relied_snapshot_went, "sees_relied_snapshots", id="what is relied on went"),
    pytest.param(relied_block_rots, "minds_damage", id="what is relied on rots"),
    pytest.param(old_is_dropped, "drops_new_with_old", id="the old one is dropped meanwhile"),
    pytest.param(what_was_made_in_vain_goes, "relies_on_committed", id="what was made in vain goes"),
    pytest.param(new_is_dropped, "drops_where_new_stands", id="the new one is dropped meanwhile"),
    pytest.param(covering_list_says_less, "covering_lists_say_all", id="a covering list says less"),
    pytest.param(covered_list_is_made_again, "covered_lists_stay", id="a covered list is made again"),
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
    """Else the race shows nothing. Who sees bases after the name loses his run at most."""
    with pytest.raises(BrokenError):
        race(replace(Protocol(), **{rule: False, "sees_bases_after_the_name": False}))
