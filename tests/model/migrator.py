"""Migration: what a block holds is stored anew, then the block is retired (docs/protocol.md)."""

from __future__ import annotations

from tests.model.looking import Lists, load_damage, load_index, load_lists
from tests.model.store import BAD, Get, Steps, create
from tests.model.world import World


def migrate(world: World, which: int) -> Steps:
    """One block. It posts no session: whoever lists the new block meanwhile need not wait for anybody."""
    lists: Lists = yield from load_lists(world)
    _, bad, retired = yield from load_damage()
    places = yield from load_index()
    named = sorted(set().union(*places.values()) - lists.absent() - bad - retired) if places else []
    if not named:
        return
    old = named[which % len(named)]
    value = yield Get(f"blocks/{old}")
    if value is None or value is BAD:
        return
    block, chunks = world.draw("b"), value["chunks"]
    world.contents[block] = chunks
    yield from create(f"blocks/{block}", {"chunks": chunks})
    # Measured before it is named.
    if (yield Get(f"blocks/{block}")) is None:
        return
    yield from create(f"index/{world.draw('i')}", {"entries": [(c, block) for c in chunks], "replaces": []})
    yield from create(f"damage/{world.draw('m')}", {"block": old, "is_retired": True})
