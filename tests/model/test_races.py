"""Named races: one order of steps each, harmless under the protocol, fatal where the rule it is about is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.model.dropping import merge_drops
from tests.model.scenes import Scene, creates, deletes, lists
from tests.model.store import Get
from tests.model.world import HOUR, Actor, BrokenError, Protocol, World
from tests.model.writer import end_dead_session


def sleeper_wakes(protocol: Protocol) -> World:
    """A writer sleeps before its commit; its session is ended, the partial snapshot dropped; it wakes and commits."""
    scene = Scene(protocol)
    world = scene.world
    writer, partial = _taken_for_dead(scene)
    scene.done(scene.drop(partial))
    world.now += 31 * 24 * HOUR
    scene.done(writer)
    world.judge()
    return world


def drops_are_merged(protocol: Protocol) -> World:
    """The same sleeper; while it reads the drop records that it has listed, a cleaner puts them into another one."""
    scene = Scene(protocol)
    world = scene.world
    writer, partial = _taken_for_dead(scene)
    for name in (partial, scene.first):
        scene.done(scene.drop(name))
    world.now += 31 * 24 * HOUR
    world.advance(writer, 1)
    scene.until(writer, lambda step: isinstance(step, Get) and step.name.startswith("gc/drop-"))
    world.start("merger", merge_drops(world))
    scene.done(world.actors[-1])
    scene.done(writer)
    world.judge()
    return world


def base_is_dropped(protocol: Protocol) -> World:
    """A writer relies on its base unasked; the base is dropped, a cleaner frees what nothing else reaches."""
    scene = Scene(protocol)
    writer = scene.write()
    scene.until(writer, creates("sessions/"))
    # Posted, looked at, and in use.
    scene.world.advance(writer, 1)
    scene.until(writer, creates("sessions/"))
    scene.done(scene.drop(scene.first))
    _free_beside(scene, writer)
    return scene.world


def base_was_dropped_just_now(protocol: Protocol) -> World:
    """The dropper looked at the sessions before the writer posted its own, and deletes the base once it is in use."""
    scene = Scene(protocol)
    writer = scene.write()
    scene.until(writer, creates("sessions/"))
    dropper = scene.drop(scene.first)
    scene.until(dropper, deletes("snapshots/"))
    scene.world.advance(writer, 1)
    scene.until(writer, lambda step: creates("sessions/")(step) or creates("blocks/")(step))
    scene.done(dropper)
    _free_beside(scene, writer)
    return scene.world


def commits_between_two_looks(protocol: Protocol) -> World:
    """A writer that kept its blocks commits, and its session goes, while the cleaner reads sessions and snapshots."""
    scene = Scene(protocol)
    scene.world.sources["x"] = {"f1": "c7", "f2": "c8", "f3": "c9"}
    writer = scene.write()
    for prefix in ("sessions/", "sessions/", "blocks/"):
        # The first block is stored, in the index and in a post.
        scene.until(writer, creates(prefix))
        scene.world.advance(writer, 1)
    free = scene.free()
    scene.until(free, creates("gc/"))
    scene.world.advance(free, 1)
    scene.until(writer, creates("snapshots/"))
    for prefix in ("index/", "sessions/"):
        scene.until(free, lists(prefix))
    scene.done(writer)
    scene.done(free)
    scene.world.judge()
    return scene.world


def commits_where_listings_lag(protocol: Protocol) -> World:
    """A writer that slept commits right when the cleaner's two days are over: its snapshot is not listed yet."""
    scene = Scene(protocol, HOUR)
    scene.world.sources["x"] = {"f1": "c7", "f2": "c8", "f3": "c9"}
    writer = scene.write()
    scene.until(writer, creates("snapshots/"))
    scene.world.now += 2 * HOUR
    free = scene.free()
    scene.until(free, creates("gc/"))
    scene.world.advance(free, 1)
    scene.until(free, lists("gc/"))
    scene.done(writer)
    scene.done(free)
    scene.world.judge()
    return scene.world


def _taken_for_dead(scene: Scene) -> tuple[Actor, str]:
    """A writer that sleeps right before its commit, and the partial snapshot that stands in its place."""
    writer, world = scene.write(), scene.world
    scene.until(writer, creates("snapshots/"))
    post = next(iter(world.store.below("sessions/").values()))
    world.start("ender", end_dead_session(world, post["by"], post["name"]))
    scene.done(world.actors[-1])
    (partial,) = set(world.store.below("snapshots/")) - {scene.first}
    return writer, partial


def _free_beside(scene: Scene, writer: Actor) -> None:
    """A cleaner begins, the writer honours its list, the cleaner deletes, the writer commits."""
    free = scene.free()
    scene.until(free, creates("gc/"))
    if free in scene.world.actors:
        scene.world.advance(free, 1)
    scene.until(writer, creates("snapshots/"))
    scene.done(free)
    scene.done(writer)
    scene.world.judge()


RACES = [
    pytest.param(sleeper_wakes, "looks_at_drops_after_commit", id="a sleeper wakes after its partial was dropped"),
    pytest.param(drops_are_merged, "looks_again_for_drops", id="drop records are put together while they are read"),
    pytest.param(base_is_dropped, "drops_spare_bases", id="a base in use is dropped"),
    pytest.param(base_was_dropped_just_now, "looks_at_drops_before_base", id="a base was dropped just before"),
    pytest.param(commits_where_listings_lag, "posts_stay_until_listed", id="a commit where listings lag"),
    pytest.param(commits_between_two_looks, "reads_sessions_first", id="a commit between two looks"),
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
